/* Stand-in for libnvidia-ml.so.1: the calls that pynvml needs, on made-up GPUs.
 *
 * The file named by FAKE_NVML_STATE is read at every call, so that a test can change the GPUs
 * under a living process. Its lines, in any order but a device before what it has:
 *   driver 0|1                          0: the driver is not loaded
 *   gpu NUMBER LOST MIG USED_MIB UTIL   one a device, in bus order; NUMBER makes its UUID
 *   mig NUMBER PLACE USED_MIB           an instance of that GPU
 *   proc NUMBER PLACE PID MIB KIND      PLACE -1: of the whole GPU; KIND C or G; MIB -1: unknown
 * With OLD_DRIVER defined, what drivers before 510 lack is left out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1ull << 20)
#define TOTAL_MIB 81920ull
#define RESERVED_MIB 600ull
#define MOST 64
#define MOST_MIG 7

typedef int Result;
typedef unsigned int uint;
typedef unsigned long long ull;
typedef struct { ull total, free, used; } Memory;
typedef struct { uint version; ull total, reserved, free, used; } MemoryV2;
typedef struct { uint gpu, memory; } Utilization;
typedef struct { uint pid; ull used; uint gpu_instance, compute_instance; } Process;
typedef struct { int number, place; } Handle;
typedef struct { int number, place, pid; long long mib; char kind; } StateProcess;
typedef struct { int number, lost, mig, used, util, instances[MOST_MIG]; } StateGpu;
typedef struct { int driver, gpus, processes; StateGpu gpu[MOST]; StateProcess process[256]; } State;

enum {
  SUCCESS = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7,
  NO_DRIVER = 9, LOST = 15
};

static Handle handles[MOST][MOST_MIG + 1];
static int users;

static void read_state(State *state) {
  char line[256], kind;
  int number, place, a, b, c, d;
  memset(state, 0, sizeof *state);
  const char *path = getenv("FAKE_NVML_STATE");
  FILE *file = path ? fopen(path, "r") : NULL;
  if (!file) return;
  while (fgets(line, sizeof line, file)) {
    if (sscanf(line, "driver %d", &a) == 1) {
      state->driver = a;
    } else if (sscanf(line, "gpu %d %d %d %d %d", &number, &a, &b, &c, &d) == 5 && state->gpus < MOST) {
      StateGpu gpu = {number, a, b, c, d, {0}};
      for (int i = 0; i < MOST_MIG; i++) gpu.instances[i] = -1;
      state->gpu[state->gpus++] = gpu;
    } else if (sscanf(line, "mig %d %d %d", &number, &place, &a) == 3 && place >= 0 && place < MOST_MIG) {
      for (int i = 0; i < state->gpus; i++)
        if (state->gpu[i].number == number) state->gpu[i].instances[place] = a;
    } else if (sscanf(line, "proc %d %d %d %d %c", &number, &place, &a, &b, &kind) == 5 && state->processes < 256) {
      StateProcess process = {number, place, a, b, kind};
      state->process[state->processes++] = process;
    }
  }
  fclose(file);
}

static Result find(void *device, State *state, StateGpu **gpu) {
  Handle *handle = device;
  *gpu = NULL;
  if (!users) return UNINITIALIZED;
  read_state(state);
  for (int i = 0; i < state->gpus; i++) {
    if (state->gpu[i].number != handle->number) continue;
    *gpu = &state->gpu[i];
    return state->gpu[i].lost ? LOST : SUCCESS;
  }
  return LOST;
}

static Result put(char *out, uint room, const char *text) {
  if (strlen(text) + 1 > room) return TOO_SMALL;
  strcpy(out, text);
  return SUCCESS;
}

static Handle *handle_of(int number, int place) {
  Handle *handle = &handles[number][place + 1];
  handle->number = number;
  handle->place = place;
  return handle;
}

Result nvmlInitWithFlags(uint flags) {
  State state;
  (void)flags;
  read_state(&state);
  if (!state.driver) return NO_DRIVER;
  users++;
  return SUCCESS;
}

Result nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

Result nvmlShutdown(void) {
  if (!users) return UNINITIALIZED;
  users--;
  return SUCCESS;
}

const char *nvmlErrorString(Result result) {
  switch (result) {
    case SUCCESS: return "Success";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case NOT_FOUND: return "Not Found";
    case TOO_SMALL: return "Insufficient Size";
    case NO_DRIVER: return "Driver Not Loaded";
    case LOST: return "GPU is lost";
  }
  return "Unknown Error";
}

Result nvmlDeviceGetCount_v2(uint *count) {
  State state;
  if (!users) return UNINITIALIZED;
  read_state(&state);
  *count = state.gpus;
  return SUCCESS;
}

Result nvmlDeviceGetHandleByIndex_v2(uint index, void **device) {
  State state;
  if (!users) return UNINITIALIZED;
  read_state(&state);
  if (index >= (uint)state.gpus) return INVALID;
  if (state.gpu[index].lost == 1) return LOST;
  *device = handle_of(state.gpu[index].number, -1);
  return SUCCESS;
}

Result nvmlDeviceGetUUID(void *device, char *out, uint room) {
  State state;
  StateGpu *gpu;
  char uuid[64];
  Handle *handle = device;
  Result result = find(device, &state, &gpu);
  /* A GPU that is lost halfway (2) still tells who it is. */
  if (result != SUCCESS && !(result == LOST && gpu && gpu->lost == 2)) return result;
  if (handle->place < 0)
    snprintf(uuid, sizeof uuid, "GPU-fa4e0000-0000-0000-0000-%012d", handle->number);
  else
    snprintf(uuid, sizeof uuid, "MIG-fa4e0000-0000-0000-%04d-%012d", handle->place, handle->number);
  return put(out, room, uuid);
}

Result nvmlDeviceGetName(void *device, char *out, uint room) {
  State state;
  StateGpu *gpu;
  Handle *handle = device;
  Result result = find(device, &state, &gpu);
  if (result != SUCCESS && !(result == LOST && gpu && gpu->lost == 2)) return result;
  return put(out, room, handle->place < 0 ? "NVIDIA Stand-in 80GB" : "NVIDIA Stand-in 80GB MIG 1g.10gb");
}

static Result memory_of(void *device, ull *total, ull *used) {
  State state;
  StateGpu *gpu;
  Handle *handle = device;
  Result result = find(device, &state, &gpu);
  if (result != SUCCESS) return result;
  *total = (handle->place < 0 ? TOTAL_MIB : TOTAL_MIB / 8) * MIB;
  *used = (ull)(handle->place < 0 ? gpu->used : gpu->instances[handle->place]) * MIB;
  return SUCCESS;
}

/* As the real one: what the driver reserves counts as used. */
Result nvmlDeviceGetMemoryInfo(void *device, Memory *memory) {
  ull total, used;
  Result result = memory_of(device, &total, &used);
  if (result != SUCCESS) return result;
  memory->total = total;
  memory->used = used + RESERVED_MIB * MIB;
  memory->free = memory->total - memory->used;
  return SUCCESS;
}

#ifndef OLD_DRIVER
Result nvmlDeviceGetMemoryInfo_v2(void *device, MemoryV2 *memory) {
  ull total, used;
  Result result = memory_of(device, &total, &used);
  if (result != SUCCESS) return result;
  memory->total = total;
  memory->reserved = RESERVED_MIB * MIB;
  memory->used = used;
  memory->free = total - used - memory->reserved;
  return SUCCESS;
}
#endif

Result nvmlDeviceGetUtilizationRates(void *device, Utilization *rates) {
  State state;
  StateGpu *gpu;
  Handle *handle = device;
  Result result = find(device, &state, &gpu);
  if (result != SUCCESS) return result;
  if (handle->place >= 0) return NOT_SUPPORTED;
  rates->gpu = gpu->util;
  rates->memory = gpu->util / 2;
  return SUCCESS;
}

static Result processes_of(void *device, uint *count, Process *out, char kind) {
  State state;
  StateGpu *gpu;
  Handle *handle = device;
  uint room = *count, have = 0;
  Result result = find(device, &state, &gpu);
  if (result != SUCCESS) return result;
  for (int i = 0; i < state.processes; i++) {
    StateProcess *process = &state.process[i];
    if (process->number != handle->number || process->kind != kind) continue;
    if (handle->place >= 0 && process->place != handle->place) continue;
    if (out && have < room) {
      out[have].pid = process->pid;
      out[have].used = process->mib < 0 ? ~0ull : (ull)process->mib * MIB;
      out[have].gpu_instance = out[have].compute_instance = ~0u;
    }
    have++;
  }
  *count = have;
  return have > room || (have && !out) ? TOO_SMALL : SUCCESS;
}

#ifdef OLD_DRIVER
#define COMPUTE nvmlDeviceGetComputeRunningProcesses_v2
#define GRAPHICS nvmlDeviceGetGraphicsRunningProcesses_v2
#else
#define COMPUTE nvmlDeviceGetComputeRunningProcesses_v3
#define GRAPHICS nvmlDeviceGetGraphicsRunningProcesses_v3
#endif

Result COMPUTE(void *device, uint *count, Process *out) { return processes_of(device, count, out, 'C'); }
Result GRAPHICS(void *device, uint *count, Process *out) { return processes_of(device, count, out, 'G'); }

Result nvmlDeviceGetMigMode(void *device, uint *current, uint *pending) {
  State state;
  StateGpu *gpu;
  Result result = find(device, &state, &gpu);
  if (result != SUCCESS) return result;
  *current = *pending = gpu->mig;
  return SUCCESS;
}

Result nvmlDeviceGetMaxMigDeviceCount(void *device, uint *count) {
  State state;
  StateGpu *gpu;
  Result result = find(device, &state, &gpu);
  *count = MOST_MIG;
  return result;
}

Result nvmlDeviceGetMigDeviceHandleByIndex(void *device, uint place, void **instance) {
  State state;
  StateGpu *gpu;
  Result result = find(device, &state, &gpu);
  if (result != SUCCESS) return result;
  if (place >= MOST_MIG || gpu->instances[place] < 0) return NOT_FOUND;
  *instance = handle_of(gpu->number, place);
  return SUCCESS;
}
