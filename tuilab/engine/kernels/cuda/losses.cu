// The last activation, the loss and its gradient from the logits; how often the largest output is right.

// A warp a row: p = softmax(z), dz = p − t, and the cross-entropy of the row. The target t is 1 for the row's label, or
// one of `shares`, moved towards 1 / classes by `smoothing`.
extern "C" __global__ void softmax_losses(const long long *labels, const real *shares, double smoothing, const real *z,
                                          real *p, real *losses, real *dz, long long rows, long long classes) {
    long long row = blockIdx.x * (long long)blockDim.y + threadIdx.y;
    if (row >= rows) return;
    const int lane = threadIdx.x;
    const real kept = real(1 - smoothing), spread = real(smoothing / classes);
    const long long first = row * classes;
    real highest = z[first];
    for (long long j = lane; j < classes; j += LANES)
        if (z[first + j] > highest || z[first + j] != z[first + j]) highest = z[first + j];
    highest = warp_largest(highest);
    double total = 0, likely = 0;
    for (long long j = lane; j < classes; j += LANES) {
        real power = exp(z[first + j] - highest);
        p[first + j] = power;
        total += power;
    }
    total = warp_sum(total);
    for (long long j = lane; j < classes; j += LANES) {
        real t = shares ? shares[first + j] : j == labels[row] ? real(1) : real(0), share = real(p[first + j] / total);
        t = t * kept + spread;
        likely += t * (z[first + j] - highest);
        p[first + j] = share;
        dz[first + j] = share - t;
    }
    likely = warp_sum(likely);
    if (lane == 0) losses[row] = real(log(total) - likely);
}

// A warp a row: p = sigmoid(z), dz = (p − t) / units, and the mean binary cross-entropy of the row.
extern "C" __global__ void sigmoid_losses(const real *target, double smoothing, const real *z, real *p, real *losses,
                                          real *dz, long long rows, long long units) {
    long long row = blockIdx.x * (long long)blockDim.y + threadIdx.y;
    if (row >= rows) return;
    const real kept = real(1 - smoothing), spread = real(smoothing / 2);
    double total = 0;
    for (long long j = threadIdx.x; j < units; j += LANES) {
        long long i = row * units + j;
        real x = z[i], t = target[i] * kept + spread, y = tanh(x * real(0.5)) * real(0.5) + real(0.5);
        total += (x < 0 ? real(0) : x) - x * t + log1p(exp(-fabs(x)));
        p[i] = y;
        dz[i] = (y - t) / units;
    }
    total = warp_sum(total);
    if (threadIdx.x == 0) losses[row] = real(total / units);
}

// Adds to state[0] how many rows have their largest output (the first of several, or of NaNs) at their label, and to
// state[1] how many rows there are. One block.
extern "C" __global__ void count_largest(const long long *labels, const real *p, double *state, long long rows,
                                         long long classes) {
    double right = 0;
    for (long long row = threadIdx.x; row < rows; row += blockDim.x) {
        const real *y = p + row * classes;
        long long best = 0;
        for (long long j = 1; j < classes; j++)
            if (y[j] > y[best] || (y[j] != y[j] && y[best] == y[best])) best = j;
        right += best == labels[row];
    }
    right = block_sum(right);
    if (threadIdx.x == 0) state[0] += right, state[1] += rows;
}

// The same for outputs that say yes above a threshold; labels, of any type, say yes where they are not 0. One block.
extern "C" __global__ void count_above(const void *labels, long long type, const real *p, double threshold,
                                       double *state, long long size) {
    double right = 0;
    for (long long i = threadIdx.x; i < size; i += blockDim.x)
        right += (p[i] > real(threshold)) == (read(labels, int(type), i) != 0);
    right = block_sum(right);
    if (threadIdx.x == 0) state[0] += right, state[1] += size;
}
