// Sums over whole arrays, and over some of their axes.

// The sum of squares of each stretch of x − minus; places: (stretches, 3), the group, beginning and end of each. A block
// a stretch.
extern "C" __global__ void stretch_squares(const real *x, const real *minus, const long long *places, double *squares) {
    const long long *place = places + blockIdx.x * 3ll;
    double total = 0;
    for (long long i = place[1] + threadIdx.x; i < place[2]; i += blockDim.x) {
        double value = minus ? double(x[i]) - double(minus[i]) : double(x[i]);
        total += value * value;
    }
    total = block_sum(total);
    if (threadIdx.x == 0) squares[blockIdx.x] = total;
}

// A thread a group: the root of what its stretches sum up to.
extern "C" __global__ void group_norms(const long long *places, const double *squares, long long stretches, double *out,
                                       long long groups) {
    long long group = first_index();
    if (group >= groups) return;
    double total = 0;
    for (long long i = 0; i < stretches; i++)
        if (places[3 * i] == group) total += squares[i];
    out[group] = sqrt(total);
}

// Each block's part of Σ x, or of Σ (x − mean)².
extern "C" __global__ void spread_parts(const real *x, const double *mean, double *parts, long long size) {
    double total = 0;
    for (long long i = first_index(); i < size; i += all_threads()) {
        double value = mean ? double(x[i]) - *mean : double(x[i]);
        total += mean ? value * value : value;
    }
    total = block_sum(total);
    if (threadIdx.x == 0) parts[blockIdx.x] = total;
}

// The mean that the parts amount to, or with `root` its root. One block.
extern "C" __global__ void spread_end(const double *parts, long long count, long long size, long long root,
                                      double *out) {
    double total = 0;
    for (long long i = threadIdx.x; i < count; i += blockDim.x) total += parts[i];
    total = block_sum(total) / size;
    if (threadIdx.x == 0) *out = root ? sqrt(total) : total;
}

// For each column the sum over the blocks of what `column_sums` left, times `scale`; b may be nothing.
extern "C" __global__ void add_up(const double *parts, long long count, long long units, double scale, real *a,
                                  real *b) {
    long long column = first_index();
    if (column >= units) return;
    double first = 0, second = 0;
    for (long long part = 0; part < count; part++) {
        first += parts[part * 2 * units + column];
        second += parts[(part * 2 + 1) * units + column];
    }
    a[column] = real(first * scale);
    if (b) b[column] = real(second * scale);
}

extern "C" __global__ void total_of_rows(const real *x, long long rows, long long units, long long span,
                                         double *parts) {
    column_sums(rows, units, span, parts, [=](long long row, long long column, double &sum, double &) {
        sum += x[row * units + column];
    });
}

// Sums, or with `largest` maxima, over some axes of an array of any type: a line of the block for each number of `out`.
// axes: {kept axes, reduced axes}, then for each axis of the kept, then of the reduced, size and stride.
extern "C" __global__ void reduce(const void *x, long long type, const long long *axes, void *out, long long wide,
                                  long long largest, long long count, long long each) {
    const long long kept = axes[0], reduced = axes[1];
    const long long line = blockIdx.x * (long long)blockDim.y + threadIdx.y;
    if (line >= count) return;
    long long start = 0, rest = line;
    for (long long axis = kept; axis-- > 0; rest /= axes[2 + 2 * axis])
        start += rest % axes[2 + 2 * axis] * axes[3 + 2 * axis];
    double found = largest ? -INFINITY : 0.0;
    for (long long i = threadIdx.x; i < each; i += LANES) {
        long long place = start;
        rest = i;
        for (long long axis = kept + reduced; axis-- > kept; rest /= axes[2 + 2 * axis])
            place += rest % axes[2 + 2 * axis] * axes[3 + 2 * axis];
        double value = read(x, int(type), place);
        if (!largest)
            found += value;
        else if (value > found || value != value)
            found = value;
    }
    for (int mask = LANES / 2; mask; mask >>= 1) {
        double other = __shfl_xor_sync(EVERY, found, mask);
        if (!largest)
            found += other;
        else if (other > found || other != other)
            found = other;
    }
    if (threadIdx.x) return;
    if (wide)
        ((double *)out)[line] = found;
    else
        ((float *)out)[line] = float(found);
}
