// How the threads of a block work together. Sums go up a fixed tree and in double precision, so that the same numbers
// give the same sum, whatever ran first.

typedef unsigned long long word;

#define LANES 32
#define LINES 8  // of threads in a block that is LANES wide
#define EVERY 0xffffffffu

template <class T> __device__ __forceinline__ T warp_sum(T value) {
    for (int mask = LANES / 2; mask; mask >>= 1) value += __shfl_xor_sync(EVERY, value, mask);
    return value;
}

__device__ __forceinline__ real warp_largest(real value) {  // NaN where any is
    for (int mask = LANES / 2; mask; mask >>= 1) {
        real other = __shfl_xor_sync(EVERY, value, mask);
        if (other > value || other != other) value = other;
    }
    return value;
}

// The sum over a block that is one line of threads, for all of them.
__device__ __forceinline__ double block_sum(double value) {
    __shared__ double sums[LANES];
    int lane = threadIdx.x % LANES;
    value = warp_sum(value);
    if (lane == 0) sums[threadIdx.x / LANES] = value;
    __syncthreads();
    value = warp_sum(lane < int(blockDim.x) / LANES ? sums[lane] : 0.0);
    __syncthreads();
    return value;
}

__device__ __forceinline__ long long first_index() { return blockIdx.x * (long long)blockDim.x + threadIdx.x; }
__device__ __forceinline__ long long all_threads() { return gridDim.x * (long long)blockDim.x; }

// Two sums for every column of rows × units numbers, over the `span` rows of each block: add(row, column, a, b) adds one
// place. parts: (blocks along y, 2, units); `add_up` makes sums of them.
template <class Add>
__device__ __forceinline__ void column_sums(long long rows, long long units, long long span, double *parts, Add add) {
    __shared__ double sums[2][LINES][LANES];
    int lane = threadIdx.x, line = threadIdx.y;
    long long column = blockIdx.x * (long long)LANES + lane, first = blockIdx.y * span;
    long long stop = first + span < rows ? first + span : rows;
    double a = 0, b = 0;
    if (column < units)
        for (long long row = first + line; row < stop; row += LINES) add(row, column, a, b);
    sums[0][line][lane] = a, sums[1][line][lane] = b;
    __syncthreads();
    if (line || column >= units) return;
    for (int other = 1; other < LINES; other++) a += sums[0][other][lane], b += sums[1][other][lane];
    parts[blockIdx.y * 2 * units + column] = a;
    parts[(blockIdx.y * 2 + 1) * units + column] = b;
}
