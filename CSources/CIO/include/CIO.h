#pragma once
// Asynchronous input and output: a ring that takes operations on sockets and files and hands back completions.
//
// One thread owns a ring and makes all calls on it, but for hutong_ring_wake. Every operation bears a tag, which its
// completion bears again; tags from HUTONG_RESERVED_TAGS up are the ring's own. Memory given to an operation belongs to
// it until its completion is reaped. Operations that are under way together may be done in any order. Functions return 0
// (or what they say), or a negative errno.

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

typedef struct hutong_ring hutong_ring;

typedef struct {
    uint64_t tag;
    int32_t result; // what the operation returned, or a negative errno
    uint32_t more;  // 1: the operation goes on, and further completions will bear its tag
} hutong_completion;

#define HUTONG_RESERVED_TAGS 0xff00000000000000u

/// The way to the kernel.
enum hutong_ring_backend {
    HUTONG_IO_URING = 0, // all operations in rings shared with the kernel
    HUTONG_EPOLL = 1,    // sockets by epoll, files by two helper threads: slower, but never refused
};

/// A ring for `entries` operations between two submissions; more are taken, and wait their turn. It is made disabled; its
/// owner enables it. Where the kernel refuses io_uring: -EPERM, -EACCES, -ENOSYS, or -ENOMEM for lockable memory.
int hutong_ring_create(enum hutong_ring_backend backend, unsigned entries, hutong_ring **made);
/// To be called first, by the thread that will own the ring.
int hutong_ring_enable(hutong_ring *ring);
/// Operations that are under way get no completion. With epoll those on files that have begun are waited for; with
/// io_uring the kernel may still be at them, and at their memory, for a moment.
void hutong_ring_destroy(hutong_ring *ring);

/// Accepts connections on `listener` until cancelled: a completion each, whose result is the new socket.
int hutong_queue_accept(hutong_ring *ring, int listener, uint64_t tag);
int hutong_queue_receive(hutong_ring *ring, int socket, void *into, unsigned capacity, uint64_t tag);
int hutong_queue_send(hutong_ring *ring, int socket, const void *from, unsigned count, uint64_t tag);
/// Sends what `message` gathers; it and its vector stay the caller's until the completion.
int hutong_queue_send_message(hutong_ring *ring, int socket, const struct msghdr *message, uint64_t tag);
int hutong_queue_read(hutong_ring *ring, int file, void *into, unsigned count, uint64_t offset, uint64_t tag);
/// Writes; where `durable`, completes only when the bytes are on stable storage (RWF_DSYNC).
int hutong_queue_write(
    hutong_ring *ring, int file, const void *from, unsigned count, uint64_t offset, int durable, uint64_t tag);
/// Writes, and when that went well in full, makes the file's data stable: two linked operations, two completions. The
/// second is cancelled (-ECANCELED) where the first failed or fell short.
int hutong_queue_write_and_sync(
    hutong_ring *ring, int file, const void *from, unsigned count, uint64_t offset, uint64_t write_tag,
    uint64_t sync_tag);
/// fdatasync where `data_only`, else fsync.
int hutong_queue_sync(hutong_ring *ring, int file, int data_only, uint64_t tag);
/// Allocates blocks (posix_fallocate's meaning).
int hutong_queue_allocate(hutong_ring *ring, int file, uint64_t offset, uint64_t length, uint64_t tag);
/// Asks for the operation with tag `target` to end early; it still completes, mostly with -ECANCELED. The request's own
/// completion bears `tag`: 0, -ENOENT where there is no such operation, or -EALREADY where it is too far on.
int hutong_queue_cancel(hutong_ring *ring, uint64_t target, uint64_t tag);

/// Submits what is queued and makes room for completions that are ready, without waiting.
int hutong_ring_poll(hutong_ring *ring);
/// As poll, but waits for a completion or a wake; at most `timeout_ns` (UINT64_MAX: without limit).
int hutong_ring_wait(hutong_ring *ring, uint64_t timeout_ns);
/// Takes up to `capacity` completions; returns their number.
int hutong_ring_reap(hutong_ring *ring, hutong_completion *into, int capacity);
/// From any thread: ends the owner's wait, or the next one.
void hutong_ring_wake(hutong_ring *ring);
/// How often a queue shared with the kernel was full, so that completions or operations had to wait. None is lost.
uint64_t hutong_ring_overflows(const hutong_ring *ring);

/// A listening TCP socket; `port` 0 lets the kernel choose. `bound_port` is what was taken. The socket, or a negative
/// errno (-EADDRNOTAVAIL also where the host's name does not resolve).
int hutong_listen(const char *host, uint16_t port, int backlog, uint16_t *bound_port);
/// A connected TCP socket, or a negative errno.
int hutong_connect(const char *host, uint16_t port);
/// Answers leave at once (TCP_NODELAY), and a peer that has vanished without a word is noticed in two minutes (keep-alive).
int hutong_set_no_delay(int socket);

/// A peer that does not acknowledge, or answer a probe, for so many milliseconds is taken for gone. 0, or a negative errno.
int hutong_set_impatient(int socket, int milliseconds);
/// The other side's address as text, "unknown" where it can't be had.
void hutong_peer_name(int socket, char *into, size_t capacity);
/// A number for the other side's address: the same for one IPv4 address (mapped into IPv6 or not), and for one IPv6 network
/// of 64 bits. 0 where it can't be had.
uint64_t hutong_peer_address(int socket);
/// When the socket is closed, what the kernel holds to send is dropped (a reset): else it keeps it for a client that takes
/// nothing, for minutes.
void hutong_discard_unsent(int socket);
/// Raises the limit on open descriptors (RLIMIT_NOFILE) from soft to hard. Returns the limit that is now in force.
uint64_t hutong_raise_descriptor_limit(void);

/// A ring buffer of `capacity` bytes (a multiple of the page) whose memory is mapped twice in a row, so that any range
/// of it is contiguous. Null where there is no memory.
void *hutong_mirror_create(size_t capacity);
void hutong_mirror_destroy(void *mirror, size_t capacity);

enum hutong_open_flags {
    HUTONG_OPEN_CREATE = 1,    // must not exist yet
    HUTONG_OPEN_DIRECT = 2,    // past the page cache; offsets, lengths and memory aligned
    HUTONG_OPEN_READ_ONLY = 4,
    HUTONG_OPEN_DIRECTORY = 8, // to sync the directory's own entries
};
/// The file, or a negative errno.
int hutong_open(const char *path, unsigned flags);
/// The file's length in bytes, or a negative errno.
int64_t hutong_file_size(int file);
/// An exclusive lock on the file for as long as it is open. -EWOULDBLOCK where another process has it.
int hutong_lock_file(int file);
/// fdatasync on the calling thread.
int hutong_sync_now(int file);

/// What io_uring offers on this kernel: its feature bits (IORING_FEAT_*, io_uring_setup(2)), and whether a ring with one submitter and deferred
/// task work can be made (Linux 6.1). 0, or a negative errno where it is refused. On epoll-only hosts nothing else is touched.
struct hutong_uring_abilities {
    uint32_t features;
    int32_t deferred;
};
int hutong_uring_probe(struct hutong_uring_abilities *abilities);
