// Optimizers: each number is read once, changed and written once. Their order is that of optimizer_rules.py.
// changing: {kept, coefficients …}, what differs from step to step.

enum { DESCENT, MOMENTUM, NESTEROV, ADAM, AMSGRAD, RMSPROP };

extern "C" __global__ void update(long long rule, double setting0, double setting1, const real *changing, real *w,
                                  const real *g, real *s, real *t, real *u, long long size) {
    const real c0 = real(setting0), c1 = real(setting1), kept = changing[0], rate = changing[1];
    for (long long i = first_index(); i < size; i += all_threads()) {
        real slope = g[i], step;
        switch (rule) {
            case DESCENT: step = rate * slope; break;
            case MOMENTUM: step = -(s[i] = c0 * s[i] - rate * slope); break;
            case NESTEROV: step = -(c0 * (s[i] = c0 * s[i] - rate * slope) - rate * slope); break;
            case RMSPROP:
                s[i] = c0 * s[i] + (real(1) - c0) * (slope * slope);
                step = rate * slope / sqrt(s[i] + c1);
                break;
            default:
                s[i] = c0 * s[i] + slope;
                real size = t[i] = c1 * t[i] + slope * slope;
                if (rule == AMSGRAD) u[i] = size = u[i] > size ? u[i] : size;
                step = rate * s[i] / (sqrt(size) + changing[2]);
        }
        w[i] = kept * w[i] - step;
    }
}
