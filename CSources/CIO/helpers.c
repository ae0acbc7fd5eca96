// The helper threads of the epoll backend. One lock guards both lists; it is held for a few instructions at a time, never
// over a system call on a file.
//
// They inherit the owner's processors: they mostly sleep in the kernel, and stay near the memory that they are given.

#include "tasks.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

struct hutong_helpers {
    hutong_ring *ring;
    pthread_mutex_t lock;
    pthread_cond_t has_work;
    hutong_task_list waiting, done;
    int has_done; // atomic: lets the owner look without the lock
    int owner_sleeps;
    int idle;
    int stopping;
    int count;
    struct helper {
        struct hutong_helpers *helpers;
        pthread_t thread;
        const hutong_task *runs;
    } each[HUTONG_HELPERS];
};

// MARK: System calls

static ssize_t write_once(const hutong_operation *o) {
    if (o->kind != HUTONG_WRITE_DURABLE) return pwrite(o->descriptor, o->memory, o->count, (off_t)o->offset);
    const struct iovec piece = {o->memory, o->count};
    return pwritev2(o->descriptor, &piece, 1, (off_t)o->offset, RWF_DSYNC);
}

static int64_t call(enum hutong_operation_kind kind, const hutong_operation *o) {
    switch (kind) {
    case HUTONG_READ: return pread(o->descriptor, o->memory, o->count, (off_t)o->offset);
    case HUTONG_WRITE:
    case HUTONG_WRITE_DURABLE:
    case HUTONG_WRITE_AND_SYNC: return write_once(o);
    case HUTONG_SYNC: return fsync(o->descriptor);
    case HUTONG_SYNC_DATA: return fdatasync(o->descriptor);
    case HUTONG_ALLOCATE: return fallocate(o->descriptor, 0, (off_t)o->offset, (off_t)o->count);
    default: abort(); // not a file's
    }
}

static int32_t result_of(enum hutong_operation_kind kind, const hutong_operation *operation) {
    int64_t result;
    do result = call(kind, operation);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : (int32_t)result;
}

static void perform(hutong_task *task) {
    const hutong_operation *operation = &task->operation;
    task->result = result_of(operation->kind, operation);
    if (operation->kind != HUTONG_WRITE_AND_SYNC) return;
    int is_whole = task->result >= 0 && (uint64_t)task->result == operation->count;
    task->further_result = is_whole ? result_of(HUTONG_SYNC_DATA, operation) : -ECANCELED;
}

// MARK: Threads

static void finish(struct hutong_helpers *helpers, hutong_task *task) {
    hutong_append(&helpers->done, task);
    __atomic_store_n(&helpers->has_done, 1, __ATOMIC_RELEASE);
}

static void *help(void *context) {
    struct helper *self = context;
    struct hutong_helpers *helpers = self->helpers;
    pthread_mutex_lock(&helpers->lock);
    while (!helpers->stopping) {
        hutong_task *task = hutong_take_first(&helpers->waiting);
        if (task == NULL) {
            helpers->idle++;
            pthread_cond_wait(&helpers->has_work, &helpers->lock);
            helpers->idle--;
            continue;
        }
        self->runs = task;
        pthread_mutex_unlock(&helpers->lock);
        perform(task);
        pthread_mutex_lock(&helpers->lock);
        self->runs = NULL;
        finish(helpers, task);
        if (helpers->owner_sleeps) {
            helpers->owner_sleeps = 0;
            pthread_mutex_unlock(&helpers->lock);
            hutong_ring_wake(helpers->ring);
            pthread_mutex_lock(&helpers->lock);
        }
    }
    pthread_mutex_unlock(&helpers->lock);
    return NULL;
}

hutong_helpers *hutong_helpers_start(hutong_ring *ring) {
    struct hutong_helpers *helpers = calloc(1, sizeof *helpers);
    if (helpers == NULL) return NULL;
    helpers->ring = ring;
    pthread_mutex_init(&helpers->lock, NULL);
    pthread_cond_init(&helpers->has_work, NULL);
    // Signals are for the process's own threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (helpers->count < HUTONG_HELPERS) {
        struct helper *next = &helpers->each[helpers->count];
        next->helpers = helpers;
        if (pthread_create(&next->thread, NULL, help, next) != 0) break;
        pthread_setname_np(next->thread, "files");
        helpers->count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return helpers;
}

void hutong_helpers_stop(hutong_helpers *helpers) {
    pthread_mutex_lock(&helpers->lock);
    helpers->stopping = 1;
    pthread_cond_broadcast(&helpers->has_work);
    pthread_mutex_unlock(&helpers->lock);
    for (int each = 0; each < helpers->count; each++) pthread_join(helpers->each[each].thread, NULL);
    pthread_cond_destroy(&helpers->has_work);
    pthread_mutex_destroy(&helpers->lock);
    free(helpers);
}

// MARK: The owner

void hutong_helpers_give(hutong_helpers *helpers, hutong_task *task) {
    if (helpers->count == 0) {
        perform(task);
        finish(helpers, task);
        return;
    }
    pthread_mutex_lock(&helpers->lock);
    hutong_append(&helpers->waiting, task);
    int is_idle = helpers->idle > 0;
    pthread_mutex_unlock(&helpers->lock);
    if (is_idle) pthread_cond_signal(&helpers->has_work);
}

hutong_task_list hutong_helpers_take(hutong_helpers *helpers, int sleeps) {
    hutong_task_list none = {NULL, NULL};
    if (!sleeps && !__atomic_load_n(&helpers->has_done, __ATOMIC_ACQUIRE)) return none;
    pthread_mutex_lock(&helpers->lock);
    hutong_task_list done = hutong_take_all(&helpers->done);
    helpers->owner_sleeps = sleeps && done.first == NULL;
    __atomic_store_n(&helpers->has_done, 0, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&helpers->lock);
    return done;
}

hutong_task *hutong_helpers_cancel(hutong_helpers *helpers, uint64_t tag, int *runs) {
    pthread_mutex_lock(&helpers->lock);
    hutong_task *found = hutong_take_tagged(&helpers->waiting, tag);
    *runs = 0;
    for (int each = 0; each < helpers->count; each++) {
        const hutong_task *task = helpers->each[each].runs;
        if (task != NULL && hutong_has_tag(task, tag)) *runs = 1;
    }
    pthread_mutex_unlock(&helpers->lock);
    return found;
}
