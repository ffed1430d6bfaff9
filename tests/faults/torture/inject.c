/* Fails or kills a process at the k-th call of its libc: the LD_PRELOAD half of inject.py.
 *
 * TORTURE_SPEC    rules `class:k[+]:action`, joined by `;`   (k from 1; `+`: from the k-th on)
 * TORTURE_COUNTS  a file of 4096 bytes that is mapped: calls seen per class, then how often each rule struck.
 *
 * Both are read at the first call of a process, and again by a child after fork. The page is shared memory, so that
 * what was counted outlives kill -9, and counting itself makes no call that would be counted.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { ANY, WRITE, STDOUT, DISK, SEND, FSYNC, RENAME, UNLINK, TRUNCATE, PREAD, CLASSES };
static const char *const NAMES[CLASSES] = {"any",   "write",  "stdout", "disk",    "send",
                                           "fsync", "rename", "unlink", "truncate", "pread"};
enum { PASS, KILL, KILL_AFTER, SHORT_KILL, TERM, INT, STOP, FAIL };

#define RULES 8
struct rule {
    int class, action, error, persists;
    uint64_t at;
};
struct page {
    uint64_t counts[16];
    uint64_t struck[RULES];
};

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static int is_read; /* whether the environment of this process has been looked at */
static struct rule rules[RULES];
static int rule_count;
static struct page *page;
static struct page own_page; /* when there is no file */

static void forget(void) {
    is_read = 0;
    pthread_mutex_init(&guard, NULL);
}

static void __attribute__((constructor)) watch_forks(void) { pthread_atfork(NULL, NULL, forget); }

static int action_of(const char *text, int *error) {
    if (!strncmp(text, "errno=", 6)) {
        *error = atoi(text + 6);
        return FAIL;
    }
    if (!strncmp(text, "kill-after", 10)) return KILL_AFTER;
    if (!strncmp(text, "short-kill", 10)) return SHORT_KILL;
    if (!strncmp(text, "kill", 4)) return KILL;
    if (!strncmp(text, "term", 4)) return TERM;
    if (!strncmp(text, "int", 3)) return INT;
    if (!strncmp(text, "stop", 4)) return STOP;
    return PASS;
}

static void read_rules(const char *text) {
    rule_count = 0;
    while (text && *text && rule_count < RULES) {
        struct rule rule = {.class = -1};
        const char *colon = strchr(text, ':');
        if (!colon) return;
        for (int class = 0; class < CLASSES; class++)
            if (strlen(NAMES[class]) == (size_t)(colon - text) && !strncmp(NAMES[class], text, colon - text))
                rule.class = class;
        char *end;
        rule.at = strtoull(colon + 1, &end, 10);
        if (*end == '+') {
            rule.persists = 1;
            end++;
        }
        if (*end != ':' || rule.class < 0) return;
        rule.action = action_of(end + 1, &rule.error);
        rules[rule_count++] = rule;
        text = strchr(end, ';');
        if (text) text++;
    }
}

static void read_environment(void) {
    int before = errno;
    pthread_mutex_lock(&guard);
    if (!is_read) {
        const char *path = getenv("TORTURE_COUNTS");
        page = NULL;
        if (path) {
            int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
            if (file >= 0) {
                void *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
                if (mapped != MAP_FAILED) page = mapped;
                syscall(SYS_close, file);
            }
        }
        if (!page) {
            memset(&own_page, 0, sizeof own_page);
            page = &own_page;
        }
        read_rules(getenv("TORTURE_SPEC"));
        __atomic_store_n(&is_read, 1, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&guard);
    errno = before;
}

static void signal_self(int number) { syscall(SYS_kill, syscall(SYS_getpid), number); }

static void die(void) {
    signal_self(SIGKILL);
    for (;;) pause();
}

/* Counts one call of the classes in `mask` and returns what is to be done with it; signals are sent here. */
static int consult(unsigned mask, int *error) {
    if (!__atomic_load_n(&is_read, __ATOMIC_ACQUIRE)) read_environment();
    int verdict = PASS;
    if (mask != 1u << PREAD) mask |= 1u << ANY;
    uint64_t now[CLASSES];
    for (int class = 0; class < CLASSES; class++)
        if (mask & (1u << class)) now[class] = __atomic_add_fetch(&page->counts[class], 1, __ATOMIC_SEQ_CST);
    for (int index = 0; index < rule_count; index++) {
        struct rule *rule = &rules[index];
        if (!(mask & (1u << rule->class))) continue;
        uint64_t count = now[rule->class];
        if (count != rule->at && !(rule->persists && count > rule->at)) continue;
        __atomic_add_fetch(&page->struck[index], 1, __ATOMIC_SEQ_CST);
        switch (rule->action) {
        case KILL: die(); break;
        case TERM: signal_self(SIGTERM); break;
        case INT: signal_self(SIGINT); break;
        case STOP: signal_self(SIGSTOP); break;
        case FAIL: *error = rule->error; /* fall through */
        default: verdict = rule->action;
        }
    }
    return verdict;
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define AROUND(mask, call) \
    int error = EIO, verdict = consult(mask, &error); \
    if (verdict == FAIL) { \
        errno = error; \
        return -1; \
    } \
    __typeof__(call) result = call; \
    if (verdict == KILL_AFTER || verdict == SHORT_KILL) die(); \
    return result

/* What a write to this descriptor is; writes to stderr are `any` and nothing else. */
static unsigned kind_of(int file) {
    if (file == 2) return 0;
    if (file == 1) return 1u << WRITE | 1u << STDOUT;
    struct stat found;
    int before = errno;
    unsigned mask = 1u << WRITE;
    if (!fstat(file, &found) && S_ISREG(found.st_mode)) mask |= 1u << DISK;
    errno = before;
    return mask;
}

/* The part of `size` bytes that is written before the process dies. */
static size_t part_of(int verdict, size_t size) { return verdict == SHORT_KILL && size > 1 ? size / 2 : size; }

ssize_t write(int file, const void *data, size_t size) {
    REAL(write);
    AROUND(kind_of(file), real(file, data, part_of(verdict, size)));
}
ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    REAL(pwrite);
    AROUND(kind_of(file), real(file, data, part_of(verdict, size), at));
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    REAL(pwrite64);
    AROUND(kind_of(file), real(file, data, part_of(verdict, size), at));
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    REAL(writev);
    AROUND(kind_of(file), real(file, parts, count));
}
/* A connection that refuses a send is gone: libpq goes on reading what a living one would still say. */
#define AROUND_SEND(call) \
    int error = EIO, verdict = consult(1u << SEND, &error); \
    if (verdict == FAIL) { \
        shutdown(file, SHUT_RDWR); \
        errno = error; \
        return -1; \
    } \
    __typeof__(call) result = call; \
    if (verdict == KILL_AFTER || verdict == SHORT_KILL) die(); \
    return result

ssize_t send(int file, const void *data, size_t size, int flags) {
    REAL(send);
    AROUND_SEND(real(file, data, part_of(verdict, size), flags));
}
ssize_t sendto(int file, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    REAL(sendto);
    AROUND_SEND(real(file, data, part_of(verdict, size), flags, to, length));
}
ssize_t sendmsg(int file, const struct msghdr *message, int flags) {
    REAL(sendmsg);
    AROUND_SEND(real(file, message, flags));
}
int fsync(int file) {
    REAL(fsync);
    AROUND(1u << FSYNC, real(file));
}
int fdatasync(int file) {
    REAL(fdatasync);
    AROUND(1u << FSYNC, real(file));
}
int rename(const char *from, const char *to) {
    REAL(rename);
    AROUND(1u << RENAME, real(from, to));
}
int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    REAL(renameat);
    AROUND(1u << RENAME, real(from_folder, from, to_folder, to));
}
int unlink(const char *path) {
    REAL(unlink);
    AROUND(1u << UNLINK, real(path));
}
int unlinkat(int folder, const char *path, int flags) {
    REAL(unlinkat);
    AROUND(1u << UNLINK, real(folder, path, flags));
}
int ftruncate(int file, off_t size) {
    REAL(ftruncate);
    AROUND(1u << TRUNCATE, real(file, size));
}
int ftruncate64(int file, off64_t size) {
    REAL(ftruncate64);
    AROUND(1u << TRUNCATE, real(file, size));
}
ssize_t pread(int file, void *data, size_t size, off_t at) {
    REAL(pread);
    AROUND(1u << PREAD, real(file, data, size, at));
}
ssize_t pread64(int file, void *data, size_t size, off64_t at) {
    REAL(pread64);
    AROUND(1u << PREAD, real(file, data, size, at));
}
