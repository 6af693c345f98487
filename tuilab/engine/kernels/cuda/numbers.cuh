// Numbers of any type. Their order is that of TYPES in gpu.py.

__device__ __forceinline__ double read(const void *source, int type, long long place) {
    switch (type) {
        case 0: return ((const float *)source)[place];
        case 1: return ((const double *)source)[place];
        case 2: return ((const unsigned char *)source)[place];
        case 3: return ((const signed char *)source)[place];
        case 4: return ((const unsigned short *)source)[place];
        case 5: return ((const short *)source)[place];
        case 6: return ((const unsigned *)source)[place];
        case 7: return ((const int *)source)[place];
        default: return (double)((const long long *)source)[place];
    }
}

#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#endif

// What products and convolutions multiply (`training.precision`), in the order of PRECISIONS in launching.py.
enum { FLOAT32, TF32, BFLOAT16, FLOAT16 };

__device__ __forceinline__ double rounded(double value, long long) { return value; }

// The nearest number of that type, of two the even one; infinity beyond the largest.
__device__ __forceinline__ float rounded(float value, long long precision) {
    const float size = fabsf(value);
    if (precision == FLOAT32 || !(size < INFINITY)) return value;
    if (precision == FLOAT16 && size < 6.103515625e-5f)  // here they are 2⁻²⁴ apart, as a float's are from 0.5 on
        return copysignf(size + 0.5f - 0.5f, value);
    const unsigned dropped = precision == BFLOAT16 ? 16 : 13, bits = __float_as_uint(value);
    const unsigned carried = bits + (1u << (dropped - 1)) - 1 + (bits >> dropped & 1);
    value = __uint_as_float(carried >> dropped << dropped);
    return precision == FLOAT16 && fabsf(value) > 65504 ? copysignf(INFINITY, value) : value;
}
