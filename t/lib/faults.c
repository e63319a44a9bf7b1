/*
 * faults.c - calls that fail (faults.h).
 */
#include "t/lib/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libmemo/memo.h"
#include "libmemo/node/heap.h"

static _Atomic bool armed; /* else nothing fails, and nothing is counted */
static _Atomic int calls, failed;
static int fail_at;
static bool good;
static const char *first, *only;

void faults_arm(int at, bool for_good)
{
    calls = failed = 0;
    first = NULL;
    fail_at = at;
    good = for_good;
    armed = true;
}

void faults_arm_only(const char *name)
{
    only = name;
    faults_arm(1, true);
}

int faults_disarm(void)
{
    only = NULL;
    armed = false;
    return failed;
}

const char *faults_first(void)
{
    return first;
}

static bool fails(const char *name, int with)
{
    if (!armed || (only != NULL && strcmp(name, only) != 0)) {
        return false;
    }
    int call = ++calls;
    if (call != fail_at && !(good && call > fail_at)) {
        return false;
    }
    if (failed++ == 0) {
        first = name;
    }
    errno = with;
    return true;
}

/* The linker's names. */
// NOLINTBEGIN(bugprone-reserved-identifier)
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__real_mmap(void *at, size_t count, int protection, int flags, int fd, off_t from);
void *__wrap_mmap(void *at, size_t count, int protection, int flags, int fd, off_t from);
int __real_madvise(void *at, size_t count, int advice);
int __wrap_madvise(void *at, size_t count, int advice);
int __real_ftruncate(int fd, off_t size);
int __wrap_ftruncate(int fd, off_t size);
int __real_fallocate(int fd, int mode, off_t from, off_t count);
int __wrap_fallocate(int fd, int mode, off_t from, off_t count);
int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);
int __real_linkat(int from, const char *old, int to, const char *new, int flags);
int __wrap_linkat(int from, const char *old, int to, const char *new, int flags);
ssize_t __real_pread(int fd, void *to, size_t count, off_t at);
ssize_t __wrap_pread(int fd, void *to, size_t count, off_t at);
int __real_memfd_create(const char *of, unsigned flags);
int __wrap_memfd_create(const char *of, unsigned flags);
int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);
int __real_open(const char *file, int flags, ...);
int __wrap_open(const char *file, int flags, ...);
int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
int __real_pthread_create(pthread_t *t, const pthread_attr_t *how, void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *how, void *(*run)(void *), void *arg);
int __real_heap_alloc(self_t *s, uint64_t bytes, offset_t *dest);
int __wrap_heap_alloc(self_t *s, uint64_t bytes, offset_t *dest);

void *__wrap_malloc(size_t size)
{
    return fails("malloc", ENOMEM) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails("calloc", ENOMEM) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    return fails("realloc", ENOMEM) ? NULL : __real_realloc(block, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails("aligned_alloc", ENOMEM) ? NULL : __real_aligned_alloc(alignment, size);
}

void *__wrap_mmap(void *at, size_t count, int protection, int flags, int fd, off_t from)
{
    return fails("mmap", ENOMEM) ? MAP_FAILED : __real_mmap(at, count, protection, flags, fd, from);
}

int __wrap_madvise(void *at, size_t count, int advice)
{
    return fails("madvise", EINVAL) ? -1 : __real_madvise(at, count, advice);
}

int __wrap_ftruncate(int fd, off_t size)
{
    return fails("ftruncate", ENOSPC) ? -1 : __real_ftruncate(fd, size);
}

int __wrap_fallocate(int fd, int mode, off_t from, off_t count)
{
    return fails("fallocate", ENOSPC) ? -1 : __real_fallocate(fd, mode, from, count);
}

int __wrap_fchmod(int fd, mode_t mode)
{
    return fails("fchmod", EPERM) ? -1 : __real_fchmod(fd, mode);
}

int __wrap_linkat(int from, const char *old, int to, const char *new, int flags)
{
    return fails("linkat", ENOSPC) ? -1 : __real_linkat(from, old, to, new, flags);
}

ssize_t __wrap_pread(int fd, void *to, size_t count, off_t at)
{
    return fails("pread", EIO) ? -1 : __real_pread(fd, to, count, at);
}

int __wrap_memfd_create(const char *of, unsigned flags)
{
    return fails("memfd_create", EMFILE) ? -1 : __real_memfd_create(of, flags);
}

int __wrap_eventfd(unsigned value, int flags)
{
    return fails("eventfd", EMFILE) ? -1 : __real_eventfd(value, flags);
}

int __wrap_open(const char *file, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int mode = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(args, int) : 0;
    va_end(args);
    return fails("open", EMFILE) ? -1 : __real_open(file, flags, mode);
}

int __wrap_fcntl(int fd, int command, ...)
{
    va_list args;
    va_start(args, command);
    void *arg = va_arg(args, void *);
    va_end(args);
    return fails("fcntl", ENOLCK) ? -1 : __real_fcntl(fd, command, arg);
}

/* Futexes (and membarrier, getcpu): those that sleep return at once, those that wake wake nobody. */
long __wrap_syscall(long number, ...)
{
    long a[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(args, long);
    }
    va_end(args);
    return fails(number == SYS_futex ? "futex" : "syscall", ENOMEM)
               ? -1
               : __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *how, void *(*run)(void *), void *arg)
{
    return fails("pthread_create", EAGAIN) ? EAGAIN : __real_pthread_create(t, how, run, arg);
}

/* The space is full; what its reserve is for it has. */
int __wrap_heap_alloc(self_t *s, uint64_t bytes, offset_t *dest)
{
    return !s->from_reserve && fails("heap_alloc", ENOMEM) ? MEMO_EFULL : __real_heap_alloc(s, bytes, dest);
}
// NOLINTEND(bugprone-reserved-identifier)
