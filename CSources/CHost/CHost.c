#include "CHost.h"

#include <errno.h>
#include <fcntl.h>
#include <numa.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

int hutong_pin_thread(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu < 0 || cpu >= CPU_SETSIZE) return -EINVAL;
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0 ? 0 : -errno;
}

int hutong_allowed_cpus(int *cpus, int capacity) {
    cpu_set_t set;
    int count = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return -errno;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &set)) continue;
        if (count < capacity) cpus[count] = cpu;
        count++;
    }
    return count;
}

// As in sched_setattr(2), which the C library does not know.
struct scheduling {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime;
    uint64_t deadline;
    uint64_t period;
};

int hutong_ask_slice(uint64_t nanoseconds) {
    struct scheduling attributes = {0};
    if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return -errno;
    if (attributes.policy != SCHED_OTHER) return 0;
    attributes.size = sizeof attributes;
    attributes.runtime = nanoseconds;
    return syscall(SYS_sched_setattr, 0, &attributes, 0) == 0 ? 0 : -errno;
}

void hutong_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

int hutong_numa_available(void) { return numa_available() >= 0 && numa_max_node() > 0; }

void *hutong_allocate_on_node(size_t length, int node) {
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return NULL;
    madvise(memory, length, MADV_HUGEPAGE);
    if (node >= 0 && hutong_numa_available()) numa_tonode_memory(memory, length, node);
    return memory;
}

void hutong_free_on_node(void *memory, size_t length) { munmap(memory, length); }

struct range {
    char *memory;
    size_t length;
};

static void populate(void *argument) {
    struct range range = *(struct range *)argument;
    free(argument);
    hutong_name_thread("populate");
    // The process's own processors, not the one that the starting thread may be bound to.
    cpu_set_t set;
    if (sched_getaffinity(getpid(), sizeof set, &set) == 0) sched_setaffinity(0, sizeof set, &set);
    // A little at a time, so that the address space is not held for long. Kernels before 5.14 don't know it: they wait for the touch.
    const size_t step = 2 << 20;
    for (size_t at = 0; at < range.length; at += step) {
        size_t rest = range.length - at;
        if (madvise(range.memory + at, rest < step ? rest : step, MADV_POPULATE_WRITE) != 0) break;
    }
}

void hutong_populate_memory(void *memory, size_t length) {
    struct range *range = malloc(sizeof *range);
    if (range == NULL) return;
    *range = (struct range){memory, length};
    if (hutong_start_thread(populate, range) != 0) free(range);
}

int hutong_lock_memory(void *memory, size_t length) { return mlock(memory, length) == 0 ? 0 : -errno; }

struct start {
    void (*body)(void *);
    void *context;
};

static void *begin(void *argument) {
    struct start start = *(struct start *)argument;
    free(argument);
    start.body(start.context);
    return NULL;
}

int hutong_clock_is_synchronized(void) {
    struct timex state;
    memset(&state, 0, sizeof state);
    if (adjtimex(&state) < 0) return -errno;
    return (state.status & STA_UNSYNC) == 0;
}

int hutong_memory_file(const char *name, size_t length) {
    int file = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file < 0) return -errno;
    if (ftruncate(file, (off_t)length) != 0) {
        int code = errno;
        close(file);
        return -code;
    }
    // Who has mapped it is not to find a part gone. Where that can't be had it is as good without.
    (void)fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    return file;
}

int hutong_start_thread(void (*body)(void *), void *context) {
    struct start *start = malloc(sizeof *start);
    if (start == NULL) return -ENOMEM;
    *start = (struct start){body, context};
    pthread_t thread;
    int error = pthread_create(&thread, NULL, begin, start);
    if (error != 0) {
        free(start);
        return -error;
    }
    pthread_detach(thread);
    return 0;
}

uint64_t hutong_monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int64_t hutong_wall_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
