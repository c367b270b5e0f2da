"""Tilt images made ready: fewer pixels, an even background, what shows nothing set aside."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tomoset.images.device import open_device
from tomoset.images.fourier import Cropping
from tomoset.model import Deformation

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]

#: Pixels that images are binned to [Å]: finer structure is not seen well enough to align by.
WORKING = 10.0
#: Pixels are limited to so many standard deviations: beads, ice and dirt count, but not alone.
_LIMIT = 5.0
#: An area is no part of what is seen if it has less of the usual intensity than this.
_DARK_AREA = 0.3
#: Rows at the edge repeat each other if they differ by less than this part of what is usual.
_REPEATED = 0.02
#: An image is dark, or blocked, if it has less of its neighbours' intensity, or of its area left.
_DARK_IMAGE, _LEFT = 0.25, 0.35


class Images(Protocol):
    """Tilt images that can be read."""

    size: tuple[int, int]

    def __len__(self) -> int: ...

    def read(self, i: int) -> Image:
        """Image i."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """Tilt images to align.

    Parameters
    ----------
    images : (n, h, w) float32 array
        Contrast: intensity over background, less 1, or less background where that is near 0.
    valid : (n, h, w) float32 array
        1 where they show the specimen.
    plain : (n, h, w) float32 array
        Intensity as it is: no background is taken off.
    binning : float
        Pixels of the files in a pixel here. Pixel 0 stays where it is.
    unused : mapping of int to str
        Images that show nothing to align by, from 0, and why.
    """

    images: Image
    valid: Image
    plain: Image
    binning: float
    unused: Mapping[int, str]

    @property
    def used(self) -> npt.NDArray[np.int64]:
        """Images to align, from 0."""
        return np.array([i for i in range(len(self.images)) if i not in self.unused], np.int64)


def prepare(images: Images, pixel_size: float, threads: int = 1) -> Prepared:
    """Read and prepare all images of a series.

    Parameters
    ----------
    images : Images
        The tilt images.
    pixel_size : float
        [Å]
    threads : int
        Images that are prepared at once.

    Returns
    -------
    Prepared
    """
    cropping = Cropping.of(images.size, max(1.0, WORKING / pixel_size))
    device = open_device("cpu")

    def one(i: int) -> tuple[Image, Image, Image, float]:
        image = images.read(i)
        level = float(image.mean())
        small = cropping.image_of(cropping.transform(image, device), device) + np.float32(level)
        return *_even(small), small, level

    with ThreadPoolExecutor(threads) as pool:
        made = list(pool.map(one, range(len(images))))
    contrast, valid, plain = (np.stack([each[k] for each in made]) for k in range(3))
    unused = _unused(contrast, valid, np.array([level for *_, level in made]))
    return Prepared(
        images=contrast,
        valid=valid,
        plain=plain,
        binning=float(np.mean(cropping.factors)),
        unused=unused,
    )


def _even(image: Image) -> tuple[Image, Image]:
    """Contrast against an even background, and where the specimen is seen."""
    import scipy.ndimage

    valid = _whole(image)
    middle = np.float32(np.median(image))
    image = middle + _limited(image - middle)
    smooth = scipy.ndimage.gaussian_filter(image, _reach(image))
    # Most of an image may be blocked.
    usual = float(np.quantile(smooth, 0.75))
    spread = float(image.std())
    counts = usual > 0 and spread < 0.7 * usual
    if counts:
        valid *= _lit(smooth, _DARK_AREA * usual)
    inside = valid > 0
    if not inside.any() or not spread > 0:
        return np.zeros_like(image), np.zeros_like(image)
    background = _background(image, inside)
    if counts and background[inside].min() > _DARK_AREA / 2 * usual:
        contrast = np.where(inside, image / np.where(inside, background, 1.0) - 1, 0.0)
    else:
        contrast = np.where(inside, image - background, 0.0)
    contrast[inside] = _limited(contrast[inside])
    return contrast.astype(np.float32), valid


def _limited(values: Image) -> Image:
    """Values limited to a few standard deviations of what is then left of them."""
    before = np.inf
    while (limit := _LIMIT * float(values.std())) < 0.9 * before:
        values = np.clip(values, -limit, limit)
        before = limit
    return values


def _reach(image: Image) -> float:
    """Over which an image is smoothed, to see where it is lit [px]."""
    return float(max(image.shape)) / 48


def _whole(image: Image) -> Image:
    """0 where rows or columns at the edge repeat each other, as where an image was filled up."""
    valid = np.ones_like(image)
    for view, part in ((image, valid), (image.T, valid.T)):
        steps = np.abs(np.diff(view, axis=0)).mean(axis=1)
        same = steps < _REPEATED * np.median(steps)
        for flags, rows in ((same, part), (same[::-1], part[::-1])):
            filled = len(flags) if flags.all() else int(np.argmin(flags))
            if filled:
                rows[: filled + 1] = 0
    return valid


def _lit(smooth: Image, least: float) -> Image:
    """1 where a smooth image is lit: not beyond the edge of the beam, nor behind a grid bar.

    What is dark there reaches the edge of the image; dark matter in the middle is specimen.
    """
    import scipy.ndimage

    reach = _reach(smooth)
    dark, number = scipy.ndimage.label(smooth < least)
    if not number:
        return np.ones_like(smooth)
    edge = np.concatenate([dark[0], dark[-1], dark[:, 0], dark[:, -1]])
    wide = np.flatnonzero(np.bincount(dark.ravel()) >= 4 * reach**2)
    out = np.isin(dark, np.intersect1d(np.unique(edge[edge > 0]), wide))
    out = scipy.ndimage.binary_dilation(out, iterations=max(1, round(reach)))
    return np.asarray(~out, dtype=np.float32)


def _background(image: Image, inside: npt.NDArray[np.bool_]) -> Image:
    """The paraboloid that fits an image, what sticks out of it left aside."""
    height, width = image.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    terms = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y])
    step = max(1, min(height, width) // 64)
    some = inside[::step, ::step].ravel()
    rows = terms[:, ::step, ::step].reshape(len(terms), -1).T[some].astype(np.float64)
    values = image[::step, ::step].ravel()[some].astype(np.float64)
    good = np.ones(len(values), bool)
    found: Array = np.zeros(len(terms))
    for _ in range(3):
        if good.sum() < 4 * len(terms):
            return np.full_like(image, np.median(image[inside]))
        found = np.asarray(np.linalg.lstsq(rows[good], values[good], rcond=None)[0], np.float64)
        off = np.abs(values - rows @ found)
        good = off <= 3 * 1.4826 * np.median(off) + 1e-12
    return np.asarray(np.tensordot(found.astype(np.float32), terms, 1))


def _unused(images: Image, valid: Image, levels: Array) -> dict[int, str]:
    """Images that show nothing, and why."""
    usual = float(np.median(levels))
    found = {}
    for i, image in enumerate(images):
        near = np.delete(levels[max(0, i - 3) : i + 4], min(i, 3))
        expected = float(np.median(near)) if len(near) else usual
        if not image.any():
            found[i] = "blank"
        elif usual > 0 and levels.min() >= 0 and levels[i] < _DARK_IMAGE * expected:
            found[i] = "dark"
        elif valid[i].mean() < _LEFT:
            found[i] = "blocked"
    return found


#: Images tilted less apart show the same specimen [deg].
_APART = 15.0
#: Rings, and sectors of each, in which what is fixed in the camera is looked for.
_RINGS, _SECTORS = 12, 12


def without_fixed(prepared: Prepared, tilts: Array) -> Prepared:
    """Images without what is fixed in the camera: gain, dirt, fringes.

    Images far apart in tilt share nothing else, but for waves along the tilt axis. The mean of
    those far from an image is taken from it, weighed down (Wiener) to what they have in common:
    nothing where there is no such pattern. Without that it pulls all shifts to 0.

    Parameters
    ----------
    prepared : Prepared
    tilts : (n,) array
        [deg]
    """
    import scipy.fft

    used = prepared.used
    tilt = tilts[used]
    apart = (np.abs(tilt[:, None] - tilt) >= _APART).astype(np.float32)
    number = apart.sum(axis=1)
    if len(used) < 8 or number.min() < 4:
        return prepared
    images = prepared.images[used]
    shape = images.shape[1:]
    mean = (apart / number[:, None]) @ images.reshape(len(images), -1)
    spectra = scipy.fft.rfft2(images)
    means = scipy.fft.rfft2(mean.reshape(images.shape))
    common = np.real(spectra * means.conj()).mean(axis=0)
    power = (np.abs(means) ** 2).mean(axis=0)
    ring, sector = _polar(shape)
    weight = np.zeros(_RINGS)
    for r in range(_RINGS):
        shares = [
            common[(ring == r) & (sector == s)].mean()
            for s in range(_SECTORS)
            if ((ring == r) & (sector == s)).sum() >= 8
        ]
        if len(shares) < _SECTORS // 2:
            continue
        of_mean = power[ring == r].mean()
        # Structure of the specimen has directions: half of the sectors must show the pattern.
        weight[r] = np.clip(np.quantile(shares, 0.4) / of_mean, 0, 1) if of_mean > 0 else 0
    if weight.max() < 0.1:
        return prepared
    filtered = means * np.where(ring < _RINGS, weight[np.minimum(ring, _RINGS - 1)], 0)
    fixed = scipy.fft.irfft2(filtered, s=shape).astype(np.float32)
    changed = prepared.images.copy()
    changed[used] = (images - fixed) * (prepared.valid[used] > 0)
    return replace(prepared, images=changed)


def undeformed(prepared: Prepared, deformation: Deformation, size: tuple[int, int]) -> Prepared:
    """Images as projections alone have them, without a 2D deformation that is known.

    Parameters
    ----------
    prepared : Prepared
    deformation : Deformation
        Of the tilt images.
    size : (int, int)
        Their width and height [px].
    """
    import scipy.ndimage

    shape = prepared.images.shape[1:]
    height, width = shape
    factors = (size[0] / width, size[1] / height)
    x, y = deformation.field((height, width), factors, image_size=size).swapaxes(0, 1)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    images, valid = np.zeros_like(prepared.images), np.zeros_like(prepared.valid)
    plain = np.zeros_like(prepared.plain)
    for i in prepared.used:
        at = (rows + y[i], columns + x[i])
        images[i] = scipy.ndimage.map_coordinates(prepared.images[i], at, order=3)
        plain[i] = scipy.ndimage.map_coordinates(prepared.plain[i], at, order=3)
        shown = scipy.ndimage.map_coordinates(prepared.valid[i], at, order=1, cval=0)
        valid[i] = shown > 0.999
    return replace(prepared, images=images * valid, plain=plain * valid, valid=valid)


def _polar(shape: tuple[int, ...]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Ring, up to 0.5 cycles per pixel, and sector of each frequency of a real transform."""
    x = np.fft.rfftfreq(shape[1])[None]
    y = np.fft.fftfreq(shape[0])[:, None]
    ring = (np.hypot(x, y) * 2 * _RINGS).astype(np.int64)
    sector = ((np.arctan2(y, x) / np.pi + 0.5) * _SECTORS).astype(np.int64)
    return ring, np.minimum(sector + 0 * ring, _SECTORS - 1)
