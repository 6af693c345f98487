/* What tuilab asks of libcuda.so.1 and libnvidia-ml.so.1, for a machine whose cards are told by its environment:

   FAKE_GPUS         how many cards there are
   FAKE_CUDA         the CUDA that the driver runs, 13020 for 13.2
   FAKE_CUINIT       what cuInit answers
   FAKE_NVML         what nvmlInitWithFlags answers
   FAKE_UNSUPPORTED  functions of NVML that answer "not supported"
   FAKE_STRANGE      functions of NVML that give all ones

   CUDA_VISIBLE_DEVICES chooses and numbers the cards of libcuda, and not those of NVML, as it is with the real ones. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 8, NO_DEVICE = 100, INVALID = 1, NOT_SUPPORTED = 3, NOT_FOUND = 6 };

static int number(const char *name, int otherwise) {
    const char *value = getenv(name);
    return value ? atoi(value) : otherwise;
}

static int listed(const char *variable, const char *function) {
    const char *names = getenv(variable);
    return names && strstr(names, function);
}

static int visible(int *cards) {
    const char *shown = getenv("CUDA_VISIBLE_DEVICES");
    int all = number("FAKE_GPUS", 1), count = 0;
    if (!shown) {
        for (; count < all; count++)
            cards[count] = count;
        return count;
    }
    while (*shown && count < MOST) {
        char *rest;
        long card = strtol(shown, &rest, 10);
        if (rest == shown || card < 0 || card >= all)
            break;
        cards[count++] = (int)card;
        shown = *rest == ',' ? rest + 1 : rest;
    }
    return count;
}

static void write_bus(char *bus, int length, int card) { snprintf(bus, length, "0000:%02x:00.0", 16 * card + 3); }

int cuDriverGetVersion(int *version) {
    *version = number("FAKE_CUDA", 13000);
    return 0;
}

int cuInit(unsigned flags) {
    int cards[MOST], said = number("FAKE_CUINIT", 0);
    return said || flags ? said : visible(cards) ? 0 : NO_DEVICE;
}

int cuDeviceGetCount(int *count) {
    int cards[MOST];
    *count = visible(cards);
    return 0;
}

int cuDeviceGet(int *device, int ordinal) {
    int cards[MOST];
    if (ordinal >= visible(cards))
        return 101;
    *device = cards[ordinal];
    return 0;
}

int cuDeviceGetName(char *name, int length, int device) {
    snprintf(name, length, "Great Card %d", device);
    return 0;
}

int cuDeviceGetPCIBusId(char *bus, int length, int device) {
    write_bus(bus, length, device);
    return 0;
}

int cuGetErrorName(int code, const char **name) {
    *name = code == 999 ? "CUDA_ERROR_UNKNOWN" : NULL;
    return code == 999 ? 0 : INVALID;
}

int nvmlInitWithFlags(unsigned flags) { return flags ? INVALID : number("FAKE_NVML", 0); }

int nvmlShutdown(void) { return 0; }

int nvmlSystemGetDriverVersion(char *version, unsigned length) {
    if (listed("FAKE_UNSUPPORTED", "nvmlSystemGetDriverVersion"))
        return NOT_SUPPORTED;
    int strange = listed("FAKE_STRANGE", "nvmlSystemGetDriverVersion");
    snprintf(version, length, "%s", strange ? "\xff\xff" : "580.1.2");
    return 0;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **handle) {
    for (int card = 0; card < number("FAKE_GPUS", 1); card++) {
        char own[32];
        write_bus(own, sizeof own, card);
        if (!strcmp(own, bus)) {
            *handle = (void *)(size_t)(card + 1);
            return 0;
        }
    }
    return NOT_FOUND;
}

static int card_of(void *handle) { return (int)(size_t)handle - 1; }

int nvmlDeviceGetMemoryInfo(void *handle, unsigned long long *memory) {
    if (listed("FAKE_UNSUPPORTED", "nvmlDeviceGetMemoryInfo"))
        return NOT_SUPPORTED;
    unsigned long long total = 8000000000ull * (card_of(handle) + 1), used = total / 4;
    memory[0] = total, memory[1] = total - used, memory[2] = used;
    if (listed("FAKE_STRANGE", "nvmlDeviceGetMemoryInfo"))
        memset(memory, 255, 3 * sizeof *memory), memory[0] = 0;
    return 0;
}

static int tell(const char *function, unsigned value, unsigned *out) {
    *out = listed("FAKE_STRANGE", function) ? ~0u : value;
    return listed("FAKE_UNSUPPORTED", function) ? NOT_SUPPORTED : 0;
}

int nvmlDeviceGetUtilizationRates(void *handle, unsigned *rates) {
    rates[1] = 7;
    return tell("nvmlDeviceGetUtilizationRates", 90 + card_of(handle), rates);
}

int nvmlDeviceGetPowerUsage(void *handle, unsigned *milliwatts) {
    return tell("nvmlDeviceGetPowerUsage", 250500 + 1000 * card_of(handle), milliwatts);
}

int nvmlDeviceGetTemperature(void *handle, unsigned sensor, unsigned *celsius) {
    return sensor ? INVALID : tell("nvmlDeviceGetTemperature", 60 + card_of(handle), celsius);
}
