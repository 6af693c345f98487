// What moves from step to step where nobody tells the device.

// progress: {steps done, first place in the order of the epoch, step that comes first, epoch}. Writes the rows of the
// next batch, the numbers that its update reads (`width` of `table` for each step), and what the clock shows. One block.
extern "C" __global__ void begin_step(long long *progress, const long long *order, long long *rows, long long batch,
                                      const real *table, real *changing, long long width, word *clock) {
    const long long done = progress[0], first = progress[1] + done * batch;
    for (long long i = threadIdx.x; i < batch; i += blockDim.x) rows[i] = order[first + i];
    for (long long i = threadIdx.x; i < width; i += blockDim.x) changing[i] = table[done * width + i];
    if (threadIdx.x == 0) clock[0] = word(progress[2] + done), clock[1] = word(progress[3]);
}

// Keeps the loss of the step, which is over. One thread.
extern "C" __global__ void end_step(long long *progress, const real *loss, real *losses) {
    losses[progress[0]] = *loss;
    progress[0] += 1;
}
