// The ring on epoll(7), for hosts where io_uring is refused: the same promises, with more system calls.
//
// Sockets: an operation is tried at the next poll or wait, and where it would block it waits at its socket for epoll's
// word. A socket is watched one-shot, and anew for each wait. That costs a call each time, but a socket that was closed,
// its number taken by another, can never be mistaken for being watched still; nobody has to tell this ring of a close.
// Files: helpers.c.

#include "tasks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SLAB_TASKS 128
#define EVENTS 256
#define ACCEPTS_AT_ONCE 64 // the others on this thread are not to wait for a flood of connections

/// Who waits at a socket.
struct watch {
    hutong_task_list reading, writing;
};

struct slab {
    struct slab *next;
    hutong_task tasks[SLAB_TASKS];
};

struct epoll {
    hutong_ring ring;
    int instance;
    struct watch *watches; // by socket
    size_t watch_count;
    size_t waiting;        // tasks at all sockets
    hutong_task_list untried;
    hutong_helpers *helpers; // from the first file operation on
    struct slab *slabs;
    hutong_task *spare;
    // Completions to be reaped, a circle whose capacity is a power of two. There is always room for those that are owed to
    // the operations under way.
    hutong_completion *ready;
    size_t ready_first, ready_count, ready_capacity, owed;
};

static struct epoll *epoll_of(hutong_ring *ring) { return (struct epoll *)ring; }

// MARK: Memory

static hutong_task *take_task(struct epoll *epoll) {
    if (epoll->spare == NULL) {
        struct slab *slab = calloc(1, sizeof *slab);
        if (slab == NULL) return NULL;
        slab->next = epoll->slabs;
        epoll->slabs = slab;
        for (size_t index = 0; index < SLAB_TASKS; index++) {
            slab->tasks[index].next = epoll->spare;
            epoll->spare = &slab->tasks[index];
        }
    }
    hutong_task *task = epoll->spare;
    epoll->spare = task->next;
    return task;
}

static void give_back(struct epoll *epoll, hutong_task *task) {
    task->next = epoll->spare;
    epoll->spare = task;
}

/// Makes room for so many completions more than are owed.
static int reserve(struct epoll *epoll, size_t further) {
    size_t needed = epoll->ready_count + epoll->owed + further;
    if (needed <= epoll->ready_capacity) return 0;
    size_t capacity = epoll->ready_capacity;
    while (capacity < needed) capacity *= 2;
    hutong_completion *larger = malloc(capacity * sizeof *larger);
    if (larger == NULL) return -ENOMEM;
    for (size_t index = 0; index < epoll->ready_count; index++)
        larger[index] = epoll->ready[(epoll->ready_first + index) & (epoll->ready_capacity - 1)];
    free(epoll->ready);
    epoll->ready = larger;
    epoll->ready_first = 0;
    epoll->ready_capacity = capacity;
    return 0;
}

/// Makes the table long enough for the socket.
static int reserve_watch(struct epoll *epoll, int socket) {
    if (socket < 0 || (size_t)socket < epoll->watch_count) return 0;
    size_t count = epoll->watch_count == 0 ? 64 : epoll->watch_count;
    while (count <= (size_t)socket) count *= 2;
    struct watch *larger = realloc(epoll->watches, count * sizeof *larger);
    if (larger == NULL) return -ENOMEM;
    memset(larger + epoll->watch_count, 0, (count - epoll->watch_count) * sizeof *larger);
    epoll->watches = larger;
    epoll->watch_count = count;
    return 0;
}

// MARK: Ends

static void post(struct epoll *epoll, uint64_t tag, int32_t result, int more) {
    size_t at = (epoll->ready_first + epoll->ready_count) & (epoll->ready_capacity - 1);
    epoll->ready[at] = (hutong_completion){tag, result, more != 0};
    epoll->ready_count++;
}

static size_t completions_of(const hutong_operation *operation) {
    return operation->kind == HUTONG_WRITE_AND_SYNC ? 2 : 1;
}

/// The task's last completion, or its last two.
static void finish(struct epoll *epoll, hutong_task *task) {
    epoll->owed -= completions_of(&task->operation);
    post(epoll, task->operation.tag, task->result, 0);
    if (task->operation.kind == HUTONG_WRITE_AND_SYNC) post(epoll, task->operation.further, task->further_result, 0);
    give_back(epoll, task);
}

static void finish_with(struct epoll *epoll, hutong_task *task, int32_t result) {
    task->result = task->further_result = result;
    finish(epoll, task);
}

/// Whether there were any.
static int finish_done(struct epoll *epoll, int sleeps) {
    if (epoll->helpers == NULL) return 0;
    hutong_task_list done = hutong_helpers_take(epoll->helpers, sleeps);
    int any = done.first != NULL;
    for (hutong_task *task; (task = hutong_take_first(&done)) != NULL;) finish(epoll, task);
    return any;
}

// MARK: Sockets

static int32_t attempt(const hutong_operation *o) {
    int64_t result;
    do {
        switch (o->kind) {
        case HUTONG_ACCEPT: result = accept4(o->descriptor, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC); break;
        case HUTONG_RECEIVE: result = recv(o->descriptor, o->memory, o->count, MSG_DONTWAIT); break;
        case HUTONG_SEND: result = send(o->descriptor, o->memory, o->count, MSG_DONTWAIT | MSG_NOSIGNAL); break;
        case HUTONG_SEND_MESSAGE: result = sendmsg(o->descriptor, o->memory, MSG_DONTWAIT | MSG_NOSIGNAL); break;
        default: abort(); // not a socket's
        }
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : (int32_t)result;
}

/// Accepts whom there is to accept; 0 where it goes on.
static int advance_accept(struct epoll *epoll, hutong_task *task) {
    for (int count = 0; count < ACCEPTS_AT_ONCE && reserve(epoll, 1) == 0; count++) {
        int32_t result = attempt(&task->operation);
        if (result == -EAGAIN) return 0;
        if (result == -ECONNABORTED) continue; // gone while it waited to be accepted
        if (result < 0) {
            finish_with(epoll, task, result);
            return 1;
        }
        post(epoll, task->operation.tag, result, 1);
    }
    return 0;
}

/// Does what can be done without waiting; whether that was all.
static int advance(struct epoll *epoll, hutong_task *task) {
    if (task->operation.kind == HUTONG_ACCEPT) return advance_accept(epoll, task);
    int32_t result = attempt(&task->operation);
    if (result == -EAGAIN) return 0;
    finish_with(epoll, task, result);
    return 1;
}

static hutong_task_list *line_of(struct epoll *epoll, const hutong_operation *operation) {
    struct watch *watch = &epoll->watches[operation->descriptor];
    return operation->kind == HUTONG_ACCEPT || operation->kind == HUTONG_RECEIVE ? &watch->reading : &watch->writing;
}

/// Lets epoll tell, once, when those who wait at the socket can go on.
static int arm(struct epoll *epoll, int socket) {
    const struct watch *watch = &epoll->watches[socket];
    struct epoll_event event = {.events = EPOLLONESHOT, .data.fd = socket};
    if (watch->reading.first != NULL) event.events |= EPOLLIN;
    if (watch->writing.first != NULL) event.events |= EPOLLOUT;
    if (epoll_ctl(epoll->instance, EPOLL_CTL_MOD, socket, &event) == 0) return 0;
    if (errno == ENOENT && epoll_ctl(epoll->instance, EPOLL_CTL_ADD, socket, &event) == 0) return 0;
    return -errno;
}

static void finish_all(struct epoll *epoll, hutong_task_list *line, int32_t result) {
    for (hutong_task *task; (task = hutong_take_first(line)) != NULL;) {
        epoll->waiting--;
        finish_with(epoll, task, result);
    }
}

static void arm_or_fail(struct epoll *epoll, int socket) {
    int result = arm(epoll, socket);
    if (result == 0) return;
    finish_all(epoll, &epoll->watches[socket].reading, result);
    finish_all(epoll, &epoll->watches[socket].writing, result);
}

/// Tries a socket's operation for the first time.
static void try_first(struct epoll *epoll, hutong_task *task) {
    int socket = task->operation.descriptor;
    if (socket < 0) {
        finish_with(epoll, task, -EBADF);
        return;
    }
    hutong_task_list *line = line_of(epoll, &task->operation);
    int is_first = line->first == NULL;
    if (is_first && advance(epoll, task)) return;
    hutong_append(line, task);
    epoll->waiting++;
    if (is_first) arm_or_fail(epoll, socket);
}

static void advance_line(struct epoll *epoll, hutong_task_list *line) {
    while (line->first != NULL) {
        hutong_task *next = line->first->next; // a task that has ended is in another list
        if (!advance(epoll, line->first)) return;
        line->first = next;
        epoll->waiting--;
    }
}

static void handle(struct epoll *epoll, const struct epoll_event *event) {
    int socket = event->data.fd;
    if (socket == epoll->ring.wake_event) return;
    struct watch *watch = &epoll->watches[socket];
    if (event->events & (EPOLLIN | EPOLLERR | EPOLLHUP)) advance_line(epoll, &watch->reading);
    if (event->events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) advance_line(epoll, &watch->writing);
    if (watch->reading.first != NULL || watch->writing.first != NULL) arm_or_fail(epoll, socket);
}

// MARK: Queueing

static int start_helpers(struct epoll *epoll) {
    if (epoll->helpers == NULL) epoll->helpers = hutong_helpers_start(&epoll->ring);
    return epoll->helpers == NULL ? -ENOMEM : 0;
}

/// So that accepting never waits; `accept` has no flag for a single call.
static void set_non_blocking(int listener) {
    int flags = fcntl(listener, F_GETFL);
    if (flags >= 0) fcntl(listener, F_SETFL, flags | O_NONBLOCK);
}

static int epoll_queue(hutong_ring *ring, const hutong_operation *operation) {
    struct epoll *epoll = epoll_of(ring);
    int is_file = operation->kind >= HUTONG_READ;
    int result = reserve(epoll, completions_of(operation));
    if (result == 0 && is_file) result = start_helpers(epoll);
    else if (result == 0 && operation->kind != HUTONG_CANCEL) result = reserve_watch(epoll, operation->descriptor);
    if (result < 0) return result;
    hutong_task *task = take_task(epoll);
    if (task == NULL) return -ENOMEM;
    task->operation = *operation;
    epoll->owed += completions_of(operation);
    if (operation->kind == HUTONG_ACCEPT) set_non_blocking(operation->descriptor);
    if (is_file) hutong_helpers_give(epoll->helpers, task);
    else hutong_append(&epoll->untried, task);
    return 0;
}

/// The operation with that tag that waits somewhere, taken out; null where there is none. Sets `runs` where it is under
/// way and can't be ended.
static hutong_task *take_waiting(struct epoll *epoll, uint64_t tag, int *runs) {
    *runs = 0;
    for (size_t socket = 0; socket < epoll->watch_count; socket++) {
        hutong_task *found = hutong_take_tagged(&epoll->watches[socket].reading, tag);
        if (found == NULL) found = hutong_take_tagged(&epoll->watches[socket].writing, tag);
        if (found == NULL) continue;
        epoll->waiting--;
        return found;
    }
    return epoll->helpers == NULL ? NULL : hutong_helpers_cancel(epoll->helpers, tag, runs);
}

static void cancel(struct epoll *epoll, hutong_task *request) {
    int runs;
    hutong_task *target = take_waiting(epoll, request->operation.further, &runs);
    if (target != NULL) finish_with(epoll, target, -ECANCELED);
    finish_with(epoll, request, target != NULL ? 0 : runs ? -EALREADY : -ENOENT);
}

static void try_untried(struct epoll *epoll) {
    hutong_task_list untried = hutong_take_all(&epoll->untried);
    for (hutong_task *task; (task = hutong_take_first(&untried)) != NULL;) {
        if (task->operation.kind == HUTONG_CANCEL) cancel(epoll, task);
        else try_first(epoll, task);
    }
}

// MARK: The owner's turns

/// Takes epoll's events, after at most so many milliseconds (-1: without limit).
static int take_events(struct epoll *epoll, int timeout) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll->instance, events, EVENTS, timeout);
    if (count < 0) return errno == EINTR ? 0 : -errno;
    for (int index = 0; index < count; index++) handle(epoll, &events[index]);
    return 0;
}

static int epoll_poll(hutong_ring *ring) {
    struct epoll *epoll = epoll_of(ring);
    try_untried(epoll);
    finish_done(epoll, 0);
    return epoll->waiting > 0 ? take_events(epoll, 0) : 0;
}

/// epoll_wait's milliseconds, rounded up: who comes too early would find nothing to do, and come again.
static int milliseconds(uint64_t timeout_ns) {
    if (timeout_ns == UINT64_MAX) return -1;
    uint64_t rounded = timeout_ns / 1000000u + (timeout_ns % 1000000u != 0);
    return rounded > INT_MAX ? INT_MAX : (int)rounded;
}

static int epoll_wait_for(hutong_ring *ring, uint64_t timeout_ns) {
    struct epoll *epoll = epoll_of(ring);
    try_untried(epoll);
    if (epoll->ready_count > 0 || finish_done(epoll, 1)) return 0;
    int result = take_events(epoll, milliseconds(timeout_ns));
    finish_done(epoll, 0);
    return result;
}

static int epoll_reap(hutong_ring *ring, hutong_completion *into, int capacity) {
    struct epoll *epoll = epoll_of(ring);
    int count = 0;
    for (; count < capacity && epoll->ready_count > 0; count++) {
        into[count] = epoll->ready[epoll->ready_first];
        epoll->ready_first = (epoll->ready_first + 1) & (epoll->ready_capacity - 1);
        epoll->ready_count--;
    }
    return count;
}

// MARK: Making and ending

static int epoll_create_ring(unsigned entries, int wake_event, hutong_ring **made) {
    struct epoll *epoll = calloc(1, sizeof *epoll);
    if (epoll == NULL) return -ENOMEM;
    epoll->ready_capacity = 64;
    while (epoll->ready_capacity < entries) epoll->ready_capacity *= 2;
    epoll->ready = malloc(epoll->ready_capacity * sizeof *epoll->ready);
    epoll->instance = epoll->ready == NULL ? -1 : epoll_create1(EPOLL_CLOEXEC);
    // Edge-triggered: every write to the event is told once, and nobody need read it.
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = wake_event};
    if (epoll->instance < 0 || epoll_ctl(epoll->instance, EPOLL_CTL_ADD, wake_event, &event) != 0) {
        int result = epoll->ready == NULL ? -ENOMEM : -errno;
        if (epoll->instance >= 0) close(epoll->instance);
        free(epoll->ready);
        free(epoll);
        return result;
    }
    *made = &epoll->ring;
    return 0;
}

static int epoll_enable(hutong_ring *ring) {
    (void)ring;
    return 0;
}

static void epoll_destroy(hutong_ring *ring) {
    struct epoll *epoll = epoll_of(ring);
    if (epoll->helpers != NULL) hutong_helpers_stop(epoll->helpers);
    close(epoll->instance);
    while (epoll->slabs != NULL) {
        struct slab *next = epoll->slabs->next;
        free(epoll->slabs);
        epoll->slabs = next;
    }
    free(epoll->watches);
    free(epoll->ready);
    free(epoll);
}

const hutong_backend hutong_epoll_backend = {
    .create = epoll_create_ring,
    .enable = epoll_enable,
    .destroy = epoll_destroy,
    .queue = epoll_queue,
    .poll = epoll_poll,
    .wait = epoll_wait_for,
    .reap = epoll_reap,
};
