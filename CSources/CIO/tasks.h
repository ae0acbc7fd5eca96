#pragma once
// Operations of the epoll backend that are under way, in lists.

#include "backend.h"

/// An operation, and what has become of it.
typedef struct hutong_task {
    hutong_operation operation;
    int32_t result;
    int32_t further_result; // WRITE_AND_SYNC: the sync's
    struct hutong_task *next;
} hutong_task;

typedef struct {
    hutong_task *first, *last;
} hutong_task_list;

static inline void hutong_append(hutong_task_list *list, hutong_task *task) {
    task->next = NULL;
    if (list->first == NULL) list->first = task;
    else list->last->next = task;
    list->last = task;
}

/// The first, taken out; null where the list is empty.
static inline hutong_task *hutong_take_first(hutong_task_list *list) {
    hutong_task *task = list->first;
    if (task != NULL) list->first = task->next;
    return task;
}

/// All, taken out.
static inline hutong_task_list hutong_take_all(hutong_task_list *list) {
    hutong_task_list all = *list;
    list->first = list->last = NULL;
    return all;
}

static inline int hutong_has_tag(const hutong_task *task, uint64_t tag) {
    return task->operation.tag == tag
        || (task->operation.kind == HUTONG_WRITE_AND_SYNC && task->operation.further == tag);
}

/// The first with that tag, taken out; null where there is none.
static inline hutong_task *hutong_take_tagged(hutong_task_list *list, uint64_t tag) {
    hutong_task *before = NULL;
    for (hutong_task *task = list->first; task != NULL; before = task, task = task->next) {
        if (!hutong_has_tag(task, tag)) continue;
        if (before == NULL) list->first = task->next;
        else before->next = task->next;
        if (list->last == task) list->last = before;
        return task;
    }
    return NULL;
}

// The threads that do file operations for a ring's owner, who must not wait for a drive because it also serves sockets.
// All functions but the threads' own are the owner's.

#define HUTONG_HELPERS 2

typedef struct hutong_helpers hutong_helpers;

/// Starts them; `ring` is woken when a task is done while its owner sleeps. Null where there is no memory. Where no
/// thread can be had, the owner does the tasks itself: slower, but they get done.
hutong_helpers *hutong_helpers_start(hutong_ring *ring);
/// Waits for the tasks that have begun, and ends the threads; what has not begun is dropped.
void hutong_helpers_stop(hutong_helpers *helpers);
/// Hands a task over, until it comes back from `take`. Tasks begin in order, and run side by side.
void hutong_helpers_give(hutong_helpers *helpers, hutong_task *task);
/// The tasks that are done. Where none is and the owner `sleeps` next, the next to be done wakes it.
hutong_task_list hutong_helpers_take(hutong_helpers *helpers, int sleeps);
/// Takes a task back that has not begun; null where there is none with that tag. Sets `runs` where it has begun.
hutong_task *hutong_helpers_cancel(hutong_helpers *helpers, uint64_t tag, int *runs);
