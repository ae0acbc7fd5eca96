#pragma once
// What the host's processor, scheduler and memory offer: checksums, affinity, NUMA, padded atomics' neighbours.

#include <stddef.h>
#include <stdint.h>

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `length` bytes, continued from `crc` (0 to begin).
/// Chosen at the first call: SSE4.2 on x86-64, the CRC extension on arm64, else a table.
uint32_t hutong_crc32c(uint32_t crc, const void *data, size_t length);

/// The portable form, which the others are tested against.
uint32_t hutong_crc32c_portable(uint32_t crc, const void *data, size_t length);

/// The name of the form that is in use: "sse4.2+pclmul", "sse4.2", "armv8-crc" or "table".
const char *hutong_crc32c_name(void);

/// Binds the calling thread to one processor. 0, or a negative errno.
int hutong_pin_thread(int cpu);

/// The processors that this process may use, lowest first; returns their number, at most `capacity` of them stored.
int hutong_allowed_cpus(int *cpus, int capacity);

/// Asks that the calling thread be given the processor for so many nanoseconds at a time, so that it gets it soon when it wakes up beside
/// busy threads: the shorter, the sooner. Linux does so from 6.12 on (sched_setattr(2), sched_runtime of a thread of SCHED_OTHER); before,
/// it changes nothing. 0, or a negative errno.
int hutong_ask_slice(uint64_t nanoseconds);

/// Names the calling thread (15 characters at most are kept).
void hutong_name_thread(const char *name);

/// Zeroed memory of `length` bytes on `node`'s own memory, where there are several; a negative node means anywhere.
/// Page aligned; huge pages are asked for, not demanded. Null where there is none left.
void *hutong_allocate_on_node(size_t length, int node);
void hutong_free_on_node(void *memory, size_t length);

/// Has the kernel provide all of the memory now, on a thread of its own that ends with that: the first touch of a page takes
/// time, on virtual machines milliseconds. The contents stay. The memory must not be freed meanwhile.
void hutong_populate_memory(void *memory, size_t length);

/// Locks the memory against being paged out. 0, or a negative errno.
int hutong_lock_memory(void *memory, size_t length);

/// 1 where the kernel offers NUMA memory policy, else 0.
int hutong_numa_available(void);

/// A file of `length` zeros in memory (memfd_create(2)), closed by exec. Its descriptor, or a negative errno.
int hutong_memory_file(const char *name, size_t length);

/// Starts a thread with `body(context)`; it is detached. 0, or a negative errno.
int hutong_start_thread(void (*body)(void *), void *context);

/// Nanoseconds of the monotonic clock, and milliseconds since 1970 of the wall clock.
uint64_t hutong_monotonic_ns(void);
int64_t hutong_wall_ms(void);

/// 1 where something keeps the wall clock right (adjtimex(2)), 0 where nothing does, or a negative errno.
int hutong_clock_is_synchronized(void);

/// Tells the processor that this is a spin loop.
static inline void hutong_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// Counters in memory that another process may read: each has one writer, or is added to by several.

/// Reads a counter, in no order with other memory.
static inline uint64_t hutong_load(const uint64_t *counter) { return __atomic_load_n(counter, __ATOMIC_RELAXED); }

/// Sets a counter, in no order with other memory.
static inline void hutong_store(uint64_t *counter, uint64_t value) { __atomic_store_n(counter, value, __ATOMIC_RELAXED); }

/// Adds to a counter that several threads add to.
static inline void hutong_add(uint64_t *counter, uint64_t value) { (void)__atomic_fetch_add(counter, value, __ATOMIC_RELAXED); }
