// A ring as CIO.h shows it: each call describes an operation and passes it on to the backend that the ring was made with.

#include "backend.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

int hutong_ring_create(enum hutong_ring_backend wanted, unsigned entries, hutong_ring **made) {
    const hutong_backend *backend = wanted == HUTONG_EPOLL ? &hutong_epoll_backend : &hutong_uring_backend;
    // Not O_NONBLOCK: io_uring would then complete a read of it at once instead of waiting.
    int wake_event = eventfd(0, EFD_CLOEXEC);
    if (wake_event < 0) return -errno;
    int result = backend->create(entries, wake_event, made);
    if (result < 0) {
        close(wake_event);
        return result;
    }
    (*made)->backend = backend;
    (*made)->wake_event = wake_event;
    return 0;
}

void hutong_ring_destroy(hutong_ring *ring) {
    int wake_event = ring->wake_event;
    ring->backend->destroy(ring);
    close(wake_event);
}

int hutong_ring_enable(hutong_ring *ring) { return ring->backend->enable(ring); }
int hutong_ring_poll(hutong_ring *ring) { return ring->backend->poll(ring); }
int hutong_ring_wait(hutong_ring *ring, uint64_t timeout_ns) { return ring->backend->wait(ring, timeout_ns); }
uint64_t hutong_ring_overflows(const hutong_ring *ring) { return ring->overflows; }

int hutong_ring_reap(hutong_ring *ring, hutong_completion *into, int capacity) {
    return ring->backend->reap(ring, into, capacity);
}

void hutong_ring_wake(hutong_ring *ring) {
    uint64_t one = 1;
    ssize_t written;
    do written = write(ring->wake_event, &one, sizeof one);
    while (written < 0 && errno == EINTR);
}

static int queue(hutong_ring *ring, hutong_operation operation) { return ring->backend->queue(ring, &operation); }

int hutong_queue_accept(hutong_ring *ring, int listener, uint64_t tag) {
    return queue(ring, (hutong_operation){.kind = HUTONG_ACCEPT, .descriptor = listener, .tag = tag});
}

int hutong_queue_receive(hutong_ring *ring, int socket, void *into, unsigned capacity, uint64_t tag) {
    return queue(ring, (hutong_operation){
        .kind = HUTONG_RECEIVE, .descriptor = socket, .memory = into, .count = capacity, .tag = tag});
}

int hutong_queue_send(hutong_ring *ring, int socket, const void *from, unsigned count, uint64_t tag) {
    return queue(ring, (hutong_operation){
        .kind = HUTONG_SEND, .descriptor = socket, .memory = (void *)from, .count = count, .tag = tag});
}

int hutong_queue_send_message(hutong_ring *ring, int socket, const struct msghdr *message, uint64_t tag) {
    return queue(ring, (hutong_operation){
        .kind = HUTONG_SEND_MESSAGE, .descriptor = socket, .memory = (void *)message, .tag = tag});
}

int hutong_queue_read(hutong_ring *ring, int file, void *into, unsigned count, uint64_t offset, uint64_t tag) {
    return queue(ring, (hutong_operation){
        .kind = HUTONG_READ, .descriptor = file, .memory = into, .count = count, .offset = offset, .tag = tag});
}

int hutong_queue_write(
    hutong_ring *ring, int file, const void *from, unsigned count, uint64_t offset, int durable, uint64_t tag) {
    return queue(ring, (hutong_operation){
        .kind = durable ? HUTONG_WRITE_DURABLE : HUTONG_WRITE, .descriptor = file, .memory = (void *)from,
        .count = count, .offset = offset, .tag = tag});
}

int hutong_queue_write_and_sync(
    hutong_ring *ring, int file, const void *from, unsigned count, uint64_t offset, uint64_t write_tag,
    uint64_t sync_tag) {
    return queue(ring, (hutong_operation){
        .kind = HUTONG_WRITE_AND_SYNC, .descriptor = file, .memory = (void *)from, .count = count, .offset = offset,
        .tag = write_tag, .further = sync_tag});
}

int hutong_queue_sync(hutong_ring *ring, int file, int data_only, uint64_t tag) {
    return queue(ring, (hutong_operation){
        .kind = data_only ? HUTONG_SYNC_DATA : HUTONG_SYNC, .descriptor = file, .tag = tag});
}

int hutong_queue_allocate(hutong_ring *ring, int file, uint64_t offset, uint64_t length, uint64_t tag) {
    return queue(ring, (hutong_operation){
        .kind = HUTONG_ALLOCATE, .descriptor = file, .count = length, .offset = offset, .tag = tag});
}

int hutong_queue_cancel(hutong_ring *ring, uint64_t target, uint64_t tag) {
    return queue(ring, (hutong_operation){.kind = HUTONG_CANCEL, .tag = tag, .further = target});
}
