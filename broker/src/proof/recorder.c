/*
 * Records what a process does to the files of one folder, for LD_PRELOAD: every write with its data, every truncation,
 * fsync, unlink and rename, in the order in which they happened. From the recording a test rebuilds what a disk may hold when
 * the power fails at any of these moments.
 *
 * RECORDER_FOLDER: the folder (absolute, no symbolic links). RECORDER_FILE: where the recording goes.
 *
 * One record: kind (1 byte), length of the path (2), length of the data (4), offset (8), path, data; little-endian.
 * Writes: 'w'. Truncation to `offset`: 't'. fsync or fdatasync: 's'. unlink: 'u'. rename, the new path as data: 'r'.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static int recording = -1;
static const char *folder;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);

__attribute__((constructor)) static void begin(void) {
  real_write = dlsym(RTLD_NEXT, "write");
  real_writev = dlsym(RTLD_NEXT, "writev");
  real_pwrite = dlsym(RTLD_NEXT, "pwrite");
  real_ftruncate = dlsym(RTLD_NEXT, "ftruncate");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_unlink = dlsym(RTLD_NEXT, "unlink");
  real_rename = dlsym(RTLD_NEXT, "rename");
  const char *file = getenv("RECORDER_FILE");
  folder = getenv("RECORDER_FOLDER");
  if (file != NULL && folder != NULL)
    recording = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* The index of the write-ahead log is shared memory: SQLite makes it anew after a loss of power. */
static int concerns(const char *path) {
  size_t length = strlen(path);
  return strncmp(path, folder, strlen(folder)) == 0 &&
         (length < 4 || strcmp(path + length - 4, "-shm") != 0);
}

static int path_of(int file, char *path) {
  if (recording < 0) return 0;
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return concerns(path);
}

static void must_write(const void *data, size_t length) {
  const char *rest = data;
  while (length > 0) {
    long written = syscall(SYS_write, recording, rest, length);
    if (written <= 0) abort();
    rest += written;
    length -= (size_t)written;
  }
}

static void record(char kind, const char *path, uint64_t offset, const void *data, uint32_t length) {
  unsigned char head[15];
  uint16_t path_length = (uint16_t)strlen(path);
  head[0] = (unsigned char)kind;
  memcpy(head + 1, &path_length, 2);
  memcpy(head + 3, &length, 4);
  memcpy(head + 7, &offset, 8);
  must_write(head, sizeof head);
  must_write(path, path_length);
  if (length > 0) must_write(data, length);
}

ssize_t pwrite(int file, const void *data, size_t length, off_t offset) {
  char path[PATH_MAX];
  if (!path_of(file, path)) return real_pwrite(file, data, length, offset);
  pthread_mutex_lock(&turn);
  ssize_t written = real_pwrite(file, data, length, offset);
  if (written > 0) record('w', path, (uint64_t)offset, data, (uint32_t)written);
  pthread_mutex_unlock(&turn);
  return written;
}

ssize_t pwrite64(int file, const void *data, size_t length, off64_t offset) {
  return pwrite(file, data, length, offset);
}

ssize_t write(int file, const void *data, size_t length) {
  char path[PATH_MAX];
  if (!path_of(file, path)) return real_write(file, data, length);
  pthread_mutex_lock(&turn);
  ssize_t written = real_write(file, data, length);
  if (written > 0) {
    off_t end = lseek(file, 0, SEEK_CUR);
    record('w', path, end < 0 ? 0 : (uint64_t)(end - written), data, (uint32_t)written);
  }
  pthread_mutex_unlock(&turn);
  return written;
}

ssize_t writev(int file, const struct iovec *parts, int count) {
  char path[PATH_MAX];
  if (!path_of(file, path)) return real_writev(file, parts, count);
  ssize_t sum = 0;
  for (int part = 0; part < count; part++) {
    ssize_t written = write(file, parts[part].iov_base, parts[part].iov_len);
    if (written < 0) return sum > 0 ? sum : written;
    sum += written;
    if ((size_t)written < parts[part].iov_len) break;
  }
  return sum;
}

int ftruncate(int file, off_t length) {
  char path[PATH_MAX];
  if (!path_of(file, path)) return real_ftruncate(file, length);
  pthread_mutex_lock(&turn);
  int result = real_ftruncate(file, length);
  if (result == 0) record('t', path, (uint64_t)length, NULL, 0);
  pthread_mutex_unlock(&turn);
  return result;
}

int ftruncate64(int file, off64_t length) { return ftruncate(file, length); }

static int synced(int file, int (*real)(int)) {
  char path[PATH_MAX];
  if (!path_of(file, path)) return real(file);
  pthread_mutex_lock(&turn);
  int result = real(file);
  if (result == 0) record('s', path, 0, NULL, 0);
  pthread_mutex_unlock(&turn);
  return result;
}

int fsync(int file) { return synced(file, real_fsync); }

int fdatasync(int file) { return synced(file, real_fdatasync); }

int unlink(const char *path) {
  if (recording < 0 || !concerns(path)) return real_unlink(path);
  pthread_mutex_lock(&turn);
  int result = real_unlink(path);
  if (result == 0) record('u', path, 0, NULL, 0);
  pthread_mutex_unlock(&turn);
  return result;
}

int rename(const char *from, const char *to) {
  if (recording < 0 || !concerns(from)) return real_rename(from, to);
  pthread_mutex_lock(&turn);
  int result = real_rename(from, to);
  if (result == 0) record('r', from, 0, to, (uint32_t)strlen(to));
  pthread_mutex_unlock(&turn);
  return result;
}
