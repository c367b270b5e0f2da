// The kernels of _kernels.py. Complex numbers are two floats.

// A quadratic spline through samples, at a place counted in them: real and imaginary part.
__device__ inline void between(const float *flat, size_t line, size_t plane, float x, float y,
                               float z, float *value)
{
    int column = (int)(x + 0.5f), row = (int)(y + 0.5f), slice = (int)(z + 0.5f);
    x -= column;
    y -= row;
    z -= slice;
    float across[3] = {0.5f * (0.5f - x) * (0.5f - x), 0.75f - x * x,
                       0.5f * (0.5f + x) * (0.5f + x)};
    float up[3] = {0.5f * (0.5f - y) * (0.5f - y), 0.75f - y * y, 0.5f * (0.5f + y) * (0.5f + y)};
    float deep[3] = {0.5f * (0.5f - z) * (0.5f - z), 0.75f - z * z,
                     0.5f * (0.5f + z) * (0.5f + z)};
    const float *first = flat + (slice - 1) * plane + (row - 1) * line + 2 * (column - 1);
    float real = 0.0f, imaginary = 0.0f;
    for (int k = 0; k < 3; k++)
        for (int j = 0; j < 3; j++) {
            const float *at = first + k * plane + j * line;
            float weight = deep[k] * up[j];
            for (int i = 0; i < 3; i++) {
                real += weight * across[i] * at[2 * i];
                imaginary += weight * across[i] * at[2 * i + 1];
            }
        }
    value[0] = real;
    value[1] = imaginary;
}

// A thread has one frequency of one slice: out is (n, box, box / 2 + 1), map (size, size, width).
extern "C" __global__ void slices(const float *__restrict__ map, int size, int width,
                                  const double *__restrict__ linear, int padded, float radius,
                                  float *__restrict__ out, int n, int box)
{
    size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    int half = box / 2 + 1;
    if (at >= (size_t)n * box * half)
        return;
    int kx = (int)(at % half), row = (int)(at / half % box);
    int ky = 2 * row < box ? row : row - box;
    const double *m = linear + 6 * (at / half / box);
    float *value = out + 2 * at;
    value[0] = value[1] = 0.0f;
    if (kx * kx + ky * ky > radius * radius)
        return;
    double scale = (double)padded / box;
    float x = (float)(m[0] * scale) * kx + (float)(m[3] * scale) * ky;
    float y = (float)(m[1] * scale) * kx + (float)(m[4] * scale) * ky;
    float z = (float)(m[2] * scale) * kx + (float)(m[5] * scale) * ky;
    if (x * x + y * y + z * z > padded * (padded / 4.0f))
        return;
    float sign = 1.0f;
    if (x < 0.0f) { // a real map: the other half is the conjugate
        x = -x;
        y = -y;
        z = -z;
        sign = -1.0f;
    }
    float middle = (float)(size / 2);
    size_t line = 2 * (size_t)width;
    between(map, line, line * size, x + 1.0f, y + middle, z + middle, value);
    value[1] *= sign;
}

// Slices times sin(2 pi (cycles - changes squares)) weight, by the polynomial of _kernels.py.
extern "C" __global__ void modulate(float *__restrict__ slices, const float *__restrict__ cycles,
                                    const float *__restrict__ squares,
                                    const float *__restrict__ changes,
                                    const float *__restrict__ weight, int n, int area)
{
    size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    if (at >= (size_t)n * area)
        return;
    int k = (int)(at % area);
    float cycle = cycles[k] - changes[at / area] * squares[k];
    cycle -= floorf(cycle + 0.5f);
    float square = cycle * cycle;
    float sine = -9.51590712f + square * 3.01841558f;
    sine = 16.7595084f + square * sine;
    sine = -16.2086542f + square * sine;
    sine = 6.28318378f + square * sine;
    sine *= cycle * (1.0f - 4.0f * square) * weight[k];
    slices[2 * at] *= sine;
    slices[2 * at + 1] *= sine;
}

// Boxes of an image, by their first pixels.
extern "C" __global__ void cut(const float *__restrict__ image, int width, int height,
                               const int *__restrict__ corners, float *__restrict__ out, int n,
                               int box)
{
    size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    if (at >= (size_t)n * box * box)
        return;
    int x = (int)(at % box), y = (int)(at / box % box);
    const int *corner = corners + 2 * (at / box / box);
    x += corner[0];
    y += corner[1];
    bool inside = x >= 0 && x < width && y >= 0 && y < height;
    out[at] = inside ? image[(size_t)y * width + x] : 0.0f;
}

// seen conj(predicted) exp(2 pi i k offset / box), in the middle of a grid of fine x fine.
extern "C" __global__ void match(const float *__restrict__ seen,
                                 const float *__restrict__ predicted,
                                 const float *__restrict__ offsets, float *__restrict__ out, int n,
                                 int box, int fine)
{
    size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    int half = box / 2 + 1;
    if (at >= (size_t)n * box * half)
        return;
    int kx = (int)(at % half), row = (int)(at / half % box);
    int ky = 2 * row < box ? row : row - box;
    size_t i = at / half / box;
    float turn = (kx * offsets[2 * i] + ky * offsets[2 * i + 1]) / box;
    turn = 6.28318531f * (turn - floorf(turn + 0.5f));
    float c = cosf(turn), s = sinf(turn);
    const float *a = seen + 2 * at, *b = predicted + 2 * at;
    float real = a[0] * b[0] + a[1] * b[1], imaginary = a[1] * b[0] - a[0] * b[1];
    int target = 2 * row < box ? row : row + fine - box;
    float *to = out + 2 * ((i * fine + target) * (fine / 2 + 1) + kx);
    to[0] = real * c - imaginary * s;
    to[1] = real * s + imaginary * c;
}
