// Convolutions of many groups with few channels and filters each, depthwise ones above all: a tile would be nearly empty,
// so that a thread works out one number by itself. Neighbouring threads have neighbouring channels.

extern "C" __global__ void convolve_narrow(const Sliding *window, const real *x, const real *kernel, const real *bias,
                                           real *out, long long size, long long precision) {
    const Sliding s = *window;
    const int filters = s.filters / (s.channels / s.depth);
    for (long long i = first_index(); i < size; i += all_threads()) {
        int filter = int(i % s.filters), column = int(i / s.filters % s.columns);
        int row = int(i / s.filters / s.columns % s.rows), first = filter / filters * s.depth;
        long long image = i / s.filters / s.columns / s.rows;
        real sum = bias ? bias[filter] : real(0);
        for (int p = 0; p < s.size_y; p++)
            for (int q = 0; q < s.size_x; q++) {
                int y = row * s.stride_y + p * s.dilation_y - s.before_y;
                int z = column * s.stride_x + q * s.dilation_x - s.before_x;
                if (y < 0 || y >= s.height || z < 0 || z >= s.width) continue;
                const real *pixel = x + ((image * s.height + y) * s.width + z) * s.channels + first;
                const real *weights = kernel + (long long)(p * s.size_x + q) * s.depth * s.filters + filter;
                for (int c = 0; c < s.depth; c++)
                    sum += rounded(pixel[c], precision) * rounded(weights[(long long)c * s.filters], precision);
            }
        out[i] = sum;
    }
}

extern "C" __global__ void convolve_narrow_to_image(const Sliding *window, const real *kernel, const real *dy, real *dx,
                                                    long long size, long long precision) {
    const Sliding s = *window;
    const int filters = s.filters / (s.channels / s.depth);
    for (long long i = first_index(); i < size; i += all_threads()) {
        int channel = int(i % s.channels), z = int(i / s.channels % s.width);
        int y = int(i / s.channels / s.width % s.height), first = channel / s.depth * filters, row, column;
        long long image = i / s.channels / s.width / s.height;
        real sum = 0;
        for (int p = 0; p < s.size_y; p++)
            for (int q = 0; q < s.size_x; q++) {
                if (!output_at(s, y, z, p, q, row, column)) continue;
                const real *slopes = dy + ((image * s.rows + row) * s.columns + column) * s.filters + first;
                const real *weights =
                    kernel + ((long long)(p * s.size_x + q) * s.depth + channel % s.depth) * s.filters + first;
                for (int f = 0; f < filters; f++)
                    sum += rounded(slopes[f], precision) * rounded(weights[f], precision);
            }
        dx[i] = sum;
    }
}

// The rows are the output pixels, the columns the weights of the kernel.
extern "C" __global__ void convolve_narrow_to_kernel(const Sliding *window, const real *x, const real *dy,
                                                     long long precision, long long rows, long long units,
                                                     long long span, double *parts) {
    const Sliding s = *window;
    const int filters = s.filters / (s.channels / s.depth);
    column_sums(rows, units, span, parts, [=](long long pixel, long long weight, double &sum, double &) {
        int filter = int(weight % s.filters), deep = int(weight / s.filters % s.depth);
        int position = int(weight / s.filters / s.depth);
        int y = int(pixel / s.columns % s.rows) * s.stride_y + position / s.size_x * s.dilation_y - s.before_y;
        int z = int(pixel % s.columns) * s.stride_x + position % s.size_x * s.dilation_x - s.before_x;
        if (y < 0 || y >= s.height || z < 0 || z >= s.width) return;
        long long image = pixel / s.columns / s.rows;
        int channel = filter / filters * s.depth + deep;
        real seen = x[((image * s.height + y) * s.width + z) * s.channels + channel];
        sum += rounded(seen, precision) * rounded(dy[pixel * s.filters + filter], precision);
    });
}
