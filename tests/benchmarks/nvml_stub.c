/*
 * A small stand-in for libnvidia-ml.so.1, so that programs in other languages can be timed on the same
 * simulated cards as gpudesk. It answers what nvitop, ollama-mtop and gpudesk ask; every other exported name
 * returns NVML_ERROR_NOT_SUPPORTED from the generated half (see stand_in.py). State lives in a file that the
 * benchmark writes and every process maps.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MAX_PROCESSES 1024
#define OK 0
#define INVALID_ARGUMENT 2
#define INSUFFICIENT_SIZE 7
#define TOTAL (24ull << 30)

struct process { uint32_t card, pid; uint64_t bytes; };
struct state {
    uint32_t cards, processes;
    _Atomic uint32_t hang;     /* not 0: memory queries block until it is 0 again */
    uint32_t padding;
    _Atomic uint64_t calls;
    struct process process[MAX_PROCESSES];
};

static struct state *state;

__attribute__((constructor)) static void map_state(void) {
    const char *path = getenv("GPUDESK_BENCH_STATE");
    int file = path ? open(path, O_RDWR) : -1;
    if (file < 0) { static struct state empty = {.cards = 1}; state = &empty; return; }
    state = mmap(0, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
}

static void counted(void) { state->calls++; }
static unsigned card_of(void *handle) { return (unsigned)(uintptr_t)handle - 1; }

typedef struct { unsigned long long total, free, used; } memory_v1;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2;
typedef struct { unsigned pid; unsigned long long bytes; unsigned gpu_instance, compute_instance; } process_v2;
typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } pci;
typedef struct { unsigned version, sensor; int temperature; } temperature_v1;

static unsigned long long used_on(unsigned card) {
    unsigned long long used = 300ull << 20;
    for (unsigned i = 0; i < state->processes; i++) if (state->process[i].card == card) used += state->process[i].bytes;
    return used;
}

int nvmlInit_v2(void) { counted(); return OK; }
int nvmlInitWithFlags(unsigned flags) { (void)flags; counted(); return OK; }
int nvmlShutdown(void) { counted(); return OK; }
const char *nvmlErrorString(int code) { (void)code; return "Not Supported"; }
static int text(char *to, unsigned size, const char *from) { counted(); snprintf(to, size, "%s", from); return OK; }
int nvmlSystemGetDriverVersion(char *to, unsigned size) { return text(to, size, "580.95.05"); }
int nvmlSystemGetNVMLVersion(char *to, unsigned size) { return text(to, size, "13.580.95.05"); }
int nvmlSystemGetCudaDriverVersion(int *version) { counted(); *version = 13000; return OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { counted(); *version = 13000; return OK; }
int nvmlDeviceGetCount_v2(unsigned *count) { counted(); *count = state->cards; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    counted();
    if (index >= state->cards) return INVALID_ARGUMENT;
    *handle = (void *)(uintptr_t)(index + 1);
    return OK;
}
int nvmlDeviceGetIndex(void *handle, unsigned *index) { counted(); *index = card_of(handle); return OK; }
int nvmlDeviceGetName(void *handle, char *to, unsigned size) { (void)handle; return text(to, size, "NVIDIA GeForce RTX 4090"); }
int nvmlDeviceGetUUID(void *handle, char *to, unsigned size) {
    char uuid[64];
    snprintf(uuid, sizeof uuid, "GPU-00000000-0000-4000-8000-%012x", card_of(handle));
    return text(to, size, uuid);
}
int nvmlDeviceGetPciInfo_v3(void *handle, pci *info) {
    counted();
    memset(info, 0, sizeof *info);
    info->bus = card_of(handle) + 1;
    snprintf(info->bus_id, sizeof info->bus_id, "00000000:%02X:00.0", info->bus);
    snprintf(info->legacy, sizeof info->legacy, "0000:%02X:00.0", info->bus);
    return OK;
}
static void wait_while_hanging(void) {
    struct timespec pause = {0, 20 * 1000 * 1000};
    while (state->hang) nanosleep(&pause, 0);
}
int nvmlDeviceGetMemoryInfo(void *handle, memory_v1 *memory) {
    counted(); wait_while_hanging();
    memory->total = TOTAL; memory->used = used_on(card_of(handle)); memory->free = TOTAL - memory->used;
    return OK;
}
int nvmlDeviceGetMemoryInfo_v2(void *handle, memory_v2 *memory) {
    counted(); wait_while_hanging();
    memory->total = TOTAL; memory->reserved = 400ull << 20;
    memory->used = used_on(card_of(handle)); memory->free = TOTAL - memory->used - memory->reserved;
    return OK;
}
/* Figures that move from second to second, as on a card at work: everybody pays for repainting them. */
static unsigned moving(unsigned low, unsigned span) { return low + (unsigned)(time(0) * 7919u) % span; }
int nvmlDeviceGetUtilizationRates(void *handle, unsigned *rates) { (void)handle; counted(); rates[0] = moving(30, 40); rates[1] = moving(10, 20); return OK; }
int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *celsius) { (void)handle; (void)sensor; counted(); *celsius = moving(58, 4); return OK; }
int nvmlDeviceGetTemperatureV(void *handle, temperature_v1 *value) { (void)handle; counted(); value->temperature = (int)moving(58, 4); return OK; }
int nvmlDeviceGetTemperatureThreshold(void *handle, int kind, unsigned *celsius) { (void)handle; (void)kind; counted(); *celsius = 83; return OK; }
int nvmlDeviceGetPowerUsage(void *handle, unsigned *milliwatts) { (void)handle; counted(); *milliwatts = moving(200, 60) * 1000; return OK; }
int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned *milliwatts) { (void)handle; counted(); *milliwatts = 450000; return OK; }
int nvmlDeviceGetPowerManagementLimit(void *handle, unsigned *milliwatts) { (void)handle; counted(); *milliwatts = 450000; return OK; }
int nvmlDeviceGetClockInfo(void *handle, int kind, unsigned *megahertz) { (void)handle; counted(); *megahertz = kind == 2 ? 10501 : 2520; return OK; }
int nvmlDeviceGetFanSpeed(void *handle, unsigned *percent) { (void)handle; counted(); *percent = 40; return OK; }
int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, process_v2 *to) {
    counted();
    unsigned found = 0, room = *count;
    for (unsigned i = 0; i < state->processes; i++) {
        if (state->process[i].card != card_of(handle)) continue;
        if (to && found < room) to[found] = (process_v2){state->process[i].pid, state->process[i].bytes, ~0u, ~0u};
        found++;
    }
    *count = found;
    return found > room ? INSUFFICIENT_SIZE : OK;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *handle, unsigned *count, process_v2 *to) { (void)handle; (void)to; counted(); *count = 0; return OK; }
