/* Loaded into a Valkey whose clock a test holds: it finds no processor to count by.
 *
 * Valkey adds what the processor has counted since it asked for the time last, which libfaketime
 * cannot hold. Where /proc/cpuinfo cannot be read it goes by the clock alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

FILE *fopen64(const char *path, const char *mode) {
  FILE *(*open)(const char *, const char *) = dlsym(RTLD_NEXT, "fopen64");
  return strcmp(path, "/proc/cpuinfo") == 0 ? NULL : open(path, mode);
}

FILE *fopen(const char *path, const char *mode) { return fopen64(path, mode); }
