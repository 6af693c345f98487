// Poolings: a thread for each number that is written, which reads all that it depends on.

// Calls see(position, place) for all pixels of the image in the window of output `i`.
template <class See> __device__ __forceinline__ void through_window(const Sliding &s, long long i, See see) {
    int channel = int(i % s.channels), column = int(i / s.channels % s.columns);
    int row = int(i / s.channels / s.columns % s.rows);
    long long image = i / s.channels / s.columns / s.rows;
    for (int p = 0; p < s.size_y; p++)
        for (int q = 0; q < s.size_x; q++) {
            int y = row * s.stride_y + p * s.dilation_y - s.before_y;
            int x = column * s.stride_x + q * s.dilation_x - s.before_x;
            if (y < 0 || y >= s.height || x < 0 || x >= s.width) continue;
            see(p * s.size_x + q, ((image * s.height + y) * s.width + x) * s.channels + channel);
        }
}

// Calls see(position, place) for all outputs whose windows see pixel `i`.
template <class See> __device__ __forceinline__ void through_outputs(const Sliding &s, long long i, See see) {
    int channel = int(i % s.channels), x = int(i / s.channels % s.width), y = int(i / s.channels / s.width % s.height);
    long long image = i / s.channels / s.width / s.height;
    int row, column;
    for (int p = 0; p < s.size_y; p++)
        for (int q = 0; q < s.size_x; q++)
            if (output_at(s, y, x, p, q, row, column))
                see(p * s.size_x + q, ((image * s.rows + row) * s.columns + column) * s.channels + channel);
}

// chosen: of `bytes` each, 1 or 4, or nothing.
extern "C" __global__ void max_pool(const Sliding *window, const real *x, real *out, void *chosen, long long bytes,
                                    long long size) {
    const Sliding s = *window;
    for (long long i = first_index(); i < size; i += all_threads()) {
        real largest = -INFINITY;
        unsigned winner = 0;
        through_window(s, i, [&](int position, long long place) {
            if (x[place] > largest)
                largest = x[place], winner = position;
            else if (x[place] != x[place])
                largest = x[place];
        });
        out[i] = largest;
        if (bytes == 1) ((unsigned char *)chosen)[i] = (unsigned char)winner;
        if (bytes == 4) ((unsigned *)chosen)[i] = winner;
    }
}

extern "C" __global__ void max_pool_backward(const Sliding *window, const void *chosen, long long bytes, const real *dy,
                                             real *dx, long long size) {
    const Sliding s = *window;
    for (long long i = first_index(); i < size; i += all_threads()) {
        real sum = 0;
        through_outputs(s, i, [&](int position, long long place) {
            unsigned winner =
                bytes == 1 ? ((const unsigned char *)chosen)[place] : ((const unsigned *)chosen)[place];
            if (winner == unsigned(position)) sum += dy[place];
        });
        dx[i] = sum;
    }
}

extern "C" __global__ void sum_pool(const Sliding *window, const real *x, real *out, long long size) {
    const Sliding s = *window;
    for (long long i = first_index(); i < size; i += all_threads()) {
        real sum = 0;
        through_window(s, i, [&](int, long long place) { sum += x[place]; });
        out[i] = sum;
    }
}

extern "C" __global__ void sum_pool_backward(const Sliding *window, const real *dy, real *dx, long long size) {
    const Sliding s = *window;
    for (long long i = first_index(); i < size; i += all_threads()) {
        real sum = 0;
        through_outputs(s, i, [&](int, long long place) { sum += dy[place]; });
        dx[i] = sum;
    }
}
