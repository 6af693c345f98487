// Convolutions as tiled matrix products whose left side is never laid out: its numbers are read from where they are.
//
// A block has 256 threads and makes a tile of TILE × TILE outputs, DEEP products at a time; a thread makes 4 × 4. Each
// matrix says what of a number's place follows from its row (`row`) and what from its column (`column`), so that each is
// worked out once, and gives the number for both (`at`). blockIdx.z is the group of channels, or group · parts + part.

#define TILE 64
#define DEEP 16
#define EACH 4

// left · right for k from `first` to `stop`, of the tile at (blockIdx.x, blockIdx.y); put(m, n, sum) takes the outputs.
// ALONG: whether neighbouring threads read neighbours along k on the left side, or neighbours along m.
template <bool ALONG, class Left, class Right, class Put>
__device__ __forceinline__ void tile_product(Left left, Right right, int m, int n, int first, int stop,
                                             long long precision, Put put) {
    __shared__ real a[DEEP][TILE + 1], b[DEEP][TILE + 1];
    const int thread = threadIdx.x, down = thread / DEEP * EACH, across = thread % DEEP * EACH;
    const int top = blockIdx.x * TILE, side = blockIdx.y * TILE;
    const int lane = ALONG ? thread % DEEP : thread / TILE, line = ALONG ? thread / DEEP : thread % TILE;
    typename Left::Row rows[EACH];
    bool inside[EACH];
    for (int i = 0; i < EACH; i++) {
        int place = top + (ALONG ? line + i * DEEP : line);
        inside[i] = place < m;
        if (inside[i]) rows[i] = left.row(place);
    }
    const int near = side + thread % TILE;
    real sums[EACH][EACH] = {};
    for (int k = first; k < stop; k += DEEP) {
        for (int i = 0; i < EACH; i++) {
            int deep = ALONG ? lane : lane + i * EACH;
            real value = inside[i] && k + deep < stop ? left.at(rows[i], left.column(k + deep)) : real(0);
            a[deep][ALONG ? line + i * DEEP : line] = rounded(value, precision);
            deep = thread / TILE + i * EACH;
            value = near < n && k + deep < stop ? right.at(right.row(k + deep), near) : real(0);
            b[deep][thread % TILE] = rounded(value, precision);
        }
        __syncthreads();
        for (int deep = 0; deep < DEEP; deep++)
            for (int i = 0; i < EACH; i++)
                for (int j = 0; j < EACH; j++) sums[i][j] += a[deep][down + i] * b[deep][across + j];
        __syncthreads();
    }
    for (int i = 0; i < EACH; i++)
        for (int j = 0; j < EACH; j++)
            if (top + down + i < m && side + across + j < n) put(top + down + i, side + across + j, sums[i][j]);
}

struct Position {  // of the window, and a channel or filter of the group
    int y, x, channel;
};
struct Pixel {
    int image, y, x;
};

__device__ __forceinline__ Position position_of(const Sliding &s, int k, int depth) {
    return {k / depth / s.size_x, k / depth % s.size_x, k % depth};
}
__device__ __forceinline__ Pixel pixel_of(int m, int height, int width) {
    return {m / width / height, m / width % height, m % width};
}

// What a position of the window sees from an output pixel; 0 beyond the image.
__device__ __forceinline__ real seen(const Sliding &s, const real *x, int group, Pixel out, Position in) {
    int row = out.y * s.stride_y + in.y * s.dilation_y - s.before_y;
    int column = out.x * s.stride_x + in.x * s.dilation_x - s.before_x;
    if (row < 0 || row >= s.height || column < 0 || column >= s.width) return 0;
    return x[(((long long)out.image * s.height + row) * s.width + column) * s.channels + group * s.depth + in.channel];
}

struct Patches {  // (output pixels, positions · depth)
    typedef Pixel Row;
    Sliding s;
    const real *x;
    int group;
    __device__ Pixel row(int m) const { return pixel_of(m, s.rows, s.columns); }
    __device__ Position column(int k) const { return position_of(s, k, s.depth); }
    __device__ real at(Pixel out, Position in) const { return seen(s, x, group, out, in); }
};

struct TurnedPatches {  // (positions · depth, output pixels)
    typedef Position Row;
    Sliding s;
    const real *x;
    int group;
    __device__ Position row(int m) const { return position_of(s, m, s.depth); }
    __device__ Pixel column(int k) const { return pixel_of(k, s.rows, s.columns); }
    __device__ real at(Position in, Pixel out) const { return seen(s, x, group, out, in); }
};

struct Slopes {  // (input pixels, positions · filters of the group): dy where the window saw the pixel there
    typedef Pixel Row;
    Sliding s;
    const real *dy;
    int group, filters;
    __device__ Pixel row(int m) const { return pixel_of(m, s.height, s.width); }
    __device__ Position column(int k) const { return position_of(s, k, filters); }
    __device__ real at(Pixel in, Position out) const {
        int row, column;
        if (!output_at(s, in.y, in.x, out.y, out.x, row, column)) return 0;
        long long pixel = ((long long)in.image * s.rows + row) * s.columns + column;
        return dy[pixel * s.filters + group * filters + out.channel];
    }
};

struct Matrix {  // rows of numbers, `stride` apart
    const real *values;
    int stride;
    __device__ long long row(int k) const { return (long long)k * stride; }
    __device__ real at(long long row, int n) const { return values[row + n]; }
};

struct TurnedKernel {  // (positions · filters of the group, depth)
    Sliding s;
    const real *kernel;
    int filters;
    __device__ long long row(int k) const { return (long long)(k / filters) * s.depth * s.filters + k % filters; }
    __device__ real at(long long row, int n) const { return kernel[row + (long long)n * s.filters]; }
};

extern "C" __global__ void __launch_bounds__(256) convolve(const Sliding *window, const real *x, const real *kernel,
                                                           const real *bias, real *out, long long precision) {
    const Sliding s = *window;
    const int group = blockIdx.z, filters = s.filters / (s.channels / s.depth), first = group * filters;
    tile_product<true>(Patches{s, x, group}, Matrix{kernel + first, s.filters}, s.batch * s.rows * s.columns, filters,
                       0, s.size_y * s.size_x * s.depth, precision, [=](int m, int n, real sum) {
                           out[(long long)m * s.filters + first + n] = bias ? sum + bias[first + n] : sum;
                       });
}

extern "C" __global__ void __launch_bounds__(256) convolve_to_image(const Sliding *window, const real *kernel,
                                                                    const real *dy, real *dx,
                                                                    long long precision) {
    const Sliding s = *window;
    const int group = blockIdx.z, filters = s.filters / (s.channels / s.depth);
    tile_product<true>(Slopes{s, dy, group, filters}, TurnedKernel{s, kernel + group * filters, filters},
                       s.batch * s.height * s.width, s.depth, 0, s.size_y * s.size_x * filters, precision,
                       [=](int m, int n, real sum) { dx[(long long)m * s.channels + group * s.depth + n] = sum; });
}

// Each part takes `span` output pixels; parts: (parts, *shape of the kernel).
extern "C" __global__ void __launch_bounds__(256) convolve_to_kernel(const Sliding *window, const real *x,
                                                                     const real *dy, real *parts, long long span,
                                                                     long long precision) {
    const Sliding s = *window;
    const int groups = s.channels / s.depth, filters = s.filters / groups, pixels = s.batch * s.rows * s.columns;
    const int group = blockIdx.z % groups, part = blockIdx.z / groups, first = part * int(span);
    const int weights = s.size_y * s.size_x * s.depth, stop = pixels - first < span ? pixels : first + int(span);
    real *out = parts + (long long)part * weights * s.filters + group * filters;
    tile_product<false>(TurnedPatches{s, x, group}, Matrix{dy + group * filters, s.filters}, weights, filters, first,
                        stop, precision,
                        [=](int m, int n, real sum) { out[(long long)m * s.filters + n] = sum; });
}

// out = the sum of the parts, one after the other.
extern "C" __global__ void add_parts(const real *parts, long long count, real *out, long long size) {
    for (long long i = first_index(); i < size; i += all_threads()) {
        real sum = parts[i];
        for (long long part = 1; part < count; part++) sum += parts[part * size + i];
        out[i] = sum;
    }
}
