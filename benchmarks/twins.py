"""Simulated tilt series that contain what breaks assumptions: twins of real ones, with known truth.

They share no code with `tomoset.simulate`: the specimen (`twins_specimen`), the views
(`twins_views`) and the images (`twins_images`) are made anew here, so that an alignment that is
right for both owes it to no common mistake. Only `write` uses tomoset, for its files.

`truth` is rigid: where each image shows the *mean* position of the specimen's matter, over the
series and over what that image sees of the slab. What a dome or a moving stratum does beyond a
shift of the whole image is not in it, and no alignment by projections alone can follow; its size
is `Twin.moved`.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from twins_faults import bad_images, gradients, heat, jumps, spoiled
from twins_images import Floats, Optics, camera, form, reach, shot, signal
from twins_recipes import KINDS, Recipe, changed
from twins_specimen import Density, build
from twins_views import STRATA, Views, random_views, rotation

Array = npt.NDArray[np.float64]
#: Pixel size at which signal and noise are compared [Å].
WORKING = 10.0
#: Of the code that makes series: those kept of another edition are made anew.
EDITION = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Twin:
    """A simulated tilt series and its truth.

    Parameters
    ----------
    name, kind, seed
        Which it is.
    images : (n, h, w) float32 array
        With shot noise, camera and faults; 1 is the beam where nothing is in it.
    clean : (n, h, w) float32 array
        Without noise, camera and faults.
    fixed : (h, w) float32 array
        What is fixed in the camera, a factor.
    electrons : float
        In a pixel of intensity 1.
    snr : float
        Ratio of the variances of signal and noise at 10 Å a pixel, mean over the images.
    noise_variance : (n,) array
        Of shot noise, relative to the image's mean squared, at 10 Å a pixel.
    nominal, pre_exposure : (n,) arrays
        Angles of the stage [deg]; dose before each image [e/Å²].
    nominal_axis : float
        Direction of the tilt axis as the user has it [deg].
    pixel_size : float
        [Å]
    size : (int, int, int)
        x, y, z of the tomogram [px].
    truth, start : (n, 4, 4) arrays
        From 0-based voxels to 0-based pixels, rows x, y, depth; and what the user has.
    thickness : float
        Of the slab [Å].
    inclination : (float, float)
        Of the slab, about the tilt axis and across it [deg].
    axis : float
        Mean direction of the tilt axis, counter-clockwise from image y [deg].
    moved : (n,) array
        rms of how far matter lies from where `truth` has it [Å].
    signal : (n,) array
        Variance of each image's contrast at 10 Å a pixel.
    faults : tuple of str
        What is wrong with the series, on purpose.
    bad : dict of int to str
        Images that show nothing of use, and why.
    """

    name: str
    kind: str
    seed: int
    images: Floats
    clean: Floats
    fixed: Floats
    electrons: float
    snr: float
    noise_variance: Array
    nominal: Array
    pre_exposure: Array
    nominal_axis: float
    pixel_size: float
    size: tuple[int, int, int]
    truth: Array
    start: Array
    thickness: float
    inclination: tuple[float, float]
    axis: float
    moved: Array
    signal: Array
    faults: tuple[str, ...]
    bad: dict[int, str]

    def points(self) -> Array:
        """Points spread over the slab where the untilted image sees it: (n, 3) voxels."""
        width, height, _ = self.size
        x, y = np.meshgrid(
            np.linspace(-0.42, 0.42, 7) * width, np.linspace(-0.42, 0.42, 7) * height
        )
        z = np.array([-0.45, 0, 0.45]) * self.thickness / self.pixel_size
        flat = np.column_stack([x.ravel(), y.ravel(), np.zeros(x.size)])
        at = (flat[:, None] + z[:, None] * [0, 0, 1]).reshape(-1, 3)
        return np.asarray(at @ slab(self).T + np.array(self.size) // 2)


def make(kind: str, seed: int, **changes: Any) -> Twin:
    """Simulate a series of a kind; fields of its recipe, of all parts, may be changed."""
    recipe = changed(KINDS[kind], changes)
    rng, thickness, inclination, views = _drawn(recipe, seed)
    density = _built(recipe, thickness, views, seed)
    clean = form(density, views, recipe.optics)
    strength = signal(clean, recipe.optics.pixel_size, WORKING)
    if "empty" in recipe.faults:
        clean = np.broadcast_to(clean.mean(axis=(1, 2), keepdims=True), clean.shape).copy()
    size = _size(recipe, thickness, inclination, views.axis)
    moved, rest = _mean_motion(views, recipe.optics, thickness)
    views = replace(views, shifts=views.shifts + moved)
    nominal_axis, start = _start(recipe, views, size, rng)
    rms, edge = float(rng.uniform(*recipe.camera)), bool(rng.random() < recipe.beam_edge)
    twin = Twin(
        name=f"{kind}_{seed}",
        kind=kind,
        seed=seed,
        images=clean,
        clean=clean,
        fixed=camera(recipe.optics.size, rms, edge, rng),
        electrons=1.0,
        snr=0.0,
        noise_variance=np.ones(len(clean)),
        nominal=views.nominal,
        pre_exposure=views.pre_exposure,
        nominal_axis=nominal_axis,
        pixel_size=recipe.optics.pixel_size,
        size=size,
        truth=_matrices(views.stage, views.scale, views.shifts, recipe.optics.size, size),
        start=start,
        thickness=thickness,
        inclination=inclination,
        axis=views.axis,
        moved=rest,
        signal=strength,
        faults=recipe.faults,
        bad=bad_images(recipe, len(clean), rng),
    )
    return renoised(twin, recipe.snr)


def specimen(kind: str, seed: int, **changes: Any) -> Density:
    """The specimen of a series that `make` makes, in the slab's frame."""
    recipe = changed(KINDS[kind], changes)
    _, thickness, _, views = _drawn(recipe, seed)
    return _built(recipe, thickness, views, seed)


def slab(twin: Twin) -> Array:
    """How the slab lies in the tomogram: (3, 3)."""
    return np.asarray(rotation("y", twin.inclination[0]) @ rotation("x", twin.inclination[1]))


def _drawn(
    recipe: Recipe, seed: int
) -> tuple[np.random.Generator, float, tuple[float, float], Views]:
    """What is drawn first, the generator after that, thickness and inclination, and the views."""
    rng = np.random.default_rng([seed, 3])
    thickness = float(rng.uniform(*recipe.thickness))
    about = float(rng.uniform(-recipe.pretilt, recipe.pretilt))
    inclination = (about, float(rng.normal(0, recipe.across or 1e-9)))
    views = random_views(recipe.course, inclination, seed)
    return rng, thickness, inclination, replace(views, shifts=views.shifts + jumps(recipe, rng))


def _built(recipe: Recipe, thickness: float, views: Views, seed: int) -> Density:
    """The specimen, as far as any image sees it."""
    low, high = reach(views, recipe.optics, thickness / 2 + 500)
    return build(replace(recipe.contents, thickness=thickness), low, high, recipe.pitch, seed)


def renoised(twin: Twin, snr: float) -> Twin:
    """The same series with another ratio of signal to noise, quickly."""
    mean = twin.clean.mean(axis=(1, 2))
    pixels = max(1.0, WORKING / twin.pixel_size) ** 2
    good = np.array([i for i in range(len(mean)) if twin.bad.get(i) not in ("dark", "blank")])
    electrons = snr / float((twin.signal * mean * pixels)[good].mean())
    seed = hash((twin.seed, round(1e6 * snr))) % 2**31
    clean = twin.clean
    if "gradient" in twin.faults:
        clean = clean * gradients(clean.shape, twin.seed)
    images = shot(spoiled(clean, twin.bad), twin.fixed, electrons, seed)
    if "hot" in twin.faults:
        heat(images, seed)
    return replace(
        twin,
        images=images,
        electrons=electrons,
        snr=snr,
        noise_variance=1 / (electrons * mean * pixels),
    )


def halves(twin: Twin) -> tuple[Floats, Floats]:
    """The images of the even and of the odd frames: each electron is in one of them by chance."""
    rng = np.random.default_rng([twin.seed, 17])
    even = np.empty_like(twin.images)
    for half, image in zip(even, twin.images, strict=True):
        counts = np.rint(image * twin.electrons).astype(np.int64)
        half[:] = 2 * rng.binomial(counts, 0.5) / twin.electrons
    return even, 2 * twin.images - even


def cached(kind: str, seed: int, folder: str | Path, **changes: Any) -> Twin:
    """As `make`; kept in a folder without its noise, and made anew only where it is not there."""
    snr = changes.pop("snr", KINDS[kind].snr)
    recipe = repr((EDITION, changed(KINDS[kind], {**changes, "snr": 0.1})))
    what = hashlib.sha256(recipe.encode()).hexdigest()[:8]
    path = Path(folder) / f"{kind}_{seed}_{what}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        _keep(make(kind, seed, **changes), path)
    return renoised(_kept(path), snr)


def _keep(twin: Twin, path: Path) -> None:
    """Save all but the images, the clean ones in half precision."""
    fields = {k: getattr(twin, k) for k in Twin.__dataclass_fields__ if k not in ("images", "bad")}
    fields["clean"] = twin.clean.astype(np.float16)
    fields["bad"] = np.array(list(twin.bad), dtype=np.int64)
    fields["why"] = np.array(list(twin.bad.values()), dtype="U8")
    part = path.with_suffix(f".{os.getpid()}")
    with part.open("wb") as out:
        np.savez(out, **fields)
    part.rename(path)


def _kept(path: Path) -> Twin:
    """What was saved, its images still without noise."""
    with np.load(path) as stored:
        fields = {k: stored[k] for k in stored.files}
    bad, why = fields.pop("bad").tolist(), fields.pop("why").tolist()
    fields = {k: value.item() if value.ndim == 0 else value for k, value in fields.items()}
    for name in ("size", "inclination", "faults"):
        fields[name] = tuple(fields[name].tolist())
    clean = fields.pop("clean").astype(np.float32)
    return Twin(images=clean, clean=clean, bad=dict(zip(bad, why, strict=True)), **fields)


def write(twin: Twin, folder: str | Path) -> str:
    """Write the images as an MRC stack and what the user has as ``tomograms.star``; its path."""
    from tomoset import Optics as ModelOptics
    from tomoset import Tomogram, TomogramSet
    from tomoset.images.mrc import write_images

    where = Path(folder)
    where.mkdir(parents=True, exist_ok=True)
    stack = where / f"{twin.name}.mrc"
    write_images(stack, twin.images, twin.pixel_size, [f"simulated {twin.kind}"])
    n, height, width = twin.images.shape
    tomogram = Tomogram(
        name=twin.name,
        n_tilts=n,
        optics=ModelOptics(pixel_size=twin.pixel_size),
        hand=-1,
        stack=str(stack),
        image_size=(width, height),
        size=twin.size,
        projections=twin.start,
        nominal_tilts=twin.nominal,
        nominal_axis=np.full(n, twin.nominal_axis),
        pre_exposure=twin.pre_exposure,
        fractional_dose=float(twin.pre_exposure.max() / max(n - 1, 1)),
    )
    path = where / "tomograms.star"
    TomogramSet([tomogram]).write(path, "relion5")
    return str(path)


def write_halves(twin: Twin, folder: str | Path) -> str:
    """As `write`, with the images of the even and of the odd frames beside it."""
    from tomoset import TomogramSet, read
    from tomoset.images.mrc import write_images

    path, named = write(twin, folder), []
    for half, images in zip(("even", "odd"), halves(twin), strict=True):
        stack = Path(folder) / f"{twin.name}_{half}.mrc"
        write_images(stack, images, twin.pixel_size, [f"simulated {twin.kind}, {half} frames"])
        named.append(tuple(f"{i + 1}@{stack}" for i in range(len(images))))
    tomogram = replace(read(path)[twin.name], half_images=(named[0], named[1]))
    TomogramSet([tomogram]).write(path, "relion5")
    return path


def _size(
    recipe: Recipe, thickness: float, inclination: tuple[float, float], axis: float
) -> tuple[int, int, int]:
    """Of the tomogram: what the untilted image sees, and the inclined slab with all on it [px]."""
    width, height = recipe.optics.size
    if abs(np.sin(np.deg2rad(axis))) > 0.7:
        width, height = height, width
    rise = width * abs(np.tan(np.deg2rad(inclination[0])))
    rise += height * abs(np.tan(np.deg2rad(inclination[1])))
    depth = 1.1 * thickness / recipe.optics.pixel_size + rise
    return width, height, 2 * int(np.ceil(depth / 2))


def _matrices(
    turns: Array, scale: Array, shifts: Array, image: tuple[int, int], size: tuple[int, int, int]
) -> Array:
    """Projections about the middles, size // 2, of tomogram and image."""
    made = np.zeros((len(turns), 4, 4))
    made[:, 3, 3] = 1.0
    made[:, :3, :3] = turns * np.asarray(scale)[:, None, None]
    made[:, :2, 3] = shifts + np.array(image) // 2
    made[:, :3, 3] -= made[:, :3, :3] @ (np.array(size) // 2)
    return made


def _mean_motion(views: Views, optics: Optics, thickness: float) -> tuple[Array, Array]:
    """Mean displacement of what each image sees, (n, 2) [px], and the rms of the rest [Å]."""
    half = 1.2 * max(optics.size) * optics.pixel_size
    flat = np.linspace(-half, half, 41)
    z = (np.arange(STRATA) + 0.5) / STRATA - 0.5
    x, y, s = (a.ravel() for a in np.meshgrid(flat, flat, np.arange(STRATA)))
    at = np.column_stack([x, y, z[s] * thickness])
    still = replace(views, motion=np.zeros_like(views.motion)).seen(at, s, optics.pixel_size)
    moved = views.seen(at, s, optics.pixel_size) - still
    inside = np.all(np.abs(still) < np.array(optics.size) / 2, axis=-1)[..., None]
    mean = (moved * inside).sum(axis=1) / inside.sum(axis=1)
    rest = ((moved - mean[:, None]) ** 2 * inside).sum(axis=(1, 2)) / inside.sum(axis=(1, 2))
    return mean, np.sqrt(rest) * optics.pixel_size


def _start(
    recipe: Recipe, views: Views, size: tuple[int, int, int], rng: np.random.Generator
) -> tuple[float, Array]:
    """The axis and the projections that the user has."""
    n = len(views.nominal)
    axis = views.axis + rng.normal(0, recipe.axis_error)
    if "axis90" in recipe.faults:
        axis += 90
    if "axisminus" in recipe.faults:
        axis = -axis
    shifts = np.zeros((n, 2))
    if recipe.known_shift is not None:
        # Of a chain: most images a little off, a few far.
        scale = recipe.known_shift / 1.1774 / recipe.optics.pixel_size
        error = scale * rng.normal(size=(n, 2))
        far = rng.random(n) < 0.06
        length = rng.uniform(100, 500, far.sum()) / recipe.optics.pixel_size
        angle = rng.uniform(0, 2 * np.pi, far.sum())
        error[far] = length[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
        shifts = views.shifts + error
    turns = rotation("z", axis) @ rotation("y", views.nominal)
    return float(axis), _matrices(turns, np.ones(n), shifts, recipe.optics.size, size)
