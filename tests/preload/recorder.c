/*
 * Preloaded into a real `bursar serve`, this library writes down what the server does to its data directory and which
 * bytes leave and enter its sockets, in one total order; and it makes calls fail, kills the process at an exact call,
 * and shifts the wall clock, when a test says so.
 *
 * It must not change what a call does, unless the test has asked for a fault.
 *
 *   RECORDER_ROOT     only paths below this absolute path are recorded or made to fail
 *   RECORDER_LOG      where events are appended; nothing is recorded without it
 *   RECORDER_CONTROL  a file of `struct control` that the test may change while the server runs
 *
 * A call that changes anything, or sends or receives, is made and written down under one lock, so the order of events is
 * the order in which they happened. Only a sync is made outside of it, between two events: what was written before the
 * first is durable after the second. Every event is in the log (in the page cache, that is) when the lock is let go, so a
 * kill takes none away.
 *
 * The calls are made as system calls, not through the C library, so that nothing here calls itself.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The kinds of events. `tests/it/power_loss/event_log.rs` has the same numbers. */
enum {
    STARTED = 1,
    OPENED,
    WROTE,
    FILLED,
    SET_LENGTH,
    SYNC_BEGUN,
    SYNC_ENDED,
    RANGE_SYNCED,
    RENAMED,
    UNLINKED,
    MADE_DIRECTORY,
    REMOVED_DIRECTORY,
    ACCEPTED,
    SENT,
    RECEIVED,
    FAULTED,
    UNFOLLOWED,
    LINKED,
};

/* One event; then come the path (two of them with a zero byte between, for a rename) and the data. */
struct event {
    uint32_t kind;
    /* A number for each opened file or socket, never used twice in one process. */
    uint32_t handle;
    /* Where it was written; which sync; the flags of an open; the class of a fault. */
    uint64_t offset;
    /* The new length; the byte that fills; the error number of a sync or a fault. */
    uint64_t value;
    uint64_t path_bytes;
    uint64_t data_bytes;
};

/* Classes of calls, for faults and kills. `tests/it/recorder.rs` has the same bits. */
enum {
    OPEN_TO_WRITE = 1 << 0,
    OPEN_TO_READ = 1 << 1,
    WRITE = 1 << 2,
    SYNC = 1 << 3,
    SYNC_RANGE = 1 << 4,
    TRUNCATE = 1 << 5,
    RENAME = 1 << 6,
    REMOVE = 1 << 7,
    MAKE_DIRECTORY = 1 << 8,
    READ = 1 << 9,
    COPY = 1 << 10,
    SEND = 1 << 11,
};

enum { FROM_THEN_ON = 1 << 0, SHORT_FIRST = 1 << 1, KILL = 1 << 2 };

/* What the test asks for. It writes `classes` last. */
struct control {
    /* Added to CLOCK_REALTIME, in nanoseconds. */
    int64_t clock_offset_ns;
    /* Which calls are counted; zero for no fault. */
    uint64_t classes;
    /* The how-manyeth of them is struck. */
    uint64_t countdown;
    uint64_t error;
    uint64_t mode;
    /* How many were struck: written here, read by the test. */
    uint64_t struck;
    /* How many calls of each class there were: written here, read by the test. */
    uint64_t calls[16];
};

enum { DESCRIPTORS = 65536, NONE = 0, FILE_OR_DIRECTORY, SOCKET };

/* What a descriptor stands for. Read without the lock, because a signal handler writes to a pipe of its own. */
static struct {
    volatile uint8_t kind;
    uint32_t handle;
} table[DESCRIPTORS];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile struct control *control;
static const char *root;
static size_t root_bytes;
static int log_descriptor = -1;
static uint32_t last_handle;
static uint64_t last_sync;

static void give_up(const char *what)
{
    dprintf(2, "recorder: %s: %s\n", what, strerror(errno));
    abort();
}

static void append(uint32_t kind, uint32_t handle, uint64_t offset, uint64_t value, const char *path,
                   size_t path_bytes, const void *data, size_t data_bytes)
{
    struct event event = {kind, handle, offset, value, path_bytes, data_bytes};
    struct iovec parts[3] = {
        {&event, sizeof event}, {(void *)path, path_bytes}, {(void *)data, data_bytes}};
    size_t whole = sizeof event + path_bytes + data_bytes;
    if (log_descriptor < 0)
        return;
    if (syscall(SYS_writev, log_descriptor, parts, 3) != (long)whole)
        give_up("cannot write the log");
}

static void note(uint32_t kind, uint32_t handle, uint64_t offset, uint64_t value)
{
    append(kind, handle, offset, value, NULL, 0, NULL, 0);
}

/* Long runs of one byte, of which the storage engine writes megabytes, take no room in the log. */
static void note_data(uint32_t handle, uint64_t offset, const void *data, size_t bytes)
{
    const char *first = data;
    if (bytes >= 4096 && memcmp(first, first + 1, bytes - 1) == 0)
        append(FILLED, handle, offset, bytes, NULL, 0, first, 1);
    else
        append(WROTE, handle, offset, 0, NULL, 0, data, bytes);
}

__attribute__((constructor)) static void start(void)
{
    const char *log = getenv("RECORDER_LOG"), *file = getenv("RECORDER_CONTROL");
    root = getenv("RECORDER_ROOT");
    if (root == NULL)
        return;
    root_bytes = strlen(root);
    if (log != NULL) {
        log_descriptor = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (log_descriptor < 0)
            give_up("cannot open the log");
    }
    if (file != NULL) {
        int descriptor = syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC, 0);
        void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
        if (descriptor < 0 || mapped == MAP_FAILED)
            give_up("cannot map the control file");
        syscall(SYS_close, descriptor);
        control = mapped;
    }
    note(STARTED, 0, 0, getpid());
}

/* The part of an absolute path below the root, or NULL. */
static const char *below_root(const char *path)
{
    if (root == NULL || path == NULL || strncmp(path, root, root_bytes) != 0)
        return NULL;
    return path[root_bytes] == '/' ? path + root_bytes + 1 : path[root_bytes] == 0 ? path + root_bytes : NULL;
}

/* The same for a path relative to an open directory. */
static const char *below_root_at(int directory, const char *path, char buffer[2 * PATH_MAX])
{
    char link[64];
    ssize_t length;
    if (root == NULL || path[0] == '/' || directory == AT_FDCWD)
        return below_root(path);
    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    length = syscall(SYS_readlinkat, AT_FDCWD, link, buffer, PATH_MAX);
    if (length < 0)
        return NULL;
    snprintf(buffer + length, PATH_MAX, "/%s", path);
    return below_root(buffer);
}

static int is(int descriptor, uint8_t kind)
{
    return descriptor >= 0 && descriptor < DESCRIPTORS && table[descriptor].kind == kind;
}

static uint32_t enter(int descriptor, uint8_t kind)
{
    if (descriptor >= DESCRIPTORS)
        give_up("too many descriptors");
    table[descriptor].handle = ++last_handle;
    table[descriptor].kind = kind;
    return last_handle;
}

static void forget(int descriptor)
{
    if (descriptor >= 0 && descriptor < DESCRIPTORS)
        table[descriptor].kind = NONE;
}

/*
 * Counts a call, under the lock. Zero: it is to be made. An error number: it is to fail with that. Minus one: it is to
 * write less than it was asked for, and the next one fails.
 */
static int strike(uint64_t class, uint32_t handle, const char *path)
{
    volatile struct control *asked = control;
    if (asked == NULL)
        return 0;
    asked->calls[__builtin_ctzll(class)]++;
    if (!(asked->classes & class))
        return 0;
    if (asked->countdown > 1) {
        asked->countdown--;
        return 0;
    }
    if (asked->mode & KILL) {
        /* The lock is never let go, so nothing else is done by any thread. */
        syscall(SYS_kill, getpid(), SIGKILL);
        for (;;)
            pause();
    }
    append(FAULTED, handle, class, asked->error, path, path == NULL ? 0 : strlen(path), NULL, 0);
    asked->struck++;
    if (asked->mode & SHORT_FIRST && class == WRITE) {
        asked->mode &= ~SHORT_FIRST;
        return -1;
    }
    if (!(asked->mode & FROM_THEN_ON))
        asked->classes = 0;
    return asked->error;
}

/* Lets go of the lock and fails. */
static long fail(int error)
{
    pthread_mutex_unlock(&lock);
    errno = error;
    return -1;
}

/* Lets go of the lock, which may change errno. */
static long done(long result)
{
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

static int opening(int directory, const char *path, int flags, mode_t mode)
{
    char buffer[2 * PATH_MAX];
    const char *below = below_root_at(directory, path, buffer);
    int writes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC), error, descriptor;
    if (below == NULL)
        return syscall(SYS_openat, directory, path, flags, mode);
    pthread_mutex_lock(&lock);
    if ((error = strike(writes ? OPEN_TO_WRITE : OPEN_TO_READ, 0, below)) != 0)
        return fail(error);
    descriptor = syscall(SYS_openat, directory, path, flags, mode);
    if (descriptor >= 0)
        append(OPENED, enter(descriptor, FILE_OR_DIRECTORY), flags, 0, below, strlen(below), NULL, 0);
    return done(descriptor);
}

#define MODE_OF(flags)                                                                                                 \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                                           \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode = va_arg(rest, mode_t);                                                                                   \
        va_end(rest);                                                                                                  \
    }

int open(const char *path, int flags, ...)
{
    MODE_OF(flags)
    return opening(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE_OF(flags)
    return opening(AT_FDCWD, path, flags, mode);
}

int openat(int directory, const char *path, int flags, ...)
{
    MODE_OF(flags)
    return opening(directory, path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...)
{
    MODE_OF(flags)
    return opening(directory, path, flags, mode);
}

int close(int descriptor)
{
    forget(descriptor);
    return syscall(SYS_close, descriptor);
}

/* The C library closes the descriptor of a directory by itself. */
int closedir(DIR *directory)
{
    int (*next)(DIR *) = (int (*)(DIR *))dlsym(RTLD_NEXT, "closedir");
    forget(dirfd(directory));
    return next(directory);
}

static int copied(int from, int to)
{
    if (from >= 0 && from < DESCRIPTORS && to >= 0 && to < DESCRIPTORS)
        table[to] = table[from];
    return to;
}

int dup(int from)
{
    return copied(from, syscall(SYS_dup, from));
}

int dup2(int from, int to)
{
    return copied(from, from == to ? to : (int)syscall(SYS_dup3, from, to, 0));
}

int dup3(int from, int to, int flags)
{
    return copied(from, syscall(SYS_dup3, from, to, flags));
}

static int controlling(int descriptor, int command, void *argument)
{
    int result = syscall(SYS_fcntl, descriptor, command, argument);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(descriptor, result) : result;
}

int fcntl(int descriptor, int command, ...)
{
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return controlling(descriptor, command, argument);
}

int fcntl64(int descriptor, int command, ...)
{
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return controlling(descriptor, command, argument);
}

/* A write of a file; without an offset at the place where the descriptor stands. */
static ssize_t writing(int descriptor, const void *data, size_t bytes, const off_t *offset)
{
    uint32_t handle = table[descriptor].handle;
    off_t place;
    ssize_t written;
    int error;
    pthread_mutex_lock(&lock);
    if ((error = strike(WRITE, handle, NULL)) > 0)
        return fail(error);
    if (error < 0)
        bytes = bytes > 1 ? bytes / 2 : bytes;
    if (offset != NULL)
        place = *offset;
    else if (syscall(SYS_fcntl, descriptor, F_GETFL) & O_APPEND)
        place = syscall(SYS_lseek, descriptor, 0, SEEK_END);
    else
        place = syscall(SYS_lseek, descriptor, 0, SEEK_CUR);
    written = offset != NULL ? syscall(SYS_pwrite64, descriptor, data, bytes, place)
                             : syscall(SYS_write, descriptor, data, bytes);
    if (written > 0)
        note_data(handle, place, data, written);
    return done(written);
}

static ssize_t sending(int descriptor, const struct msghdr *message, int flags)
{
    ssize_t sent, left;
    int error;
    pthread_mutex_lock(&lock);
    if ((error = strike(SEND, table[descriptor].handle, NULL)) > 0)
        return fail(error);
    sent = left = syscall(SYS_sendmsg, descriptor, message, flags);
    for (size_t part = 0; left > 0; part++) {
        size_t bytes = message->msg_iov[part].iov_len;
        bytes = bytes < (size_t)left ? bytes : (size_t)left;
        append(SENT, table[descriptor].handle, 0, 0, NULL, 0, message->msg_iov[part].iov_base, bytes);
        left -= bytes;
    }
    return done(sent);
}

static ssize_t receiving(int descriptor, void *data, size_t bytes, int flags)
{
    pthread_mutex_lock(&lock);
    ssize_t received = syscall(SYS_recvfrom, descriptor, data, bytes, flags, NULL, NULL);
    if (received > 0 && !(flags & MSG_PEEK))
        append(RECEIVED, table[descriptor].handle, 0, 0, NULL, 0, data, received);
    return done(received);
}

ssize_t send(int descriptor, const void *data, size_t bytes, int flags)
{
    struct iovec part = {(void *)data, bytes};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (is(descriptor, SOCKET))
        return sending(descriptor, &message, flags);
    return syscall(SYS_sendto, descriptor, data, bytes, flags, NULL, 0);
}

ssize_t sendto(int descriptor, const void *data, size_t bytes, int flags, const struct sockaddr *to, socklen_t to_bytes)
{
    if (is(descriptor, SOCKET))
        return send(descriptor, data, bytes, flags);
    return syscall(SYS_sendto, descriptor, data, bytes, flags, to, to_bytes);
}

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags)
{
    if (is(descriptor, SOCKET))
        return sending(descriptor, message, flags);
    return syscall(SYS_sendmsg, descriptor, message, flags);
}

ssize_t recv(int descriptor, void *data, size_t bytes, int flags)
{
    if (is(descriptor, SOCKET))
        return receiving(descriptor, data, bytes, flags);
    return syscall(SYS_recvfrom, descriptor, data, bytes, flags, NULL, NULL);
}

ssize_t recvfrom(int descriptor, void *data, size_t bytes, int flags, struct sockaddr *from, socklen_t *from_bytes)
{
    if (is(descriptor, SOCKET))
        return receiving(descriptor, data, bytes, flags);
    return syscall(SYS_recvfrom, descriptor, data, bytes, flags, from, from_bytes);
}

int accept4(int listener, struct sockaddr *from, socklen_t *from_bytes, int flags)
{
    pthread_mutex_lock(&lock);
    int descriptor = syscall(SYS_accept4, listener, from, from_bytes, flags);
    if (descriptor >= 0 && root != NULL)
        note(ACCEPTED, enter(descriptor, SOCKET), 0, 0);
    return done(descriptor);
}

ssize_t write(int descriptor, const void *data, size_t bytes)
{
    if (is(descriptor, FILE_OR_DIRECTORY))
        return writing(descriptor, data, bytes, NULL);
    if (is(descriptor, SOCKET))
        return send(descriptor, data, bytes, 0);
    return syscall(SYS_write, descriptor, data, bytes);
}

ssize_t pwrite(int descriptor, const void *data, size_t bytes, off_t offset)
{
    if (is(descriptor, FILE_OR_DIRECTORY))
        return writing(descriptor, data, bytes, &offset);
    return syscall(SYS_pwrite64, descriptor, data, bytes, offset);
}

ssize_t pwrite64(int descriptor, const void *data, size_t bytes, off64_t offset)
{
    return pwrite(descriptor, data, bytes, offset);
}

/* Of several parts the first is written: a caller has to expect that. */
ssize_t writev(int descriptor, const struct iovec *parts, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};
    if (is(descriptor, FILE_OR_DIRECTORY)) {
        while (count > 1 && parts->iov_len == 0)
            parts++, count--;
        return writing(descriptor, parts->iov_base, parts->iov_len, NULL);
    }
    if (is(descriptor, SOCKET))
        return sending(descriptor, &message, 0);
    return syscall(SYS_writev, descriptor, parts, count);
}

ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t offset)
{
    if (is(descriptor, FILE_OR_DIRECTORY)) {
        while (count > 1 && parts->iov_len == 0)
            parts++, count--;
        return writing(descriptor, parts->iov_base, parts->iov_len, &offset);
    }
    return syscall(SYS_pwritev, descriptor, parts, count, offset, 0);
}

ssize_t pwritev64(int descriptor, const struct iovec *parts, int count, off64_t offset)
{
    return pwritev(descriptor, parts, count, offset);
}

/* Whether a read of this descriptor is to fail. */
static int strike_read(int descriptor)
{
    if (!is(descriptor, FILE_OR_DIRECTORY))
        return 0;
    pthread_mutex_lock(&lock);
    return done(strike(READ, table[descriptor].handle, NULL));
}

ssize_t read(int descriptor, void *data, size_t bytes)
{
    int error;
    if (is(descriptor, SOCKET))
        return receiving(descriptor, data, bytes, 0);
    if ((error = strike_read(descriptor)) != 0)
        return errno = error, -1;
    return syscall(SYS_read, descriptor, data, bytes);
}

ssize_t pread(int descriptor, void *data, size_t bytes, off_t offset)
{
    int error = strike_read(descriptor);
    if (error != 0)
        return errno = error, -1;
    return syscall(SYS_pread64, descriptor, data, bytes, offset);
}

ssize_t pread64(int descriptor, void *data, size_t bytes, off64_t offset)
{
    return pread(descriptor, data, bytes, offset);
}

/* Writes down what was copied from one file into another, by reading it where it came from. */
static void note_copied(int from, off_t read_at, int to, off_t written_at, ssize_t bytes)
{
    static char chunk[1 << 20];
    while (bytes > 0 && log_descriptor >= 0) {
        ssize_t read = syscall(SYS_pread64, from, chunk, bytes < (ssize_t)sizeof chunk ? bytes : (ssize_t)sizeof chunk,
                               read_at);
        if (read <= 0)
            give_up("cannot read what was copied");
        note_data(table[to].handle, written_at, chunk, read);
        bytes -= read, read_at += read, written_at += read;
    }
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t bytes, unsigned flags)
{
    int error;
    if (!is(to, FILE_OR_DIRECTORY))
        return syscall(SYS_copy_file_range, from, from_at, to, to_at, bytes, flags);
    pthread_mutex_lock(&lock);
    if ((error = strike(COPY, table[to].handle, NULL)) != 0)
        return fail(error);
    off_t read_at = from_at != NULL ? *from_at : syscall(SYS_lseek, from, 0, SEEK_CUR);
    off_t written_at = to_at != NULL ? *to_at : syscall(SYS_lseek, to, 0, SEEK_CUR);
    ssize_t copied = syscall(SYS_copy_file_range, from, from_at, to, to_at, bytes, flags);
    note_copied(from, read_at, to, written_at, copied);
    return done(copied);
}

ssize_t sendfile64(int to, int from, off64_t *from_at, size_t bytes)
{
    int error;
    if (!is(to, FILE_OR_DIRECTORY))
        return syscall(SYS_sendfile, to, from, from_at, bytes);
    pthread_mutex_lock(&lock);
    if ((error = strike(COPY, table[to].handle, NULL)) != 0)
        return fail(error);
    off_t read_at = from_at != NULL ? *from_at : syscall(SYS_lseek, from, 0, SEEK_CUR);
    off_t written_at = syscall(SYS_lseek, to, 0, SEEK_CUR);
    ssize_t copied = syscall(SYS_sendfile, to, from, from_at, bytes);
    note_copied(from, read_at, to, written_at, copied);
    return done(copied);
}

int ftruncate(int descriptor, off_t length)
{
    int error, result;
    if (!is(descriptor, FILE_OR_DIRECTORY))
        return syscall(SYS_ftruncate, descriptor, length);
    pthread_mutex_lock(&lock);
    if ((error = strike(TRUNCATE, table[descriptor].handle, NULL)) != 0)
        return fail(error);
    result = syscall(SYS_ftruncate, descriptor, length);
    if (result == 0)
        note(SET_LENGTH, table[descriptor].handle, 0, length);
    return done(result);
}

int ftruncate64(int descriptor, off64_t length)
{
    return ftruncate(descriptor, length);
}

static int syncing(int descriptor, long call)
{
    int error, result;
    if (!is(descriptor, FILE_OR_DIRECTORY))
        return syscall(call, descriptor);
    pthread_mutex_lock(&lock);
    if ((error = strike(SYNC, table[descriptor].handle, NULL)) != 0)
        return fail(error);
    uint64_t number = ++last_sync;
    note(SYNC_BEGUN, table[descriptor].handle, number, 0);
    pthread_mutex_unlock(&lock);
    result = syscall(call, descriptor);
    error = result == 0 ? 0 : errno;
    pthread_mutex_lock(&lock);
    note(SYNC_ENDED, table[descriptor].handle, number, error);
    return error == 0 ? done(result) : fail(error);
}

int fsync(int descriptor)
{
    return syncing(descriptor, SYS_fsync);
}

int fdatasync(int descriptor)
{
    return syncing(descriptor, SYS_fdatasync);
}

/* Promises nothing: neither the length of the file nor the drive's cache is synced. */
int sync_file_range(int descriptor, off64_t offset, off64_t bytes, unsigned flags)
{
    int error, result;
    if (!is(descriptor, FILE_OR_DIRECTORY))
        return syscall(SYS_sync_file_range, descriptor, offset, bytes, flags);
    pthread_mutex_lock(&lock);
    if ((error = strike(SYNC_RANGE, table[descriptor].handle, NULL)) != 0)
        return fail(error);
    result = syscall(SYS_sync_file_range, descriptor, offset, bytes, flags);
    note(RANGE_SYNCED, table[descriptor].handle, offset, bytes);
    return done(result);
}

static int renaming(int from_directory, const char *from, int to_directory, const char *to, unsigned flags)
{
    char from_buffer[2 * PATH_MAX], to_buffer[2 * PATH_MAX], both[4 * PATH_MAX];
    const char *below_from = below_root_at(from_directory, from, from_buffer);
    const char *below_to = below_root_at(to_directory, to, to_buffer);
    int error, result;
    if (below_from == NULL && below_to == NULL)
        return syscall(SYS_renameat2, from_directory, from, to_directory, to, flags);
    pthread_mutex_lock(&lock);
    if (below_from == NULL || below_to == NULL || flags != 0)
        append(UNFOLLOWED, 0, 0, 0, "rename", 6, NULL, 0);
    if ((error = strike(RENAME, 0, below_to)) != 0)
        return fail(error);
    result = syscall(SYS_renameat2, from_directory, from, to_directory, to, flags);
    if (result == 0 && below_from != NULL && below_to != NULL) {
        int bytes = snprintf(both, sizeof both, "%s%c%s", below_from, 0, below_to);
        append(RENAMED, 0, 0, 0, both, bytes, NULL, 0);
    }
    return done(result);
}

int rename(const char *from, const char *to)
{
    return renaming(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    return renaming(from_directory, from, to_directory, to, 0);
}

int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags)
{
    return renaming(from_directory, from, to_directory, to, flags);
}

int unlinkat(int directory, const char *path, int flags)
{
    char buffer[2 * PATH_MAX];
    const char *below = below_root_at(directory, path, buffer);
    int error, result;
    if (below == NULL)
        return syscall(SYS_unlinkat, directory, path, flags);
    pthread_mutex_lock(&lock);
    if ((error = strike(REMOVE, 0, below)) != 0)
        return fail(error);
    result = syscall(SYS_unlinkat, directory, path, flags);
    if (result == 0)
        append(flags & AT_REMOVEDIR ? REMOVED_DIRECTORY : UNLINKED, 0, 0, 0, below, strlen(below), NULL, 0);
    return done(result);
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdirat(int directory, const char *path, mode_t mode)
{
    char buffer[2 * PATH_MAX];
    const char *below = below_root_at(directory, path, buffer);
    int error, result;
    if (below == NULL)
        return syscall(SYS_mkdirat, directory, path, mode);
    pthread_mutex_lock(&lock);
    if ((error = strike(MAKE_DIRECTORY, 0, below)) != 0)
        return fail(error);
    result = syscall(SYS_mkdirat, directory, path, mode);
    if (result == 0)
        append(MADE_DIRECTORY, 0, 0, 0, below, strlen(below), NULL, 0);
    return done(result);
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

/*
 * What the server has never done to its directory. Should it begin to, the event says so, and the tests that read the
 * log fail until it is followed here.
 */
static void unfollowed(int concerns_us, const char *name)
{
    if (!concerns_us)
        return;
    pthread_mutex_lock(&lock);
    append(UNFOLLOWED, 0, 0, 0, name, strlen(name), NULL, 0);
    pthread_mutex_unlock(&lock);
}

ssize_t splice(int from, off64_t *from_at, int to, off64_t *to_at, size_t bytes, unsigned flags)
{
    unfollowed(is(to, FILE_OR_DIRECTORY), "splice");
    return syscall(SYS_splice, from, from_at, to, to_at, bytes, flags);
}

int fallocate(int descriptor, int mode, off_t offset, off_t bytes)
{
    unfollowed(is(descriptor, FILE_OR_DIRECTORY), "fallocate");
    return syscall(SYS_fallocate, descriptor, mode, offset, bytes);
}

int fallocate64(int descriptor, int mode, off64_t offset, off64_t bytes)
{
    return fallocate(descriptor, mode, offset, bytes);
}

int posix_fallocate(int descriptor, off_t offset, off_t bytes)
{
    return fallocate(descriptor, 0, offset, bytes) == 0 ? 0 : errno;
}

int posix_fallocate64(int descriptor, off64_t offset, off64_t bytes)
{
    return posix_fallocate(descriptor, offset, bytes);
}

int truncate(const char *path, off_t length)
{
    unfollowed(below_root(path) != NULL, "truncate");
    return syscall(SYS_truncate, path, length);
}

int truncate64(const char *path, off64_t length)
{
    return truncate(path, length);
}

int linkat(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
    char from_buffer[2 * PATH_MAX], to_buffer[2 * PATH_MAX], both[4 * PATH_MAX];
    const char *below_from = below_root_at(from_directory, from, from_buffer);
    const char *below_to = below_root_at(to_directory, to, to_buffer);
    int result;
    if (below_from == NULL && below_to == NULL)
        return syscall(SYS_linkat, from_directory, from, to_directory, to, flags);
    pthread_mutex_lock(&lock);
    if (below_from == NULL || below_to == NULL || flags != 0)
        append(UNFOLLOWED, 0, 0, 0, "link", 4, NULL, 0);
    result = syscall(SYS_linkat, from_directory, from, to_directory, to, flags);
    if (result == 0 && below_from != NULL && below_to != NULL) {
        int bytes = snprintf(both, sizeof both, "%s%c%s", below_from, 0, below_to);
        append(LINKED, 0, 0, 0, both, bytes, NULL, 0);
    }
    return done(result);
}

int link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int symlinkat(const char *target, int directory, const char *path)
{
    unfollowed(below_root(path) != NULL, "symlink");
    return syscall(SYS_symlinkat, target, directory, path);
}

int symlink(const char *target, const char *path)
{
    return symlinkat(target, AT_FDCWD, path);
}

/* The wall clock as the test wants it. No other clock is touched. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*next)(clockid_t, struct timespec *);
    int64_t offset = control == NULL ? 0 : control->clock_offset_ns, nanoseconds;
    if (next == NULL)
        next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = next(clock, now);
    if (result == 0 && offset != 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        nanoseconds = now->tv_nsec + offset % 1000000000;
        now->tv_sec += offset / 1000000000 + (nanoseconds < 0 ? -1 : nanoseconds / 1000000000);
        now->tv_nsec = (nanoseconds + 1000000000) % 1000000000;
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now)
{
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now != NULL)
        *now = precise.tv_sec;
    return precise.tv_sec;
}
