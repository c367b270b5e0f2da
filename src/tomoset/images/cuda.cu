// The projectors of _kernels.py. Images are flat, with a border of zeros: one pixel before, two
// behind. Matrices are rows of 4, three a tilt image.
//
// A thread has TALL voxels, a column along y: where the first one is seen takes doubles, in which
// most GPUs are slow, the others follow in floats. device.py says what TALL is.

struct Track
{
    float start, step;
};

// What one row of a matrix gives for the voxel (x, y, z) and the next ones along y.
__device__ inline Track track(const double *row, int x, int y, int z)
{
    Track found = {(float)(row[0] * x + row[1] * y + row[2] * z + row[3]), (float)row[1]};
    return found;
}

__device__ inline float place(Track track, int k, float highest)
{
    return fminf(fmaxf(track.start + track.step * k, 0.0f), highest);
}

extern "C" __global__ void back_project(const float *__restrict__ images, int width, int height,
                                        int levels, const double *__restrict__ matrices, int n,
                                        float *__restrict__ out, int columns, int rows, int depth)
{
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = TALL * (blockIdx.y * blockDim.y + threadIdx.y);
    int z = blockIdx.z * blockDim.z + threadIdx.z;
    if (x >= columns || y >= rows || z >= depth)
        return;
    float total[TALL] = {};
    size_t plane = (size_t)width * height;
    for (int i = 0; i < n; i++) {
        const double *m = matrices + 12 * i;
        const float *image = images + i * levels * plane;
        Track u = track(m, x, y, z), v = track(m + 4, x, y, z), level = track(m + 8, x, y, z);
#pragma unroll
        for (int k = 0; k < TALL; k++) { // beyond the volume too: the border is safe
            float right = place(u, k, width - 2.0f), up = place(v, k, height - 2.0f);
            int column = (int)right, line = (int)up;
            right -= column;
            up -= line;
            const float *p = image + line * width + column;
            if (levels > 1)
                p += (int)place(level, k, levels - 0.5f) * plane;
            float low = p[0] + right * (p[1] - p[0]);
            float high = p[width] + right * (p[width + 1] - p[width]);
            total[k] += low + up * (high - low);
        }
    }
    for (int k = 0; k < TALL && y + k < rows; k++)
        out[((size_t)z * rows + y + k) * columns + x] = total[k];
}

extern "C" __global__ void project(const float *__restrict__ volume, int columns, int rows,
                                   int depth, const double *__restrict__ matrices, int n,
                                   float *__restrict__ images, int width, int height)
{
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = TALL * (blockIdx.y * blockDim.y + threadIdx.y);
    int z = blockIdx.z * blockDim.z + threadIdx.z;
    if (x >= columns || y >= rows || z >= depth)
        return;
    const float *voxel = volume + ((size_t)z * rows + y) * columns + x;
    int here = min(TALL, rows - y);
    for (int i = 0; i < n; i++) {
        const double *m = matrices + 12 * i;
        float *image = images + (size_t)i * width * height;
        Track u = track(m, x, y, z), v = track(m + 4, x, y, z);
        for (int k = 0; k < here; k++) {
            float right = place(u, k, width - 2.0f), up = place(v, k, height - 2.0f);
            int column = (int)right, line = (int)up;
            right -= column;
            up -= line;
            float value = voxel[(size_t)k * columns], high = value * up, low = value - high;
            float *p = image + line * width + column;
            atomicAdd(p, low - low * right);
            atomicAdd(p + 1, low * right);
            atomicAdd(p + width, high - high * right);
            atomicAdd(p + width + 1, high * right);
        }
    }
}

// The four pixels about a pixel plus its displacement, and their weights, 0 outside the image.
struct Neighbours
{
    long long pixel[4];
    float weight[4];
};

__device__ inline Neighbours neighbours(const float *displacements, long long pixel, int height,
                                        int width)
{
    long long plane = (long long)height * width, i = pixel / plane;
    int at = (int)(pixel - i * plane);
    float x = displacements[2 * i * plane + at], y = displacements[(2 * i + 1) * plane + at];
    int left = at % width + (int)floorf(x), low = at / width + (int)floorf(y);
    float right = x - floorf(x), up = y - floorf(y);
    Neighbours found;
    for (int k = 0; k < 4; k++) {
        int column = left + k % 2, line = low + k / 2;
        bool inside = column >= 0 && column < width && line >= 0 && line < height;
        float weight = (k % 2 ? right : 1.0f - right) * (k / 2 ? up : 1.0f - up);
        found.weight[k] = inside ? weight : 0.0f;
        found.pixel[k] = inside ? i * plane + (long long)line * width + column : pixel;
    }
    return found;
}

extern "C" __global__ void resample(const float *__restrict__ images,
                                    const float *__restrict__ displacements,
                                    float *__restrict__ out, int n, int height, int width)
{
    long long pixel = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (pixel >= (long long)n * height * width)
        return;
    Neighbours found = neighbours(displacements, pixel, height, width);
    float total = 0.0f;
    for (int k = 0; k < 4; k++)
        total += found.weight[k] * images[found.pixel[k]];
    out[pixel] = total;
}

extern "C" __global__ void spread(const float *__restrict__ images,
                                  const float *__restrict__ displacements,
                                  float *__restrict__ out, int n, int height, int width)
{
    long long pixel = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (pixel >= (long long)n * height * width)
        return;
    Neighbours found = neighbours(displacements, pixel, height, width);
    for (int k = 0; k < 4; k++)
        if (found.weight[k] != 0.0f)
            atomicAdd(out + found.pixel[k], found.weight[k] * images[pixel]);
}
