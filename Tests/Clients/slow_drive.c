// Preloaded into a broker: each durable write begins SLOW_DRIVE_MS milliseconds late. What has not begun when the process is killed is never
// written, as what is in a machine's memory when that fails. Only the journal is flushed by such writes (journal.flush.method=dsync), and only on the
// epoll backend by a call that can be taken over: in a thread of its own, so that nothing else is held up.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

static ssize_t (*write_now)(int, const struct iovec *, int, off_t, int);
static useconds_t delay;

__attribute__((constructor)) static void prepare(void) {
    const char *milliseconds = getenv("SLOW_DRIVE_MS");
    delay = 1000 * (milliseconds == NULL ? 0 : (useconds_t)atoi(milliseconds));
    write_now = (ssize_t (*)(int, const struct iovec *, int, off_t, int))dlsym(RTLD_NEXT, "pwritev2");
    if (write_now == NULL) abort();
}

ssize_t pwritev2(int file, const struct iovec *pieces, int count, off_t offset, int flags) {
    if (flags & RWF_DSYNC) usleep(delay);
    return write_now(file, pieces, count, offset, flags);
}
