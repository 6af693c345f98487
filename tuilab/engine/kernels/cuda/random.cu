// Random numbers without hidden state: Philox 4×64 with ten rounds (Salmon et al., 2011), the numbers of numpy's.
// clock: {step, epoch}; the counter of block n of four words is (n + 1, 0, step, epoch).

__device__ __forceinline__ void philox(word c[4], word k0, word k1) {
    for (int round = 0; round < 10; round++) {
        word low0 = 0xD2E7470EE14C6C93ull * c[0], high0 = __umul64hi(0xD2E7470EE14C6C93ull, c[0]);
        word low1 = 0xCA5A826395121157ull * c[2], high1 = __umul64hi(0xCA5A826395121157ull, c[2]);
        c[0] = high1 ^ c[1] ^ k0, c[1] = low1, c[2] = high0 ^ c[3] ^ k1, c[3] = low0;
        k0 += 0x9E3779B97F4A7C15ull, k1 += 0xBB67AE8584CAA73Bull;
    }
}

// One thread a block of four words: eight numbers of 24 bits, or four of 53.
template <class Put>
__device__ __forceinline__ void draw(long long size, word k0, word k1, const word *clock, Put put) {
    const int each = sizeof(real) == 4 ? 8 : 4;
    long long first = first_index() * each;
    if (first >= size) return;
    word c[4] = {word(first / each + 1), 0, clock[0], clock[1]};
    philox(c, k0, k1);
    for (int i = 0; i < each && first + i < size; i++) {
        if (each == 8)
            put(first + i, real((unsigned)(c[i / 2] >> (32 * (i % 2))) >> 8) * real(1.0 / 16777216));
        else
            put(first + i, real(c[i % 4] >> 11) * real(1.0 / 9007199254740992));
    }
}

extern "C" __global__ void uniform(real *out, long long size, word k0, word k1, const word *clock) {
    draw(size, k0, k1, clock, [=](long long i, real u) { out[i] = u; });
}

extern "C" __global__ void draw_mask(real *out, long long size, word k0, word k1, const word *clock, double rate) {
    real limit = real(rate), kept = real(1 / (1 - rate));
    draw(size, k0, k1, clock, [=](long long i, real u) { out[i] = u < limit ? real(0) : kept; });
}
