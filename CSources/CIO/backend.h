#pragma once
// What the ways to the kernel (uring.c, epoll.c) have in common: how an operation is described, and what each of them
// does for a ring. ring.c passes the calls of CIO.h on to the one that a ring was made with.

#include "CIO.h"

enum hutong_operation_kind {
    HUTONG_ACCEPT,
    HUTONG_RECEIVE,
    HUTONG_SEND,
    HUTONG_SEND_MESSAGE,
    HUTONG_CANCEL,
    HUTONG_READ, // from here on: files
    HUTONG_WRITE,
    HUTONG_WRITE_DURABLE,
    HUTONG_WRITE_AND_SYNC,
    HUTONG_SYNC,
    HUTONG_SYNC_DATA,
    HUTONG_ALLOCATE,
};

typedef struct {
    enum hutong_operation_kind kind;
    int descriptor;   // a socket's or a file's
    void *memory;     // SEND_MESSAGE: the msghdr
    uint64_t count;   // bytes; ALLOCATE: of the file
    uint64_t offset;  // in the file
    uint64_t tag;
    uint64_t further; // WRITE_AND_SYNC: the sync's tag. CANCEL: the tag of the operation that is to end
} hutong_operation;

typedef struct {
    int (*create)(unsigned entries, int wake_event, hutong_ring **made);
    int (*enable)(hutong_ring *ring);
    void (*destroy)(hutong_ring *ring);
    /// Takes the operation on, whatever room there is: an error means that the ring can't go on.
    int (*queue)(hutong_ring *ring, const hutong_operation *operation);
    int (*poll)(hutong_ring *ring);
    int (*wait)(hutong_ring *ring, uint64_t timeout_ns);
    int (*reap)(hutong_ring *ring, hutong_completion *into, int capacity);
} hutong_backend;

/// The beginning of every backend's ring.
struct hutong_ring {
    const hutong_backend *backend;
    int wake_event; // an eventfd
    uint64_t overflows;
};

extern const hutong_backend hutong_uring_backend, hutong_epoll_backend;
