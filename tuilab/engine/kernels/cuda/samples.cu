// Samples on their way to the network: gathered by row number, converted, scaled.

template <class Piece>
__device__ __forceinline__ void copy_rows(const void *source, const long long *rows, void *out, long long count,
                                          long long width) {
    long long size = count * width;
    for (long long i = first_index(); i < size; i += all_threads())
        ((Piece *)out)[i] = ((const Piece *)source)[rows[i / width] * width + i % width];
}

// out[i] = source[rows[i]]; `width`: bytes of a row. Copied in pieces as large as all addresses allow.
extern "C" __global__ void gather(const void *source, const long long *rows, void *out, long long count,
                                  long long width) {
    unsigned long long misfit = (unsigned long long)source | (unsigned long long)out | (unsigned long long)width;
    if (misfit % 8 == 0)
        copy_rows<unsigned long long>(source, rows, out, count, width / 8);
    else if (misfit % 4 == 0)
        copy_rows<unsigned>(source, rows, out, count, width / 4);
    else
        copy_rows<unsigned char>(source, rows, out, count, width);
}

// out[i] = (source[rows[i]] − offset) · scale; `width`: numbers of a row. There are as many offsets and scales as said:
// none, one, or one for each number of a row.
extern "C" __global__ void load(const void *source, long long type, const long long *rows, const real *offset,
                                long long offsets, const real *scale, long long scales, real *out, long long count,
                                long long width) {
    long long size = count * width;
    for (long long i = first_index(); i < size; i += all_threads()) {
        long long column = i % width;
        real value = real(read(source, int(type), rows[i / width] * width + column));
        if (offsets) value -= offset[offsets == 1 ? 0 : column];
        if (scales) value *= scale[scales == 1 ? 0 : column];
        out[i] = value;
    }
}

// out = 0, 1, 2, …: `real` or `long long`.
extern "C" __global__ void count_up(void *out, long long is_real, long long size) {
    for (long long i = first_index(); i < size; i += all_threads()) {
        if (is_real)
            ((real *)out)[i] = real(i);
        else
            ((long long *)out)[i] = i;
    }
}
