// The projectors of _kernels.py, one thread a voxel. Images are flat, with a border of zeros:
// one pixel before, two behind. Matrices are rows of 4, three a tilt image.

// Where the voxel (x, y, z) is, in one row of a matrix: doubles up to the row of voxels, then
// floats, as on the processor.
__device__ inline float place(const double *row, int x, int y, int z)
{
    return (float)(row[1] * y + row[2] * z + row[3]) + (float)row[0] * (float)x;
}

__device__ inline float clamp(float value, float highest)
{
    return fminf(fmaxf(value, 0.0f), highest);
}

extern "C" __global__ void back_project(const float *images, int width, int height, int levels,
                                        const double *matrices, int n, float *out, int columns,
                                        int rows, int depth)
{
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    int z = blockIdx.z * blockDim.z + threadIdx.z;
    if (x >= columns || y >= rows || z >= depth)
        return;
    float total = 0.0f;
    for (int i = 0; i < n; i++) {
        const double *m = matrices + 12 * i;
        float u = clamp(place(m, x, y, z), width - 2.0f);
        float v = clamp(place(m + 4, x, y, z), height - 2.0f);
        int level = levels == 1 ? 0 : (int)clamp(place(m + 8, x, y, z), levels - 0.5f);
        int column = (int)u, line = (int)v;
        float right = u - column, up = v - line;
        const float *p = images + ((size_t)i * levels + level) * width * height
                         + (size_t)line * width + column;
        float low = p[0] + right * (p[1] - p[0]);
        float high = p[width] + right * (p[width + 1] - p[width]);
        total += low + up * (high - low);
    }
    out[((size_t)z * rows + y) * columns + x] = total;
}

extern "C" __global__ void project(const float *volume, int columns, int rows, int depth,
                                   const double *matrices, int n, float *images, int width,
                                   int height)
{
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    int z = blockIdx.z * blockDim.z + threadIdx.z;
    if (x >= columns || y >= rows || z >= depth)
        return;
    float value = volume[((size_t)z * rows + y) * columns + x];
    for (int i = 0; i < n; i++) {
        const double *m = matrices + 12 * i;
        float u = clamp(place(m, x, y, z), width - 2.0f);
        float v = clamp(place(m + 4, x, y, z), height - 2.0f);
        int column = (int)u, line = (int)v;
        float right = u - column, high = value * (v - line), low = value - high;
        float *p = images + (size_t)i * width * height + (size_t)line * width + column;
        atomicAdd(p, low - low * right);
        atomicAdd(p + 1, low * right);
        atomicAdd(p + width, high - high * right);
        atomicAdd(p + width + 1, high * right);
    }
}

// A pixel's four neighbours at (x, y) + its displacement, each with its weight.
#define FOR_NEIGHBOURS(BODY)                                                                    \
    long pixel = blockIdx.x * (long)blockDim.x + threadIdx.x;                                   \
    if (pixel >= (long)n * height * width)                                                      \
        return;                                                                                 \
    long plane = (long)height * width, i = pixel / plane, at = pixel % plane;                   \
    float x = at % width + displacements[2 * i * plane + at];                                   \
    float y = at / width + displacements[(2 * i + 1) * plane + at];                             \
    int left = (int)floorf(x), low = (int)floorf(y);                                            \
    float right = x - left, up = y - low;                                                       \
    for (int k = 0; k < 4; k++) {                                                               \
        int column = left + k % 2, line = low + k / 2;                                          \
        if (column < 0 || column >= width || line < 0 || line >= height)                        \
            continue;                                                                           \
        float weight = (k % 2 ? right : 1.0f - right) * (k / 2 ? up : 1.0f - up);               \
        long other = i * plane + (long)line * width + column;                                   \
        BODY                                                                                    \
    }

extern "C" __global__ void resample(const float *images, const float *displacements, float *out,
                                    int n, int height, int width)
{
    float total = 0.0f;
    long mine = blockIdx.x * (long)blockDim.x + threadIdx.x;
    FOR_NEIGHBOURS(total += weight * images[other];)
    out[mine] = total;
}

extern "C" __global__ void spread(const float *images, const float *displacements, float *out,
                                  int n, int height, int width)
{
    FOR_NEIGHBOURS(atomicAdd(out + other, weight * images[pixel]);)
}
