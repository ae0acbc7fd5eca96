// The ring on io_uring (io_uring_setup(2), io_uring_enter(2)).
//
// SINGLE_ISSUER and DEFER_TASKRUN: the kernel does its share of a completion only when the owner asks, in one go, not
// by interrupting it. R_DISABLED lets the ring be made, and its failure be reported, before its thread exists.
//
// Where the submission queue is full and the kernel takes nothing from it (its completion queue is full, or it has no
// memory), an operation waits in the backlog. The owner reaps, and at its next poll the backlog moves on, in order.

#include "backend.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TAG_WAKE (HUTONG_RESERVED_TAGS | 1)
#define BACKLOG_PATIENCE_NS 1000000u // the longest sleep while operations wait for the kernel to take them

struct uring {
    hutong_ring ring;
    struct io_uring queues;
    uint64_t wake_count; // what the armed read of the event is read into
    int wake_armed;
    // Operations from `backlog_first` up to `backlog_end` wait for room in the submission queue.
    hutong_operation *backlog;
    size_t backlog_first, backlog_end, backlog_capacity;
};

static struct uring *uring_of(hutong_ring *ring) { return (struct uring *)ring; }

static int set_up(struct uring *uring, unsigned entries) {
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
        result = io_uring_queue_init_params(entries, &uring->queues, &parameters);
    }
    return result;
}

static int is_refusal(int error) { return error == EPERM || error == ENOSYS || error == EACCES; }

// A system call filter may let rings be made and not be used: better known now than when a thread already runs. On a ring
// that is not enabled yet both calls fail anyhow; only the error matters.
static int check_allowed(struct uring *uring) {
    const int file = uring->queues.ring_fd;
    if (syscall(__NR_io_uring_enter, file, 0, 0, 0, NULL, 0) < 0 && is_refusal(errno)) return -errno;
    if (syscall(__NR_io_uring_register, file, IORING_REGISTER_PROBE, NULL, 0) < 0 && is_refusal(errno)) return -errno;
    return 0;
}

static int uring_create(unsigned entries, int wake_event, hutong_ring **made) {
    (void)wake_event;
    struct uring *uring = calloc(1, sizeof *uring);
    if (uring == NULL) return -ENOMEM;
    int result = set_up(uring, entries);
    if (result == 0) {
        result = check_allowed(uring);
        if (result < 0) io_uring_queue_exit(&uring->queues);
    }
    if (result < 0) {
        free(uring);
        return result;
    }
    *made = &uring->ring;
    return 0;
}

// By the system call: Debian's liburing 2.3 declares io_uring_enable_rings, but does not export it.
static int uring_enable(hutong_ring *ring) {
    long result = syscall(
        __NR_io_uring_register, uring_of(ring)->queues.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    return result < 0 ? -errno : 0;
}

static void uring_destroy(hutong_ring *ring) {
    struct uring *uring = uring_of(ring);
    io_uring_queue_exit(&uring->queues);
    free(uring->backlog);
    free(uring);
}

// Completions may still wait in the kernel when its queue is full; asking for events moves them over.
static int enter(struct uring *uring) {
    int result;
    do result = io_uring_submit_and_get_events(&uring->queues);
    while (result == -EINTR);
    return result == -EAGAIN || result == -EBUSY ? 0 : result < 0 ? result : 0;
}

// MARK: Queueing

static void fill(struct io_uring_sqe *sqe, const hutong_operation *o) {
    switch (o->kind) {
    case HUTONG_ACCEPT: io_uring_prep_multishot_accept(sqe, o->descriptor, NULL, NULL, SOCK_CLOEXEC); break;
    case HUTONG_RECEIVE: io_uring_prep_recv(sqe, o->descriptor, o->memory, o->count, 0); break;
    case HUTONG_SEND: io_uring_prep_send(sqe, o->descriptor, o->memory, o->count, MSG_NOSIGNAL); break;
    case HUTONG_SEND_MESSAGE: io_uring_prep_sendmsg(sqe, o->descriptor, o->memory, MSG_NOSIGNAL); break;
    case HUTONG_CANCEL: io_uring_prep_cancel64(sqe, o->further, 0); break;
    case HUTONG_READ: io_uring_prep_read(sqe, o->descriptor, o->memory, (unsigned)o->count, o->offset); break;
    case HUTONG_WRITE:
    case HUTONG_WRITE_DURABLE:
    case HUTONG_WRITE_AND_SYNC:
        io_uring_prep_write(sqe, o->descriptor, o->memory, (unsigned)o->count, o->offset);
        if (o->kind == HUTONG_WRITE_DURABLE) sqe->rw_flags = RWF_DSYNC;
        if (o->kind == HUTONG_WRITE_AND_SYNC) io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK);
        break;
    case HUTONG_SYNC: io_uring_prep_fsync(sqe, o->descriptor, 0); break;
    case HUTONG_SYNC_DATA: io_uring_prep_fsync(sqe, o->descriptor, IORING_FSYNC_DATASYNC); break;
    case HUTONG_ALLOCATE:
        io_uring_prep_fallocate(sqe, o->descriptor, 0, (off_t)o->offset, (off_t)o->count);
        break;
    }
    io_uring_sqe_set_data64(sqe, o->tag);
}

// Whether there was room for it. A write and its sync must go in one submission, or the link between them is lost.
static int put(struct uring *uring, const hutong_operation *operation) {
    unsigned needed = operation->kind == HUTONG_WRITE_AND_SYNC ? 2 : 1;
    if (io_uring_sq_space_left(&uring->queues) < needed) return 0;
    fill(io_uring_get_sqe(&uring->queues), operation);
    if (needed == 2) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->queues);
        io_uring_prep_fsync(sqe, operation->descriptor, IORING_FSYNC_DATASYNC);
        io_uring_sqe_set_data64(sqe, operation->further);
    }
    return 1;
}

static int has_backlog(const struct uring *uring) { return uring->backlog_first != uring->backlog_end; }

static int postpone(struct uring *uring, const hutong_operation *operation) {
    if (uring->backlog_end == uring->backlog_capacity && uring->backlog_first > 0) {
        uring->backlog_end -= uring->backlog_first;
        memmove(uring->backlog, uring->backlog + uring->backlog_first, uring->backlog_end * sizeof *uring->backlog);
        uring->backlog_first = 0;
    }
    if (uring->backlog_end == uring->backlog_capacity) {
        size_t capacity = uring->backlog_capacity == 0 ? 64 : uring->backlog_capacity * 2;
        hutong_operation *larger = realloc(uring->backlog, capacity * sizeof *larger);
        if (larger == NULL) return -ENOMEM;
        uring->backlog = larger;
        uring->backlog_capacity = capacity;
    }
    uring->backlog[uring->backlog_end++] = *operation;
    uring->ring.overflows++;
    return 0;
}

static int uring_queue(hutong_ring *ring, const hutong_operation *operation) {
    struct uring *uring = uring_of(ring);
    if (!has_backlog(uring)) {
        if (put(uring, operation)) return 0;
        int result = enter(uring);
        if (result < 0) return result;
        if (put(uring, operation)) return 0;
    }
    return postpone(uring, operation);
}

// Submits, and as long as that makes room, moves the backlog on.
static int submit(struct uring *uring) {
    int moved;
    do {
        int result = enter(uring);
        if (result < 0) return result;
        moved = 0;
        while (has_backlog(uring) && put(uring, &uring->backlog[uring->backlog_first])) {
            uring->backlog_first++;
            moved = 1;
        }
    } while (moved);
    if (!has_backlog(uring)) uring->backlog_first = uring->backlog_end = 0;
    return 0;
}

// MARK: Completions

static void arm_wake(struct uring *uring) {
    if (uring->wake_armed) return;
    const hutong_operation read = {
        .kind = HUTONG_READ, .descriptor = uring->ring.wake_event, .memory = &uring->wake_count,
        .count = sizeof uring->wake_count, .tag = TAG_WAKE};
    uring->wake_armed = uring_queue(&uring->ring, &read) == 0;
}

static unsigned ring_flags(struct uring *uring) {
    return __atomic_load_n(uring->queues.sq.kflags, __ATOMIC_ACQUIRE);
}

static int uring_poll(hutong_ring *ring) {
    struct uring *uring = uring_of(ring);
    unsigned flags = ring_flags(uring);
    if (flags & IORING_SQ_CQ_OVERFLOW) ring->overflows++;
    if (io_uring_sq_ready(&uring->queues) == 0 && !(flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW))
        && !has_backlog(uring))
        return 0;
    return submit(uring);
}

static int uring_wait(hutong_ring *ring, uint64_t timeout_ns) {
    struct uring *uring = uring_of(ring);
    arm_wake(uring);
    if (has_backlog(uring)) {
        int result = submit(uring);
        if (result < 0) return result;
        if (timeout_ns > BACKLOG_PATIENCE_NS) timeout_ns = BACKLOG_PATIENCE_NS;
    }
    struct io_uring_cqe *first = NULL;
    struct __kernel_timespec limit = {(int64_t)(timeout_ns / 1000000000u), (long long)(timeout_ns % 1000000000u)};
    int result = io_uring_submit_and_wait_timeout(
        &uring->queues, &first, 1, timeout_ns == UINT64_MAX ? NULL : &limit, NULL);
    if (result == -ETIME || result == -EINTR || result == -EAGAIN || result == -EBUSY) return 0;
    return result < 0 ? result : 0;
}

static int uring_reap(hutong_ring *ring, hutong_completion *into, int capacity) {
    struct uring *uring = uring_of(ring);
    int count = 0;
    unsigned seen = 0, head;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&uring->queues, head, cqe) {
        if (count == capacity) break;
        seen++;
        if (cqe->user_data == TAG_WAKE) {
            uring->wake_armed = 0;
            continue;
        }
        into[count++] = (hutong_completion){cqe->user_data, cqe->res, (cqe->flags & IORING_CQE_F_MORE) != 0};
    }
    io_uring_cq_advance(&uring->queues, seen);
    return count;
}

const hutong_backend hutong_uring_backend = {
    .create = uring_create,
    .enable = uring_enable,
    .destroy = uring_destroy,
    .queue = uring_queue,
    .poll = uring_poll,
    .wait = uring_wait,
    .reap = uring_reap,
};

int hutong_uring_probe(struct hutong_uring_abilities *abilities) {
    struct io_uring ring;
    struct io_uring_params parameters;
    memset(&parameters, 0, sizeof parameters);
    int result = io_uring_queue_init_params(2, &ring, &parameters);
    if (result < 0) return result;
    abilities->features = parameters.features;
    io_uring_queue_exit(&ring);
    memset(&parameters, 0, sizeof parameters);
    parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    result = io_uring_queue_init_params(2, &ring, &parameters);
    abilities->deferred = result == 0;
    if (result == 0) io_uring_queue_exit(&ring);
    return 0;
}
