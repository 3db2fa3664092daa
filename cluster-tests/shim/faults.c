/* Faults inside one process, loaded before libc: a failing or slow fsync, a
 * disk that is full, a wall clock that is wrong. The page that the harness
 * shares with the process says which; src/chaos/rig/shim.rs is its other side.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { SYNC_ERRORS, SYNC_DELAY_MS, WRITE_ERRORS, CLOCK_OFFSET_NS, CLOCK_DRIFT_PPM, DRIFT_BEGAN_NS,
       DONE_SYNC_ERRORS = 8, DONE_SYNC_DELAYS, DONE_WRITE_ERRORS, DONE_CLOCK_READS, WORDS = 16 };

static _Atomic int64_t *page;

__attribute__((constructor)) static void load(void) {
    const char *path = getenv("WEIR_CHAOS_FAULTS");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *at = mmap(NULL, WORDS * sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (at != MAP_FAILED) page = at;
}

static int64_t word(int number) { return page ? atomic_load(&page[number]) : 0; }

/* Takes one of the errors that are left; whether there was one. */
static int take(int left, int done) {
    if (word(left) <= 0 || atomic_fetch_sub(&page[left], 1) <= 0) return 0;
    atomic_fetch_add(&page[done], 1);
    return 1;
}

static int sync_fails(void) {
    int64_t delay = word(SYNC_DELAY_MS);
    if (delay > 0) {
        struct timespec pause = {delay / 1000, delay % 1000 * 1000000};
        nanosleep(&pause, NULL);
        atomic_fetch_add(&page[DONE_SYNC_DELAYS], 1);
    }
    return take(SYNC_ERRORS, DONE_SYNC_ERRORS);
}

static int write_fails(int file) {
    struct stat at;
    if (word(WRITE_ERRORS) <= 0 || fstat(file, &at) != 0 || !S_ISREG(at.st_mode)) return 0;
    return take(WRITE_ERRORS, DONE_WRITE_ERRORS);
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int fsync(int file) {
    REAL(fsync);
    if (sync_fails()) { errno = EIO; return -1; }
    return real(file);
}

int fdatasync(int file) {
    REAL(fdatasync);
    if (sync_fails()) { errno = EIO; return -1; }
    return real(file);
}

ssize_t write(int file, const void *bytes, size_t count) {
    REAL(write);
    if (write_fails(file)) { errno = ENOSPC; return -1; }
    return real(file, bytes, count);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    REAL(writev);
    if (write_fails(file)) { errno = ENOSPC; return -1; }
    return real(file, parts, count);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    REAL(pwrite64);
    if (write_fails(file)) { errno = ENOSPC; return -1; }
    return real(file, bytes, count, at);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    int failed = real(clock, now);
    int64_t offset = word(CLOCK_OFFSET_NS), drift = word(CLOCK_DRIFT_PPM);
    if (failed || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) || (!offset && !drift)) return failed;
    int64_t shown = now->tv_sec * INT64_C(1000000000) + now->tv_nsec;
    shown += offset + (shown - word(DRIFT_BEGAN_NS)) / 1000000 * drift;
    now->tv_sec = shown / INT64_C(1000000000);
    now->tv_nsec = shown % INT64_C(1000000000);
    atomic_fetch_add(&page[DONE_CLOCK_READS], 1);
    return 0;
}
