/* What the two fake libraries of a driver have in common: a machine as a file describes it.

   The file is named by FAKE_GPU_STATE and read again at each call, so that a test may change the
   machine while programs run. Without the variable there is no driver. A line is one of

     init CODE                                                what nvmlInit returns
     gpu UUID NAME TOTAL RESERVED USED MODE ERROR IS_CUT      a GPU; its index is its place
     mig GPU_INDEX UUID TOTAL USED GI CI                      an instance of one
     pid UUID PID                                             a process that computes on one
     event UUID TYPE DATA GI                                  what the driver reports, in order
     cuda FUNCTION CODE                                       what a function of CUDA returns
     wrong                                                    the kernel's numbers are wrong
     hang                                                     the kernel does not end

   An underscore in a name stands for a space. Sizes are in MiB. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 32
#define MOST_EVENTS 4096
#define MIB (1024ULL * 1024ULL)

typedef struct {
    char uuid[96], name[96];
    unsigned long long total, reserved, used;
    int mode, error, is_cut;
    int gpu, gi, ci; /* of an instance */
} Device;

typedef struct {
    char uuid[96];
    unsigned long long type, data;
    unsigned gi;
} Event;

typedef struct {
    char uuid[96];
    unsigned pid;
} Program;

typedef struct {
    char name[64];
    int code;
} Call;

typedef struct {
    int init, gpus, migs, events, programs, calls, is_wrong, hangs;
    Device gpu[MOST], mig[MOST];
    Event event[MOST_EVENTS];
    Program program[MOST];
    Call call[MOST];
} State;

static void spaces(char *text) {
    for (; *text; text++)
        if (*text == '_') *text = ' ';
}

/* Returns 0 where there is no driver. */
static int read_state(State *s) {
    char line[512];
    const char *path = getenv("FAKE_GPU_STATE");
    FILE *file = path ? fopen(path, "r") : NULL;
    memset(s, 0, sizeof *s);
    if (!file) return 0;
    while (fgets(line, sizeof line, file)) {
        if (s->gpus == MOST || s->migs == MOST || s->events == MOST_EVENTS ||
            s->programs == MOST || s->calls == MOST)
            abort(); /* a test wants a larger machine: raise the limits */
        Device *g = &s->gpu[s->gpus], *m = &s->mig[s->migs];
        Event *e = &s->event[s->events];
        Program *p = &s->program[s->programs];
        Call *c = &s->call[s->calls];
        if (sscanf(line, "gpu %95s %95s %llu %llu %llu %d %d %d", g->uuid, g->name, &g->total,
                   &g->reserved, &g->used, &g->mode, &g->error, &g->is_cut) == 8) {
            spaces(g->name);
            s->gpus++;
        } else if (sscanf(line, "mig %d %95s %llu %llu %d %d", &m->gpu, m->uuid, &m->total,
                          &m->used, &m->gi, &m->ci) == 6) {
            s->migs++;
        } else if (sscanf(line, "event %95s %llu %llu %u", e->uuid, &e->type, &e->data, &e->gi) == 4) {
            s->events++;
        } else if (sscanf(line, "pid %95s %u", p->uuid, &p->pid) == 2) {
            s->programs++;
        } else if (sscanf(line, "cuda %63s %d", c->name, &c->code) == 2) {
            s->calls++;
        } else if (!strncmp(line, "wrong", 5)) {
            s->is_wrong = 1;
        } else if (!strncmp(line, "hang", 4)) {
            s->hangs = 1;
        } else {
            sscanf(line, "init %d", &s->init);
        }
    }
    fclose(file);
    return 1;
}
