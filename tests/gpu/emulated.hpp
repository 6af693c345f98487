// Enough of CUDA for a compiler of C++ to run kernels on the CPU: one block after the other, its threads by turns.
//
// A thread runs until it has to wait for others (__syncthreads, a shuffle) or ends; then the next one runs. Blocks take
// their threads from the first to the last and from the last to the first in turn, so that a barrier that is missing
// shows in the numbers. Threads that would wait for ever end the process with a message.
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <functional>
#include <memory>
#include <vector>

#define __global__ static
#define __device__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
};
static dim3 gridDim, blockDim, blockIdx, threadIdx;

namespace emulated {
constexpr size_t STACK = 64 * 1024, WARP = 32;

struct Thread {
    std::unique_ptr<char[]> stack;
    jmp_buf place;
    dim3 index;
    bool ended;
    const unsigned *waits_for;  // until this number is another than `seen`
    unsigned seen;
};
static std::vector<Thread> threads;
static jmp_buf scheduler;
static ucontext_t outside;
static size_t count, current, block_arrived, warp_arrived[WARP];
static unsigned block_round, warp_round[WARP];
static bool alone, backwards;
static std::function<void()> body;
static double exchanged[1024];

static void fail(const char *why) {
    fprintf(stderr, "emulated kernel: %s\n", why);
    abort();
}

static void wait(const unsigned *round) {
    if (alone) fail("a thread waits where the first one did not");
    Thread &thread = threads[current];
    thread.waits_for = round, thread.seen = *round;
    if (!_setjmp(thread.place)) _longjmp(scheduler, 1);
}

static void begin() {  // a thread's stack serves block after block
    for (;;) {
        body();
        threads[current].ended = true;
        if (!_setjmp(threads[current].place)) _longjmp(scheduler, 1);
    }
}

static void go_on(size_t number) {  // until the thread waits or ends
    Thread &thread = threads[number];
    current = number, threadIdx = thread.index;
    if (_setjmp(scheduler)) return;
    if (thread.stack) _longjmp(thread.place, 1);
    ucontext_t context;
    getcontext(&context);
    thread.stack.reset(new char[STACK]);
    context.uc_stack.ss_sp = thread.stack.get(), context.uc_stack.ss_size = STACK, context.uc_link = &outside;
    makecontext(&context, begin, 0);
    setcontext(&context);
}

// A round is over when all have arrived that have not ended.
static bool end_rounds() {
    bool any = false;
    size_t alive = 0;
    for (size_t first = 0; first < count; first += WARP) {
        size_t here = 0, warp = first / WARP;
        for (size_t i = first; i < first + WARP && i < count; i++) here += !threads[i].ended;
        if (warp_arrived[warp] && warp_arrived[warp] == here) warp_arrived[warp] = 0, warp_round[warp]++, any = true;
        alive += here;
    }
    if (block_arrived && block_arrived == alive) block_arrived = 0, block_round++, any = true;
    return any;
}

static void run_block() {
    for (size_t i = 0; i < count; i++) {
        Thread &thread = threads[i];
        thread.index = {unsigned(i % blockDim.x), unsigned(i / blockDim.x % blockDim.y),
                        unsigned(i / blockDim.x / blockDim.y)};
        thread.ended = false, thread.waits_for = nullptr;
    }
    backwards = !backwards;
    go_on(0);
    if (threads[0].ended) {  // the kernel has no barriers: no thread needs a stack of its own
        alone = true;
        for (current = 1; current < count; current++) threadIdx = threads[current].index, body();
        alone = false;
        return;
    }
    for (size_t left = count; left;) {
        bool moved = false;
        for (size_t turn = 0; turn < count; turn++) {
            size_t number = backwards ? count - 1 - turn : turn;
            Thread &thread = threads[number];
            if (thread.ended || (thread.waits_for && *thread.waits_for == thread.seen)) continue;
            go_on(number);
            moved = true, left -= thread.ended;
        }
        if (left && !end_rounds() && !moved) fail("threads wait for others that never come");
    }
}

static void launch(const unsigned *grid, const unsigned *block, std::function<void()> kernel) {
    gridDim = {grid[0], grid[1], grid[2]}, blockDim = {block[0], block[1], block[2]}, body = std::move(kernel);
    count = size_t(blockDim.x) * blockDim.y * blockDim.z;
    if (threads.size() < count) threads.resize(count);
    for (blockIdx.z = 0; blockIdx.z < gridDim.z; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++) run_block();
}

static void meet_warp() {
    warp_arrived[current / WARP]++;
    wait(&warp_round[current / WARP]);
}

template <class T> static T from(T value, size_t thread) {  // what another thread of the warp hands over
    size_t first = current / WARP * WARP;
    for (size_t i = first; i < first + WARP; i++)
        if (i >= count || threads[i].ended) fail("a warp exchanges numbers with threads that have ended");
    memcpy(&exchanged[current], &value, sizeof(T));
    meet_warp();
    T other;
    memcpy(&other, &exchanged[thread], sizeof(T));
    meet_warp();
    return other;
}
}  // namespace emulated

static inline void __syncthreads() {
    emulated::block_arrived++;
    emulated::wait(&emulated::block_round);
}
template <class T> static inline T __shfl_xor_sync(unsigned, T value, int mask) {
    return emulated::from(value, emulated::current ^ size_t(mask));
}
static inline unsigned __float_as_uint(float value) {
    unsigned bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}
static inline float __uint_as_float(unsigned bits) {
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
