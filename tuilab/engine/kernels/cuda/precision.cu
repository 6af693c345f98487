// Numbers of 16 bits for products, and updates that are taken back where such numbers were not enough.

__device__ __forceinline__ unsigned bits_of(float value, long long precision) {
    value = rounded(value, precision);
    const unsigned bits = __float_as_uint(value), sign = bits >> 16 & 0x8000;
    const float size = fabsf(value);
    if (value != value) return precision == BFLOAT16 ? 0x7fc0 : 0x7e00;
    if (precision == BFLOAT16) return bits >> 16;
    if (size == INFINITY) return sign | 0x7c00;
    if (size < 6.103515625e-5f) return sign | unsigned(size * 16777216);  // 2²⁴
    return sign | ((bits & 0x7fffffff) >> 13) - (112 << 10);              // exponents begin 112 later
}

// precision: BFLOAT16 or FLOAT16.
extern "C" __global__ void narrow(const real *x, long long precision, void *out, long long size) {
    for (long long i = first_index(); i < size; i += all_threads())
        ((unsigned short *)out)[i] = (unsigned short)bits_of(float(x[i]), precision);
}

__device__ __forceinline__ bool is_finite(double value) { return value - value == 0; }

// state: {loss scale, updates since it was changed, updates that were taken back}. One thread.
extern "C" __global__ void adapt_scale(const double *norm, long long patience, real *state) {
    if (!is_finite(*norm)) {
        state[0] /= 2, state[1] = 0, state[2] += 1;
    } else if (++state[1] >= patience) {
        state[1] = 0;
        if (state[0] < real(1e38)) state[0] *= 2;
    }
}

// x as it was before an update for gradients whose norm is not finite.
extern "C" __global__ void take_back(const double *norm, const real *before, real *x, long long size) {
    if (is_finite(*norm)) return;
    for (long long i = first_index(); i < size; i += all_threads()) x[i] = before[i];
}
