// Activations, with the bias before them and its gradient after them. Their order is that of ACTIVATIONS in
// gpu_activations.py; a and b are settings of theirs.

enum { LINEAR, RELU, LEAKY_RELU, TANH, SIGMOID, STEP, HARD_SIGMOID, RELU6, ELU, GELU, GELU_TANH, SILU, MISH, SOFTPLUS,
       SOFTSIGN, EXPONENTIAL };

__device__ __forceinline__ real logistic(real z) { return tanh(z * real(0.5)) * real(0.5) + real(0.5); }
__device__ __forceinline__ real soft(real z) { return (z < 0 ? real(0) : z) + log1p(exp(-fabs(z))); }
__device__ __forceinline__ real curve(real z) {  // of gelu's tanh form
    return tanh(real(0.7978845608028654) * (z + real(0.044715) * z * z * z)) * real(0.5) + real(0.5);
}

__device__ real activated(int number, real a, real b, real z) {
    switch (number) {
        case RELU: return z < 0 ? real(0) : z;
        case LEAKY_RELU: return z < 0 ? a * z : z;
        case TANH: return tanh(z);
        case SIGMOID: return logistic(z);
        case STEP: return z > 0 ? real(1) : real(0);
        case HARD_SIGMOID: {
            real y = z / 6 + real(0.5);
            return y < 0 ? real(0) : y > 1 ? real(1) : y;
        }
        case RELU6: return z < 0 ? real(0) : z > 6 ? real(6) : z;
        case ELU: return z < 0 ? b * expm1(z) : a * z;
        case GELU: return z * (real(1) + erf(z * real(0.7071067811865476))) * real(0.5);
        case GELU_TANH: return z * curve(z);
        case SILU: return z * logistic(z);
        case MISH: return z * tanh(soft(z));
        case SOFTPLUS: return soft(z);
        case SOFTSIGN: return z / (real(1) + fabs(z));
        case EXPONENTIAL: return exp(z);
        default: return z;
    }
}

__device__ real slope(int number, real a, real b, real z, real y) {
    switch (number) {
        case RELU: return y > 0 ? real(1) : real(0);
        case LEAKY_RELU: return y > 0 ? real(1) : a;
        case TANH: return real(1) - y * y;
        case SIGMOID: return y * (real(1) - y);
        case STEP: return 0;
        case HARD_SIGMOID: return y > 0 && y < 1 ? real(1) / 6 : real(0);
        case RELU6: return y > 0 && y < 6 ? real(1) : real(0);
        case ELU: return y > 0 ? a : y + b;
        case GELU:
            return (real(1) + erf(z * real(0.7071067811865476))) * real(0.5) +
                   z * exp(z * z * real(-0.5)) * real(0.3989422804014327);
        case GELU_TANH: {
            real phi = curve(z), bend = real(1) + real(3 * 0.044715) * z * z;
            return phi + z * (real(2 * 0.7978845608028654) * bend * phi * (real(1) - phi));
        }
        case SILU: {
            real gate = logistic(z);
            return gate * (real(1) + z * (real(1) - gate));
        }
        case MISH: {
            real t = tanh(soft(z));
            return t + z * logistic(z) * (real(1) - t * t);
        }
        case SOFTPLUS: return -expm1(-y);
        case SOFTSIGN: return (real(1) - fabs(y)) * (real(1) - fabs(y));
        case EXPONENTIAL: return y;
        default: return 1;
    }
}

// out = activation(x + bias), and x = x + bias; out may be x. bias: (units,) or nothing.
extern "C" __global__ void activate(long long number, double a, double b, real *x, const real *bias, long long units,
                                    real *out, long long size) {
    for (long long i = first_index(); i < size; i += all_threads()) {
        real z = x[i];
        if (units) x[i] = z += bias[i % units];
        out[i] = activated(int(number), real(a), real(b), z);
    }
}

// out = dy · slope, which may be dy.
extern "C" __global__ void activate_backward(long long number, double a, double b, const real *x, const real *y,
                                             const real *dy, real *out, long long size) {
    for (long long i = first_index(); i < size; i += all_threads())
        out[i] = dy[i] * slope(int(number), real(a), real(b), x[i], y[i]);
}

// The same, with the sum over the rows, which becomes the gradient of the bias.
extern "C" __global__ void activate_backward_sums(long long number, double a, double b, const real *x, const real *y,
                                                  const real *dy, real *out, long long rows, long long units,
                                                  long long span, double *parts) {
    column_sums(rows, units, span, parts, [=](long long row, long long column, double &sum, double &) {
        long long i = row * units + column;
        real dz = dy[i] * slope(int(number), real(a), real(b), x[i], y[i]);
        out[i] = dz;
        sum += dz;
    });
}

// For every unit, in how many rows it has a slope, and in how many that is below `least`.
extern "C" __global__ void slope_counts(long long number, double a, double b, const real *x, const real *y,
                                        double least, long long rows, long long units, long long span,
                                        double *parts) {
    column_sums(rows, units, span, parts, [=](long long row, long long column, double &alive, double &flat) {
        long long i = row * units + column;
        real found = fabs(slope(int(number), real(a), real(b), x[i], y[i]));
        alive += found != 0;
        flat += found < real(least);
    });
}

// The shares that `slope_counts` amounts to. One block.
extern "C" __global__ void slope_shares(const double *parts, long long count, long long units, long long rows,
                                        double *dead, double *flat) {
    double none = 0, few = 0;
    for (long long unit = threadIdx.x; unit < units; unit += blockDim.x) {
        double alive = 0;
        for (long long part = 0; part < count; part++) {
            alive += parts[part * 2 * units + unit];
            few += parts[(part * 2 + 1) * units + unit];
        }
        none += alive == 0;
    }
    none = block_sum(none), few = block_sum(few);
    if (threadIdx.x) return;
    *dead = none / units;
    *flat = few / (double(rows) * units);
}
