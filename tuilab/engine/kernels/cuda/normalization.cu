// Normalization over the rows of a batch; x, dy: (rows, units).

extern "C" __global__ void squares_of_rows(const real *x, const real *mean, long long rows, long long units,
                                           long long span, double *parts) {
    column_sums(rows, units, span, parts, [=](long long row, long long column, double &sum, double &) {
        double difference = double(x[row * units + column]) - double(mean[column]);
        sum += difference * difference;
    });
}

extern "C" __global__ void standardize(const real *x, const real *mean, const real *scale, const real *shift, real *out,
                                       long long size, long long units) {
    for (long long i = first_index(); i < size; i += all_threads()) {
        long long column = i % units;
        out[i] = (x[i] - mean[column]) * scale[column] + shift[column];
    }
}

extern "C" __global__ void standardize_sums(const real *x, const real *mean, const real *dy, long long rows,
                                            long long units, long long span, double *parts) {
    column_sums(rows, units, span, parts, [=](long long row, long long column, double &total, double &product) {
        long long i = row * units + column;
        total += dy[i];
        product += double(dy[i]) * double(x[i] - mean[column]);
    });
}

extern "C" __global__ void standardize_backward(const real *x, const real *mean, const real *dy, const real *scale,
                                                const real *level, const real *slope, real *out, long long size,
                                                long long units) {
    for (long long i = first_index(); i < size; i += all_threads()) {
        long long column = i % units;
        out[i] = scale[column] * (dy[i] - level[column] - (x[i] - mean[column]) * slope[column]);
    }
}
