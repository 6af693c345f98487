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
