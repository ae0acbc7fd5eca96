// The ring on io_uring (io_uring_setup(2), io_uring_enter(2)).
//
// SINGLE_ISSUER and DEFER_TASKRUN: the kernel does its share of a completion only when the owner asks, in one go, not
// by interrupting it. R_DISABLED lets the ring be made, and its failure be reported, before its thread exists.

#include "CIO.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TAG_WAKE (HUTONG_RESERVED_TAGS | 1)

struct hutong_ring {
    struct io_uring uring;
    int wake_event;
    uint64_t wake_count; // what the armed read of the event is read into
    int wake_armed;
    uint64_t overflows;
};

static int set_up(struct hutong_ring *ring, unsigned entries) {
    static const unsigned choices[] = {
        IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_R_DISABLED | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_R_DISABLED,
    };
    int result = -EINVAL;
    for (size_t choice = 0; choice < sizeof choices / sizeof *choices && result == -EINVAL; choice++) {
        struct io_uring_params parameters;
        memset(&parameters, 0, sizeof parameters);
        parameters.flags = choices[choice] | IORING_SETUP_CQSIZE;
        parameters.cq_entries = entries * 4;
        result = io_uring_queue_init_params(entries, &ring->uring, &parameters);
    }
    return result;
}

int hutong_ring_create(unsigned entries, hutong_ring **made) {
    struct hutong_ring *ring = calloc(1, sizeof *ring);
    if (ring == NULL) return -ENOMEM;
    int result = set_up(ring, entries);
    if (result < 0) {
        free(ring);
        return result;
    }
    ring->wake_event = eventfd(0, EFD_CLOEXEC);
    if (ring->wake_event < 0) {
        result = -errno;
        io_uring_queue_exit(&ring->uring);
        free(ring);
        return result;
    }
    *made = ring;
    return 0;
}

// By the system call: Debian's liburing 2.3 declares io_uring_enable_rings, but does not export it.
int hutong_ring_enable(hutong_ring *ring) {
    long result = syscall(__NR_io_uring_register, ring->uring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    return result < 0 ? -errno : 0;
}

void hutong_ring_destroy(hutong_ring *ring) {
    io_uring_queue_exit(&ring->uring);
    close(ring->wake_event);
    free(ring);
}

const char *hutong_ring_backend(const hutong_ring *ring) {
    (void)ring;
    return "io_uring";
}

// Completions may still wait in the kernel when its queue is full; asking for events moves them over.
static int enter(hutong_ring *ring) {
    int result;
    do result = io_uring_submit_and_get_events(&ring->uring);
    while (result == -EINTR);
    return result == -EAGAIN || result == -EBUSY ? 0 : result < 0 ? result : 0;
}

static struct io_uring_sqe *entry(hutong_ring *ring) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    if (sqe == NULL && enter(ring) == 0) sqe = io_uring_get_sqe(&ring->uring);
    return sqe;
}

int hutong_queue_accept(hutong_ring *ring, int listener, uint64_t tag) {
    struct io_uring_sqe *sqe = entry(ring);
    if (sqe == NULL) return -EBUSY;
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, tag);
    return 0;
}

int hutong_queue_receive(hutong_ring *ring, int socket, void *into, unsigned capacity, uint64_t tag) {
    struct io_uring_sqe *sqe = entry(ring);
    if (sqe == NULL) return -EBUSY;
    io_uring_prep_recv(sqe, socket, into, capacity, 0);
    io_uring_sqe_set_data64(sqe, tag);
    return 0;
}

int hutong_queue_send(hutong_ring *ring, int socket, const void *from, unsigned count, uint64_t tag) {
    struct io_uring_sqe *sqe = entry(ring);
    if (sqe == NULL) return -EBUSY;
    io_uring_prep_send(sqe, socket, from, count, MSG_NOSIGNAL);
    io_uring_sqe_set_data64(sqe, tag);
    return 0;
}

int hutong_queue_send_message(hutong_ring *ring, int socket, const struct msghdr *message, uint64_t tag) {
    struct io_uring_sqe *sqe = entry(ring);
    if (sqe == NULL) return -EBUSY;
    io_uring_prep_sendmsg(sqe, socket, message, MSG_NOSIGNAL);
    io_uring_sqe_set_data64(sqe, tag);
    return 0;
}

int hutong_queue_read(hutong_ring *ring, int file, void *into, unsigned count, uint64_t offset, uint64_t tag) {
    struct io_uring_sqe *sqe = entry(ring);
    if (sqe == NULL) return -EBUSY;
    io_uring_prep_read(sqe, file, into, count, offset);
    io_uring_sqe_set_data64(sqe, tag);
    return 0;
}

int hutong_queue_write(
    hutong_ring *ring, int file, const void *from, unsigned count, uint64_t offset, int durable, uint64_t tag) {
    struct io_uring_sqe *sqe = entry(ring);
    if (sqe == NULL) return -EBUSY;
    io_uring_prep_write(sqe, file, from, count, offset);
    if (durable) sqe->rw_flags = RWF_DSYNC;
    io_uring_sqe_set_data64(sqe, tag);
    return 0;
}

int hutong_queue_write_and_sync(
    hutong_ring *ring, int file, const void *from, unsigned count, uint64_t offset, uint64_t write_tag,
    uint64_t sync_tag) {
    // Both entries must go in one submission, or the link between them is lost.
    if (io_uring_sq_space_left(&ring->uring) < 2 && enter(ring) < 0) return -EBUSY;
    if (io_uring_sq_space_left(&ring->uring) < 2) return -EBUSY;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    io_uring_prep_write(sqe, file, from, count, offset);
    io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK);
    io_uring_sqe_set_data64(sqe, write_tag);
    sqe = io_uring_get_sqe(&ring->uring);
    io_uring_prep_fsync(sqe, file, IORING_FSYNC_DATASYNC);
    io_uring_sqe_set_data64(sqe, sync_tag);
    return 0;
}

int hutong_queue_sync(hutong_ring *ring, int file, int data_only, uint64_t tag) {
    struct io_uring_sqe *sqe = entry(ring);
    if (sqe == NULL) return -EBUSY;
    io_uring_prep_fsync(sqe, file, data_only ? IORING_FSYNC_DATASYNC : 0);
    io_uring_sqe_set_data64(sqe, tag);
    return 0;
}

int hutong_queue_allocate(hutong_ring *ring, int file, uint64_t offset, uint64_t length, uint64_t tag) {
    struct io_uring_sqe *sqe = entry(ring);
    if (sqe == NULL) return -EBUSY;
    io_uring_prep_fallocate(sqe, file, 0, (off_t)offset, (off_t)length);
    io_uring_sqe_set_data64(sqe, tag);
    return 0;
}

int hutong_queue_cancel(hutong_ring *ring, uint64_t target, uint64_t tag) {
    struct io_uring_sqe *sqe = entry(ring);
    if (sqe == NULL) return -EBUSY;
    io_uring_prep_cancel64(sqe, target, 0);
    io_uring_sqe_set_data64(sqe, tag);
    return 0;
}

static void arm_wake(hutong_ring *ring) {
    if (ring->wake_armed) return;
    struct io_uring_sqe *sqe = entry(ring);
    if (sqe == NULL) return; // tried again before each wait
    io_uring_prep_read(sqe, ring->wake_event, &ring->wake_count, sizeof ring->wake_count, 0);
    io_uring_sqe_set_data64(sqe, TAG_WAKE);
    ring->wake_armed = 1;
}

static unsigned ring_flags(hutong_ring *ring) { return __atomic_load_n(ring->uring.sq.kflags, __ATOMIC_ACQUIRE); }

int hutong_ring_poll(hutong_ring *ring) {
    unsigned flags = ring_flags(ring);
    if (flags & IORING_SQ_CQ_OVERFLOW) ring->overflows++;
    if (io_uring_sq_ready(&ring->uring) == 0 && !(flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW))) return 0;
    return enter(ring);
}

int hutong_ring_wait(hutong_ring *ring, uint64_t timeout_ns) {
    arm_wake(ring);
    struct io_uring_cqe *first = NULL;
    struct __kernel_timespec limit = {(int64_t)(timeout_ns / 1000000000u), (long long)(timeout_ns % 1000000000u)};
    int result = io_uring_submit_and_wait_timeout(
        &ring->uring, &first, 1, timeout_ns == UINT64_MAX ? NULL : &limit, NULL);
    if (result == -ETIME || result == -EINTR || result == -EAGAIN || result == -EBUSY) return 0;
    return result < 0 ? result : 0;
}

int hutong_ring_reap(hutong_ring *ring, hutong_completion *into, int capacity) {
    int count = 0;
    unsigned seen = 0, head;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&ring->uring, head, cqe) {
        if (count == capacity) break;
        seen++;
        if (cqe->user_data == TAG_WAKE) {
            ring->wake_armed = 0;
            continue;
        }
        into[count++] = (hutong_completion){cqe->user_data, cqe->res, (cqe->flags & IORING_CQE_F_MORE) != 0};
    }
    io_uring_cq_advance(&ring->uring, seen);
    return count;
}

void hutong_ring_wake(hutong_ring *ring) {
    uint64_t one = 1;
    ssize_t written;
    do written = write(ring->wake_event, &one, sizeof one);
    while (written < 0 && errno == EINTR);
}

uint64_t hutong_ring_overflows(const hutong_ring *ring) { return ring->overflows; }
