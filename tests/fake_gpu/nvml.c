/* A fake libnvidia-ml.so.1: the functions of NVML that seqd calls, on the machine of state.h. */

#include "state.h"

#define OK 0
#define NOT_SUPPORTED 3
#define NOT_FOUND 6
#define INSUFFICIENT_SIZE 7
#define NOT_LOADED 9
#define TIMEOUT 10
#define LOST 15
#define FIRST_MIG 1000

typedef void *Handle;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory2;
typedef struct { Handle device; unsigned long long type, data; unsigned gi, ci; } EventData;
typedef struct { unsigned pid; unsigned long long used; unsigned gi, ci; } ProcessInfo;

/* A set of events has one device here, since seqd watches one. */
typedef struct { Handle device; int seen; } EventSet;

/* Of each thread: a watch and a listing may run side by side. */
static __thread State s;

/* A handle is 1 and the place of a GPU, or 1000 and that of an instance. */
static int device_of(Handle handle, Device **found) {
    long number = (long)handle;
    if (!read_state(&s)) return NOT_LOADED;
    if (number >= FIRST_MIG) {
        if (number - FIRST_MIG >= s.migs) return NOT_FOUND;
        *found = &s.mig[number - FIRST_MIG];
        return s.gpu[(*found)->gpu].error;
    }
    if (number < 1 || number > s.gpus) return LOST;
    *found = &s.gpu[number - 1];
    return (*found)->error;
}

static int uuid_is(Handle handle, const char *uuid) {
    Device *d = NULL;
    device_of(handle, &d);
    return d && !strcmp(d->uuid, uuid);
}

#define FIND(handle)                       \
    Device *d;                             \
    int status = device_of(handle, &d);    \
    if (status) return status

int nvmlInitWithFlags(unsigned flags) { return read_state(&s) ? s.init : NOT_LOADED; }
int nvmlShutdown(void) { return OK; }

const char *nvmlErrorString(int code) { return code == 28 ? "GPU not found" : "Unknown Error"; }

int nvmlDeviceGetCount_v2(unsigned *count) {
    read_state(&s);
    *count = s.gpus;
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Handle *handle) {
    read_state(&s);
    if ((int)index >= s.gpus) return 2;
    if (s.gpu[index].error == LOST) return LOST;
    *handle = (Handle)(long)(index + 1);
    return OK;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Handle *handle) {
    int i;
    read_state(&s);
    for (i = 0; i < s.gpus; i++)
        if (!strcmp(s.gpu[i].uuid, uuid)) {
            *handle = (Handle)(long)(i + 1);
            return s.gpu[i].error;
        }
    for (i = 0; i < s.migs; i++)
        if (!strcmp(s.mig[i].uuid, uuid)) {
            *handle = (Handle)(long)(i + FIRST_MIG);
            return OK;
        }
    return NOT_FOUND;
}

int nvmlDeviceGetName(Handle handle, char *name, unsigned size) {
    FIND(handle);
    snprintf(name, size, "%s", d->name);
    return OK;
}

int nvmlDeviceGetUUID(Handle handle, char *uuid, unsigned size) {
    FIND(handle);
    snprintf(uuid, size, "%s", d->uuid);
    return OK;
}

int nvmlDeviceGetMemoryInfo(Handle handle, Memory *memory) {
    FIND(handle);
    memory->total = d->total * MIB;
    memory->used = (d->used + d->reserved) * MIB;
    memory->free = memory->total - memory->used;
    return OK;
}

int nvmlDeviceGetMemoryInfo_v2(Handle handle, Memory2 *memory) {
    FIND(handle);
    memory->total = d->total * MIB;
    memory->reserved = d->reserved * MIB;
    memory->used = d->used * MIB;
    memory->free = memory->total - memory->reserved - memory->used;
    return OK;
}

int nvmlDeviceGetComputeMode(Handle handle, int *mode) {
    FIND(handle);
    *mode = d->mode;
    return OK;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Handle handle, unsigned *count, ProcessInfo *found) {
    unsigned room = *count, number = 0;
    int i;
    FIND(handle);
    for (i = 0; i < s.programs; i++) {
        if (strcmp(s.program[i].uuid, d->uuid)) continue;
        if (found && number < room) found[number].pid = s.program[i].pid;
        number++;
    }
    *count = number;
    return number > room || (number && !found) ? INSUFFICIENT_SIZE : OK;
}

int nvmlDeviceGetMigMode(Handle handle, unsigned *now, unsigned *later) {
    FIND(handle);
    if (d->is_cut < 0) return NOT_SUPPORTED;
    *now = *later = d->is_cut;
    return OK;
}

int nvmlDeviceGetMaxMigDeviceCount(Handle handle, unsigned *count) {
    *count = 7;
    return OK;
}

int nvmlDeviceGetMigDeviceHandleByIndex(Handle handle, unsigned index, Handle *part) {
    int i, number = 0;
    FIND(handle);
    for (i = 0; i < s.migs; i++)
        if (s.mig[i].gpu == (long)handle - 1 && number++ == (int)index) {
            *part = (Handle)(long)(i + FIRST_MIG);
            return OK;
        }
    return NOT_FOUND;
}

int nvmlDeviceGetGpuInstanceId(Handle handle, unsigned *gi) {
    FIND(handle);
    *gi = d->gi;
    return OK;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Handle handle, Handle *gpu) {
    FIND(handle);
    *gpu = (Handle)(long)(d->gpu + 1);
    return OK;
}

int nvmlDeviceGetSupportedEventTypes(Handle handle, unsigned long long *types) {
    FIND(handle);
    *types = 0x2 | 0x8;
    return OK;
}

int nvmlEventSetCreate(EventSet **set) {
    *set = calloc(1, sizeof **set);
    return OK;
}

int nvmlDeviceRegisterEvents(Handle handle, unsigned long long types, EventSet *set) {
    FIND(handle);
    set->device = handle;
    set->seen = s.events;
    return OK;
}

int nvmlEventSetWait_v2(EventSet *set, EventData *data, unsigned timeout_ms) {
    unsigned waited_ms;
    for (waited_ms = 0;; waited_ms += 20) {
        read_state(&s);
        while (set->seen < s.events) {
            Event event = s.event[set->seen++];
            if (!uuid_is(set->device, event.uuid)) continue;
            data->device = set->device;
            data->type = event.type;
            data->data = event.data;
            data->gi = data->ci = event.gi;
            return OK;
        }
        if (waited_ms >= timeout_ms) return TIMEOUT;
        usleep(20 * 1000);
    }
}

int nvmlEventSetFree(EventSet *set) {
    free(set);
    return OK;
}
