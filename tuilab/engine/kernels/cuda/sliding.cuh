// A window that slides over images, (batch, height, width, channels); see tuilab/blocks/window.py.

struct Sliding {
    int batch, height, width, channels;  // of the images
    int rows, columns, filters;          // of the outputs
    int depth;                           // channels that a filter sees
    int size_y, size_x, stride_y, stride_x, dilation_y, dilation_x, before_y, before_x;
};

// The output whose window has its position (i, j) on pixel (y, x): false where there is none.
__device__ __forceinline__ bool output_at(const Sliding &s, int y, int x, int i, int j, int &row, int &column) {
    row = y + s.before_y - i * s.dilation_y, column = x + s.before_x - j * s.dilation_x;
    if (row < 0 || column < 0 || row % s.stride_y || column % s.stride_x) return false;
    row /= s.stride_y, column /= s.stride_x;
    return row < s.rows && column < s.columns;
}
