/* A fake libcuda.so.1: as much of CUDA's driver API as `seqd.local.cuda_probe` calls. It computes
   that program's kernel and no other, on the machine of state.h. */

#include <stdint.h>

#include "state.h"

static State s;

static int ready(const char *name) {
    int i;
    if (!read_state(&s)) return 100;
    for (i = 0; i < s.calls; i++)
        if (!strcmp(s.call[i].name, name)) return s.call[i].code;
    return 0;
}

#define CALL(name)                  \
    int status = ready(name);       \
    if (status) return status

/* The devices that CUDA_VISIBLE_DEVICES leaves, of those that are named there by a whole UUID. */
static int visible(Device **only) {
    char names[1024], *name, *rest = names;
    const char *variable = getenv("CUDA_VISIBLE_DEVICES");
    int count = 0, i;
    if (!variable) return s.gpus;
    snprintf(names, sizeof names, "%s", variable);
    while ((name = strsep(&rest, ","))) {
        for (i = 0; i < s.gpus; i++)
            if (!strcmp(s.gpu[i].uuid, name)) *only = &s.gpu[i], count++;
        for (i = 0; i < s.migs; i++)
            if (!strcmp(s.mig[i].uuid, name)) *only = &s.mig[i], count++;
    }
    return count;
}

int cuGetErrorName(int code, const char **name) {
    static const struct { int code; const char *name; } NAMES[] = {
        {2, "CUDA_ERROR_OUT_OF_MEMORY"},   {46, "CUDA_ERROR_DEVICE_UNAVAILABLE"},
        {100, "CUDA_ERROR_NO_DEVICE"},     {209, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
        {214, "CUDA_ERROR_ECC_UNCORRECTABLE"}, {719, "CUDA_ERROR_LAUNCH_FAILED"},
    };
    unsigned i;
    for (i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (NAMES[i].code == code) {
            *name = NAMES[i].name;
            return 0;
        }
    return 1;
}

int cuInit(unsigned flags) {
    CALL("cuInit");
    return 0;
}

int cuDeviceGetCount(int *count) {
    Device *d;
    CALL("cuDeviceGetCount");
    *count = visible(&d);
    return 0;
}

int cuDeviceGet(int *device, int number) {
    *device = number;
    return 0;
}

int cuDeviceGetUuid_v2(unsigned char *bytes, int device) {
    Device *d = NULL;
    const char *text;
    int i;
    CALL("cuDeviceGetUuid_v2");
    if (visible(&d) != 1) return 101;
    text = strstr(d->uuid, "GPU-") ? strstr(d->uuid, "GPU-") + 4 : d->uuid + 4;
    for (i = 0; i < 16; i++) {
        unsigned value = 0;
        while (*text == '-') text++;
        sscanf(text, "%2x", &value);
        text += 2;
        bytes[i] = value;
    }
    return 0;
}

int cuDevicePrimaryCtxRetain(void **context, int device) {
    CALL("cuDevicePrimaryCtxRetain");
    *context = (void *)1;
    return 0;
}

int cuDevicePrimaryCtxRelease_v2(int device) { return 0; }
int cuCtxSetCurrent(void *context) { return 0; }

int cuModuleLoadData(void **module, const void *image) {
    CALL("cuModuleLoadData");
    if (!strstr(image, "seqd_probe")) return 218;
    *module = (void *)1;
    return 0;
}

int cuModuleGetFunction(void **function, void *module, const char *name) {
    *function = (void *)1;
    return strcmp(name, "seqd_probe") ? 500 : 0;
}

int cuMemAlloc_v2(uint64_t *memory, size_t size) {
    CALL("cuMemAlloc_v2");
    *memory = (uint64_t)(uintptr_t)calloc(1, size);
    return 0;
}

int cuMemFree_v2(uint64_t memory) {
    free((void *)(uintptr_t)memory);
    return 0;
}

int cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,
                   void *stream, void **arguments, void **extra) {
    uint32_t *numbers = (uint32_t *)(uintptr_t)*(uint64_t *)arguments[0];
    unsigned i;
    CALL("cuLaunchKernel");
    for (i = 0; i < block_x; i++) numbers[i] = 3 * i + (s.is_wrong ? 8 : 7);
    return 0;
}

int cuCtxSynchronize(void) {
    CALL("cuCtxSynchronize");
    while (s.hangs) {
        usleep(20 * 1000);
        read_state(&s);
    }
    return 0;
}

int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t size) {
    CALL("cuMemcpyDtoH_v2");
    memcpy(to, (void *)(uintptr_t)from, size);
    return 0;
}
