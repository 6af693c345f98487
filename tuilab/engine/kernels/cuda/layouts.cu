// What lies between our arrays and those of cuDNN: the kernel with its filters first, and numbers of 16 bits.

// out = the matrix turned, (rows, columns) → (columns, rows). A block of LANES × LINES threads takes tiles of
// LANES × LANES, one below the other, so that it reads and writes along lines.
extern "C" __global__ void turn(const real *matrix, real *out, long long rows, long long columns) {
    __shared__ real tile[LANES][LANES + 1];
    const int lane = threadIdx.x;
    const long long side = blockIdx.x * (long long)LANES;
    for (long long top = blockIdx.y * (long long)LANES; top < rows; top += gridDim.y * (long long)LANES) {
        for (int line = threadIdx.y; line < LANES; line += LINES)
            if (top + line < rows && side + lane < columns) tile[line][lane] = matrix[(top + line) * columns + side + lane];
        __syncthreads();
        for (int line = threadIdx.y; line < LANES; line += LINES)
            if (side + line < columns && top + lane < rows) out[(side + line) * rows + top + lane] = tile[lane][line];
        __syncthreads();
    }
}

// What `narrow` made of numbers, as numbers again. precision: BFLOAT16 or FLOAT16.
extern "C" __global__ void widen(const void *bits, long long precision, real *out, long long size) {
    for (long long i = first_index(); i < size; i += all_threads()) {
        const unsigned given = ((const unsigned short *)bits)[i], sign = (given & 0x8000) << 16;
        const unsigned exponent = given >> 10 & 31, fraction = given & 1023;
        if (precision == BFLOAT16)
            out[i] = __uint_as_float(given << 16);
        else if (exponent == 0)
            out[i] = copysignf(fraction / 16777216.0f, __uint_as_float(sign | 0x3f800000));  // 2²⁴
        else  // exponents begin 112 later, and the largest is that of infinity and NaN
            out[i] = __uint_as_float(sign | (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13);
    }
}
