#include "CIO.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void *hutong_mirror_create(size_t capacity) {
    int file = memfd_create("hutong-receive", MFD_CLOEXEC);
    if (file < 0) return NULL;
    void *base = MAP_FAILED;
    if (ftruncate(file, (off_t)capacity) == 0)
        base = mmap(NULL, 2 * capacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base != MAP_FAILED) {
        const int access = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_FIXED;
        if (mmap(base, capacity, access, flags, file, 0) == MAP_FAILED
            || mmap((char *)base + capacity, capacity, access, flags, file, 0) == MAP_FAILED) {
            munmap(base, 2 * capacity);
            base = MAP_FAILED;
        }
    }
    close(file);
    return base == MAP_FAILED ? NULL : base;
}

void hutong_mirror_destroy(void *mirror, size_t capacity) { munmap(mirror, 2 * capacity); }

int hutong_open(const char *path, unsigned flags) {
    int how = O_CLOEXEC;
    how |= flags & (HUTONG_OPEN_READ_ONLY | HUTONG_OPEN_DIRECTORY) ? O_RDONLY : O_RDWR;
    if (flags & HUTONG_OPEN_CREATE) how |= O_CREAT | O_EXCL;
    if (flags & HUTONG_OPEN_DIRECT) how |= O_DIRECT;
    if (flags & HUTONG_OPEN_DIRECTORY) how |= O_DIRECTORY;
    int file = open(path, how, 0640);
    return file < 0 ? -errno : file;
}

int64_t hutong_file_size(int file) {
    struct stat status;
    return fstat(file, &status) == 0 ? (int64_t)status.st_size : -errno;
}

int hutong_lock_file(int file) { return flock(file, LOCK_EX | LOCK_NB) == 0 ? 0 : -errno; }

int hutong_sync_now(int file) { return fdatasync(file) == 0 ? 0 : -errno; }
