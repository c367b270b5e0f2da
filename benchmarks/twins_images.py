"""What the detector shows of a simulated specimen: sums along rays, defocus, absorption, noise.

Each slice of the grid is shifted to where a ray crosses the mid-plane and added: line sums, linear
in x and y, without any transform. Strata that move are summed apart and put together in the image.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from twins_specimen import ICE, Density, smooth_field
from twins_views import REACH, STRATA, Views

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]

#: Around an image while it is made, so that its transform does not wrap [px].
PAD = 32
#: Electron wavelength [Å] and spherical aberration [Å] at 300 kV.
WAVELENGTH, ABERRATION = 0.019687, 2.7e7
#: Phase shift by vitreous ice [rad/Å]: 4.5 V at 300 kV.
PHASE = 2.94e-3
#: Filtered copies of an image lie at most so far apart in defocus [Å].
STEP = 2500.0


@dataclass(frozen=True, kw_only=True)
class Optics:
    """How the images are formed.

    Parameters
    ----------
    size : (int, int)
        Width and height [px].
    pixel_size : float
        [Å]
    absorption : float
        Path in ice that takes 1 - 1/e of the electrons [Å]; inf: none.
    b_factor : float
        Of all images [Å²].
    fading : bool
        Structure fades with dose (Grant & Grigorieff 2015).
    """

    size: tuple[int, int]
    pixel_size: float
    absorption: float = 3100.0
    b_factor: float = 200.0
    fading: bool = True


def reach(views: Views, optics: Optics, half: float) -> tuple[Array, Array]:
    """Corners of what all images see of a slab of so much on both sides [Å], in x and y."""
    frame = np.array([[-PAD, -PAD], [-PAD, 1], [1, -PAD], [1, 1]], dtype=np.float64)
    size = np.array(optics.size)
    frame = np.where(frame > 0, size + PAD, frame)
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for i, slope in enumerate(views.slopes()):
        inverse, offset = _to_plane(views, optics, i)
        at = frame @ inverse.T + offset
        low = np.minimum(low, at.min(axis=0) - half * np.abs(slope) - 150)
        high = np.maximum(high, at.max(axis=0) + half * np.abs(slope) + 150)
    return low, high


def _to_plane(views: Views, optics: Optics, i: int) -> tuple[Array, Array]:
    """Matrix and offset from a pixel, 0-based, to the mid-plane [Å]."""
    matrix = views.turns[i, :2, :2] * views.scale[i] / optics.pixel_size
    inverse = np.linalg.inv(matrix)
    middle = np.array(optics.size) // 2 + views.shifts[i]
    return inverse, -inverse @ middle


def form(density: Density, views: Views, optics: Optics, threads: int = 2) -> Floats:
    """Intensities of all images without noise, (n, h, w): 1 where nothing is in the beam."""
    with ThreadPoolExecutor(threads) as pool:
        made = pool.map(lambda i: _one(density, views, optics, i), range(len(views.nominal)))
        return np.stack(list(made))


def _one(density: Density, views: Views, optics: Optics, i: int) -> Floats:
    """Intensity of one image."""
    path = _path(density, views, optics, i)
    contrast = _contrast(path, views, optics, i)
    inner = (slice(PAD, -PAD), slice(PAD, -PAD))
    intensity = np.exp(-path[inner] / optics.absorption) * np.maximum(1 + contrast[inner], 0.02)
    return np.asarray(intensity, np.float32)


def _path(density: Density, views: Views, optics: Optics, i: int) -> Floats:
    """Mass thickness along the rays of an image, padded [Å of ice]."""
    inverse, offset = _to_plane(views, optics, i)
    slope = views.slopes()[i]
    width, height = (n + 2 * PAD for n in optics.size)
    offset = offset - inverse @ [PAD, PAD]
    moving = bool(np.any(views.motion[i]))
    strata = STRATA if moving else 1
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ inverse.T + offset
    window = (
        np.array([corners.min(axis=0), corners.max(axis=0)]) - density.origin[:2]
    ) / density.pitch
    x0, y0 = np.floor(window[0]).astype(int) - 12
    nx, ny = np.ceil(window[1]).astype(int) + 13 - [x0, y0]
    middle = -density.origin[2] / density.pitch
    # What is on the faces moves with the outer strata.
    edges = middle + np.linspace(-1, 1, strata + 1) * density.half / density.pitch
    bounds = [0, *(int(e) + 1 for e in edges[1:-1]), density.values.shape[1]]
    path = np.zeros((height, width), np.float32)
    for s in range(strata):
        sums = np.zeros((ny, nx), np.float32)
        _add_rays(
            density.values, bounds[s], bounds[s + 1], middle, slope[0], slope[1], x0, y0, sums
        )
        depth = ((edges[s] + edges[s + 1]) / 2 - middle) * density.pitch
        frame = np.array(
            [*(density.origin[:2] + np.array([x0, y0]) * density.pitch), density.pitch]
        )
        _gather(sums, frame, inverse, offset, slope, depth, views.motion[i, s], moving, path)
    ray = density.pitch * math.sqrt(1 + slope @ slope) / ICE
    return np.asarray(path * np.float32(ray))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _add_rays(values, low, high, middle, ax, ay, x0, y0, sums):  # type: ignore[no-untyped-def]
    """Add slices low to high, each shifted along the ray, to what crosses the mid-plane."""
    ny, nx = sums.shape
    rows, _, width = values.shape
    for j in range(ny):
        total = sums[j]
        for k in range(low, high):
            y = y0 + j + ay * (k - middle)
            x = x0 + ax * (k - middle)
            iy, ix = math.floor(y), math.floor(x)
            if iy < 0 or iy + 1 >= rows:
                continue
            wy, wx = np.float32(y - iy), np.float32(x - ix)
            first, last = max(0, -ix), min(nx, width - 1 - ix)
            one, two = (1 - wy) * (1 - wx), (1 - wy) * wx
            row = values[iy, k, ix + first : ix + last + 1]
            part = total[first:last]
            if wy < 1e-6:
                for i in range(len(part)):
                    part[i] += one * row[i] + two * row[i + 1]
            else:
                three, four = wy * (1 - wx), wy * wx
                next = values[iy + 1, k, ix + first : ix + last + 1]
                for i in range(len(part)):
                    part[i] += (
                        one * row[i] + two * row[i + 1] + three * next[i] + four * next[i + 1]
                    )


@numba.njit(cache=True, nogil=True, fastmath=True)
def _gather(sums, frame, inverse, offset, slope, depth, motion, moving, path):  # type: ignore[no-untyped-def]
    """Add a stratum's sums to an image, by cubic interpolation where its matter has moved to."""
    height, width = path.shape
    ny, nx = sums.shape
    shift = motion[:2] - slope.reshape(2, 1) * motion[2:]
    for j in range(height):
        for i in range(width):
            mx = inverse[0, 0] * i + inverse[0, 1] * j + offset[0]
            my = inverse[1, 0] * i + inverse[1, 1] * j + offset[1]
            px, py = mx, my
            if moving:
                for _ in range(2):
                    x = (px + slope[0] * depth) / REACH
                    y = (py + slope[1] * depth) / REACH
                    dx = shift[0, 0] + x * (shift[0, 1] + x * shift[0, 3] + y * shift[0, 4])
                    dx += y * (shift[0, 2] + y * shift[0, 5])
                    dy = shift[1, 0] + x * (shift[1, 1] + x * shift[1, 3] + y * shift[1, 4])
                    dy += y * (shift[1, 2] + y * shift[1, 5])
                    px, py = mx - dx, my - dy
            x, y = (px - frame[0]) / frame[2], (py - frame[1]) / frame[2]
            ix, iy = math.floor(x), math.floor(y)
            if ix < 1 or iy < 1 or ix + 2 >= nx or iy + 2 >= ny:
                continue
            x -= ix
            y -= iy
            a0 = x * (-0.5 + x * (1 - 0.5 * x))
            a1 = 1 + x * x * (-2.5 + 1.5 * x)
            a2 = x * (0.5 + x * (2 - 1.5 * x))
            a3 = x * x * (-0.5 + 0.5 * x)
            b0 = y * (-0.5 + y * (1 - 0.5 * y))
            b1 = 1 + y * y * (-2.5 + 1.5 * y)
            b2 = y * (0.5 + y * (2 - 1.5 * y))
            b3 = y * y * (-0.5 + 0.5 * y)
            total = 0.0
            for m in range(4):
                b = b0 if m == 0 else b1 if m == 1 else b2 if m == 2 else b3
                r = iy - 1 + m
                total += b * (
                    a0 * sums[r, ix - 1]
                    + a1 * sums[r, ix]
                    + a2 * sums[r, ix + 1]
                    + a3 * sums[r, ix + 2]
                )
            path[j, i] += total


def _contrast(path: Floats, views: Views, optics: Optics, i: int) -> Floats:
    """Phase contrast of an image, of the defocus at each place of the mid-plane, padded."""
    height, width = path.shape
    inverse, offset = _to_plane(views, optics, i)
    slope = views.turns[i, 2, :2] @ inverse
    constant = views.turns[i, 2, :2] @ (offset - inverse @ [PAD, PAD])
    y, x = np.arange(height)[:, None], np.arange(width)
    # Deeper matter is less underfocused.
    defocus = np.asarray(views.defocus[i] - (slope[0] * x + slope[1] * y + constant), np.float32)
    low, high = float(defocus.min()), float(defocus.max())
    steps = max(1, math.ceil((high - low) / STEP)) + 1
    levels = np.linspace(low, high, steps)
    spectrum = fft.rfft2(np.asarray(path - path.mean(), np.float32))
    ky = fft.fftfreq(height, optics.pixel_size)[:, None]
    kx = fft.rfftfreq(width, optics.pixel_size)
    k2 = np.asarray(ky**2 + kx**2, np.float32)
    spectrum *= -2 * PHASE * _envelope(k2, views.pre_exposure[i], optics)
    place = (defocus - low) / max((high - low) / (steps - 1), 1e-6)
    contrast = np.zeros_like(path)
    for s, level in enumerate(levels):
        transfer = np.sin(
            np.float32(math.pi * WAVELENGTH * level) * k2
            - np.float32(math.pi / 2 * ABERRATION * WAVELENGTH**3) * k2 * k2
        )
        weight = np.maximum(0, 1 - np.abs(place - s))
        contrast += weight * fft.irfft2(spectrum * transfer, s=path.shape)
    return contrast


def _envelope(k2: Floats, dose: float, optics: Optics) -> Floats:
    """What is left of each frequency."""
    left = np.exp(-optics.b_factor / 4 * k2)
    if optics.fading:
        critical = 0.245 * np.maximum(np.sqrt(k2), 1e-3) ** -1.665 + 2.81
        left = left * np.exp(-dose / (2 * critical))
    return np.asarray(left, np.float32)


def binned(images: Floats, pixel_size: float, working: float) -> Floats:
    """Images of a coarser pixel, about the working one, by cutting their transform."""
    n, height, width = images.shape
    if working <= 1.05 * pixel_size:
        return images
    h, w = (2 * round(size * pixel_size / working / 2) for size in (height, width))
    out = np.zeros((n, h, w), np.float32)
    for i, image in enumerate(images):
        spectrum = fft.rfft2(image)
        rows = np.concatenate(
            [spectrum[: h // 2, : w // 2 + 1], spectrum[-(h // 2) :, : w // 2 + 1]]
        )
        out[i] = fft.irfft2(rows, s=(h, w)) * (h * w / (height * width))
    return out


def signal(clean: Floats, pixel_size: float, working: float = 10.0) -> Array:
    """Variance of each image's contrast at the working pixel, without what is coarser than 400 Å.

    The tenth of the image with most is left out: dirt and edges are no measure of the rest.
    """
    found = []
    for image in binned(clean, pixel_size, working):
        local = ndimage.gaussian_filter(image, 400 / working / 2)
        contrast = image / np.maximum(local, 1e-3) - 1
        h, w = (n // 32 for n in contrast.shape)
        tiles = contrast[: 32 * h, : 32 * w].reshape(h, 32, w, 32).var(axis=(1, 3)).ravel()
        found.append(np.sort(tiles)[: max(1, int(0.9 * len(tiles)))].mean())
    return np.array(found)


def camera(size: tuple[int, int], rms: float, beam_edge: bool, rng: np.random.Generator) -> Floats:
    """What is fixed in the detector, (h, w): gain, specks of dirt, fringes, the beam's edge."""
    width, height = size
    shape = (height, width)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    pattern = rng.normal(size=shape) + 0.7 * smooth_field(rng, shape, 5.0)
    k, angle = 2 * np.pi / rng.uniform(18, 45), rng.uniform(0, 2 * np.pi)
    bent = (
        x * np.cos(angle)
        + y * np.sin(angle)
        + 2e-4 * ((x - width / 2) ** 2 + (y - height / 2) ** 2)
    )
    pattern += 0.5 * np.sin(k * bent)
    for _ in range(int(rng.integers(3, 9))):
        cx, cy, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(3, 10)
        pattern -= rng.uniform(2, 5) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * radius**2))
    fixed = 1 + rms * (pattern - pattern.mean()) / pattern.std()
    if beam_edge:
        angle = rng.uniform(0, 2 * np.pi)
        far = (x - width / 2) * np.cos(angle) + (y - height / 2) * np.sin(angle)
        edge = np.quantile(far, rng.uniform(0.92, 0.97))
        across = (x - width / 2) * np.sin(angle) - (y - height / 2) * np.cos(angle)
        # Of a round beam: its edge is bent.
        soft = (edge - far - across**2 / (3 * max(size))) / 8
        fixed *= 0.03 + 0.97 / (1 + np.exp(-np.clip(soft, -50, 50)))
    return np.asarray(np.maximum(fixed, 0.01), np.float32)


def shot(clean: Floats, fixed: Floats, electrons: float, seed: int) -> Floats:
    """Images with shot noise of so many electrons in a pixel of intensity 1, in the same unit."""
    rng = np.random.default_rng([seed, 5])
    made = np.empty_like(clean)
    for i, image in enumerate(clean):
        made[i] = rng.poisson(image * fixed * electrons) / electrons
    return made
