"""Defocus of series that another program than `tomoset.simulate` made, and what can be known.

``python benchmarks/bench_ctf.py [--series N] [--first SEED] [--threads N] [--size W H] [--tilts N]
[--minutes M] [--peer]``.

Each image is white noise, every point of it at a depth of its own in an inclined slab, through the
CTF of that depth; with B-factor, ice ring, beads, carbon, counts of electrons and the MTF of a
camera. Voltage, pixel size, defocus, thickness, inclination, tilts, astigmatism, phase plate, axis
and signal are drawn at random; some series are interpolated, or filtered by dose, some not aligned;
some images are dark, or half of them blocked, or blurred along one direction.

Printed of each: errors of defocus against the Cramér-Rao bound of a fit to the spectrum of that
image alone, how many of its 95 % intervals hold the truth, how many images are far off without
being flagged, and with --peer the same of a plain fit to each image's spectrum. At the end the
rates: gross errors without a flag, series of a wrong order of rings, what was refused or flagged
where the bound is below 180 Å, errors against the larger of 1.5 times the bound and what is asked
for (100 Å, 300 Å from 45 degrees on), astigmatism, and inclination.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass, replace

import numpy as np
import scipy.fft

from tomoset.ctf.measure import MeasuredCtf, measure
from tomoset.ctf.options import CtfOptions
from tomoset.errors import TomosetError
from tomoset.model import Optics, Tomogram

#: Further off than this is a gross error [Å].
GROSS = 2000.0


@dataclass
class Images:
    """Arrays in the place of files."""

    stack: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        return self.stack.shape[2], self.stack.shape[1]

    def __len__(self) -> int:
        return len(self.stack)

    def read(self, i: int) -> np.ndarray:
        return self.stack[i].astype(np.float32)


@dataclass
class Recipe:
    """What a series is made of; lengths in Å, angles in degrees."""

    voltage: float = 300.0
    cs: float = 2.7
    pixel: float = 2.7
    size: tuple[int, int] = (1024, 960)
    tilts: int = 41
    highest: float = 60.0
    axis: float = 85.0
    hand: int = 1
    defocus: float = 30000.0
    scatter: float = 300.0
    drift: float = 500.0
    astigmatism: float = 400.0
    angle: float = 30.0
    phase: float = 0.0
    plate: bool = False
    thickness: float = 1500.0
    inclined: float = 0.0
    across: float = 0.0
    signal: float = 0.1
    b_factor: float = 150.0
    dose: float = 3.0
    beads: int = 0
    carbon: bool = False
    mtf: float = 0.5
    ice_ring: bool = False
    interpolated: bool = False
    dose_weighted: bool = False
    aligned: bool = True
    dark: tuple[int, ...] = ()
    blocked: tuple[int, ...] = ()
    blur: float = 0.0
    seed: int = 0

    @classmethod
    def random(cls, seed: int, size: tuple[int, int], tilts: int | None = None) -> Recipe:
        rng, more = np.random.default_rng([seed, 20]), np.random.default_rng([seed, 22])
        plate = bool(rng.random() < 0.1)
        drawn = cls(
            voltage=float(rng.choice([300.0, 300.0, 200.0])),
            pixel=float(np.exp(rng.uniform(np.log(1.3), np.log(6.0)))),
            size=size,
            tilts=int(rng.choice([31, 35, 41])),
            highest=float(rng.choice([50.0, 60.0, 60.0, 66.0])),
            axis=float(rng.uniform(0, 180)),
            hand=int(rng.choice([1, -1])),
            defocus=float(np.exp(rng.uniform(np.log(5000), np.log(80000)))),
            scatter=float(rng.choice([50.0, 300.0, 800.0])),
            drift=float(rng.choice([0.0, 500.0, 2000.0])),
            astigmatism=float(rng.uniform(0, 2000) * rng.choice([0.2, 1.0])),
            angle=float(rng.uniform(-90, 90)),
            phase=float(rng.uniform(20, 140)) if plate else 0.0,
            plate=plate,
            thickness=float(rng.uniform(500, 3000)),
            inclined=float(rng.choice([0.0, 10.0, -12.0, 20.0])),
            across=float(rng.normal(0, 2)),
            signal=float(np.exp(rng.uniform(np.log(0.02), np.log(0.4)))),
            b_factor=float(rng.uniform(50, 300)),
            beads=int(rng.choice([0, 5, 20])),
            carbon=bool(rng.random() < 0.15),
            mtf=float(rng.uniform(0.2, 0.8)),
            ice_ring=bool(rng.random() < 0.2),
            interpolated=bool(rng.random() < 0.15),
            dose_weighted=bool(rng.random() < 0.15),
            aligned=bool(rng.random() < 0.85),
            seed=seed,
        )
        n = tilts or drawn.tilts
        odd = more.permutation(n)
        return replace(
            drawn,
            tilts=n,
            dark=tuple(odd[:1].tolist()) if more.random() < 0.2 else (),
            blocked=tuple(odd[1:3].tolist()) if more.random() < 0.2 else (),
            blur=float(more.choice([0.0, 0.0, 4.0, 8.0])),
        )


def wavelength(voltage: float) -> float:
    """[Å], of kV; h / sqrt(2 m e V (1 + e V / 2 m c²))."""
    v = 1000 * voltage
    h, m, e, c = 6.62607015e-34, 9.1093837015e-31, 1.602176634e-19, 299792458.0
    return 1e10 * h / np.sqrt(2 * m * e * v * (1 + e * v / (2 * m * c * c)))


def chi(r: Recipe, kx: np.ndarray, ky: np.ndarray, defocus: np.ndarray | float) -> np.ndarray:
    """Phase of the CTF, sin(chi) its contrast, without what is astigmatic."""
    k2 = kx**2 + ky**2
    length = wavelength(r.voltage)
    return (
        np.pi * length * defocus * k2
        - np.pi / 2 * r.cs * 1e7 * length**3 * k2**2
        + np.arcsin(0.07)
        + np.deg2rad(r.phase)
    )


def shape(r: Recipe, k: np.ndarray) -> np.ndarray:
    """Amplitude spectrum of the specimen, 1 at 1/30 Å."""
    fall = 1 / (1 + (15 * k) ** 2) / (1 / (1 + 0.25))
    ring = 1 + 2 * r.ice_ring * np.exp(-(((k - 0.272) / 0.008) ** 2))
    return fall * ring * np.exp(-r.b_factor / 4 * k**2)


@dataclass
class Truth:
    """What was put in: of each tilt."""

    recipe: Recipe
    angles: np.ndarray
    defocus: np.ndarray
    bound: np.ndarray


def orientation(r: Recipe, tilt: float) -> np.ndarray:
    """Rotation of the specimen, from its frame to the image's."""
    c, s = np.cos(np.deg2rad(r.axis)), np.sin(np.deg2rad(r.axis))
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    c, s = np.cos(np.deg2rad(tilt)), np.sin(np.deg2rad(tilt))
    return about_z @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def made(r: Recipe) -> tuple[Tomogram, Images, Truth]:
    """A series, its set without defocus, and the truth."""
    rng = np.random.default_rng([r.seed, 21])
    angles = np.linspace(-r.highest, r.highest, r.tilts)
    defocus = r.defocus + r.scatter * rng.standard_normal(r.tilts)
    defocus += r.drift * np.sin(np.linspace(0, 3, r.tilts) + rng.uniform(0, 6))
    defocus = np.maximum(defocus, 3000.0)
    astigmatism = r.astigmatism + 30 * np.sin(np.linspace(0, 2, r.tilts))
    normal = np.array([np.tan(np.deg2rad(r.inclined)), np.tan(np.deg2rad(r.across)), 1.0])
    stack, bound = [], []
    for i, tilt in enumerate(angles):
        facing = orientation(r, tilt) @ normal
        stack.append(_image(r, rng, facing, defocus[i], astigmatism[i], i))
        area = 0.0 if i in r.dark else 0.5 if i in r.blocked else 1.0
        bound.append(_bound(r, facing) / np.sqrt(area) if area else np.inf)
    width, height = r.size
    size = (width, height, max(200, int(1.3 * r.thickness / r.pixel)))
    middle = np.eye(4)
    middle[:3, 3] = -np.array(size) / 2
    back = np.eye(4)
    back[:2, 3] = (width - 1) / 2, (height - 1) / 2
    turns = np.stack([_homogeneous(orientation(r, t)) for t in angles])
    tomogram = Tomogram(
        name="TS",
        n_tilts=r.tilts,
        optics=Optics(
            pixel_size=r.pixel,
            voltage=r.voltage,
            spherical_aberration=r.cs,
            amplitude_contrast=0.07,
        ),
        hand=1,
        size=size,
        image_size=r.size,
        projections=back @ turns @ middle,
        nominal_tilts=angles,
        nominal_axis=np.full(r.tilts, r.axis + rng.uniform(-5, 5)),
    )
    if not r.aligned:
        tomogram = replace(tomogram, projections=None, size=None)
    return tomogram, Images(np.stack(stack)), Truth(r, angles, defocus, np.array(bound))


def _homogeneous(rotation: np.ndarray) -> np.ndarray:
    whole = np.eye(4)
    whole[:3, :3] = rotation
    return whole


def _depths(r: Recipe, facing: np.ndarray) -> np.ndarray:
    """Depth of the middle of the slab at each pixel [Å], where the beam leaves it: + is up."""
    width, height = r.size
    x = (np.arange(width) - (width - 1) / 2)[None, :] * r.pixel
    y = (np.arange(height) - (height - 1) / 2)[:, None] * r.pixel
    return -(facing[0] * x + facing[1] * y) / facing[2]


def _image(
    r: Recipe, rng: np.random.Generator, facing: np.ndarray, defocus: float, u_v: float, i: int
) -> np.ndarray:
    width, height = r.size
    path = r.thickness * np.linalg.norm(facing) / facing[2]
    plane = _depths(r, facing)
    points = rng.standard_normal((height, width)).astype(np.float32)
    depth = plane + path * rng.uniform(-0.5, 0.5, points.shape)
    points *= np.sqrt(path / r.thickness)
    if r.carbon:
        points[:, : width // 3] *= 2.0
    kx = np.fft.rfftfreq(width, r.pixel)[None, :].astype(np.float32)
    ky = np.fft.fftfreq(height, r.pixel)[:, None].astype(np.float32)
    k = np.hypot(kx, ky)
    # Phases of neighbouring levels differ by less than half a radian where rings are still seen.
    fine = min(0.5 / r.pixel, 1 / 4.0)
    step = 0.5 / (np.pi * wavelength(r.voltage) * fine**2)
    level = np.round(r.hand * depth / step).astype(int)
    for _ in range(r.beads):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        reach = int(np.ceil(50 / r.pixel)) + 1
        rows = slice(max(0, int(y) - reach), int(y) + reach)
        columns = slice(max(0, int(x) - reach), int(x) + reach)
        gy, gx = np.mgrid[rows, columns][:, : height - rows.start, : width - columns.start]
        disc = np.hypot(gx - x, gy - y) * r.pixel < 50
        points[rows, columns][disc[: points[rows, columns].shape[0]]] -= 6.0
    angle = np.arctan2(ky, kx) - np.deg2rad(r.angle)
    stretched = np.pi * wavelength(r.voltage) * u_v / 2 * np.cos(2 * angle) * k**2
    phase = (chi(r, kx, ky, defocus) + stretched).astype(np.float32)
    change = np.pi * wavelength(r.voltage) * step * k**2
    total = np.zeros(k.shape, np.complex64)
    for m in np.unique(level):
        part = scipy.fft.rfft2(np.where(level == m, points, np.float32(0)))
        total += part * np.sin(phase + np.float32(m) * change)
    # Drift while the image was taken, along a direction of its own.
    along = rng.uniform(0, np.pi)
    total *= np.sinc(r.blur * (np.cos(along) * kx + np.sin(along) * ky))
    contrast = scipy.fft.irfft2(total * shape(r, k) * 2 * _amplitude(r), s=points.shape)
    counts = r.dose * r.pixel**2 * np.exp(-path / 3500)
    counts = np.full(points.shape, 1e-3 * counts if i in r.dark else counts)
    if i in r.blocked:
        counts[: height // 2] *= 0.02
    image = rng.poisson(np.maximum(counts * (1 + contrast), 0)).astype(np.float32)
    spectrum = np.fft.rfft2(image) * np.exp(-np.log(1 / r.mtf) * (2 * k * r.pixel) ** 1.5)
    if r.dose_weighted:
        spectrum *= np.exp(-r.dose * i / 2 / (0.245 * np.maximum(k, 1e-3) ** -1.665 + 2.81))
    image = np.fft.irfft2(spectrum, s=points.shape)
    if r.interpolated:
        from scipy.ndimage import shift

        image = shift(image, rng.uniform(-0.5, 0.5, 2), order=1, mode="nearest")
    return (image + 0.05 * image.std() * rng.standard_normal(image.shape)).astype(np.float32)


def _amplitude(r: Recipe) -> float:
    """Of the specimen at 1/30 Å, for rings of `signal` there in the untilted image."""
    noise = 1 / (r.dose * r.pixel**2 * np.exp(-r.thickness / 3500))
    return float(np.sqrt(r.signal / (1 - r.signal) * noise / 2))


def _bound(r: Recipe, facing: np.ndarray) -> float:
    """Standard deviation of defocus that no fit to this image's spectrum can beat [Å].

    Each coefficient of half a plane has a power of S (1 - h cos 2 chi) + N, where h is what the
    thickness leaves, and Fisher's information of an exponential distribution is (dP/dD / P)².
    Amplitude, background and all else are taken as known.
    """
    path = r.thickness * np.linalg.norm(facing) / facing[2]
    k = np.linspace(1e-3, 0.5 / r.pixel, 4000)
    signal = 2 * _amplitude(r) ** 2 * shape(r, k) ** 2 * path / r.thickness
    turned = np.cos(np.linspace(0, np.pi / 2, 32))[:, None]
    signal *= (np.sinc(r.blur * k * turned) ** 2).mean(axis=0)
    noise = 1 / (r.dose * r.pixel**2 * np.exp(-path / 3500))
    held = np.sinc(wavelength(r.voltage) * k**2 * path)
    phase = np.linspace(0, 2 * np.pi, 64, endpoint=False)[:, None]
    rate = 2 * np.pi * wavelength(r.voltage) * k**2
    power = signal * (1 - held * np.cos(phase)) + noise
    information = ((signal * held * np.sin(phase) * rate / power) ** 2).mean(axis=0)
    area = r.size[0] * r.size[1] * r.pixel**2
    return float(1 / np.sqrt(area * np.trapezoid(np.pi * k * information, k)))


def plain_fit(r: Recipe, image: np.ndarray, low: float, high: float) -> float:
    """Defocus by the spectrum of one image alone: what a plain program does [Å]."""
    edge = min(512, *image.shape)
    window = np.outer(np.hanning(edge), np.hanning(edge))
    starts = [np.arange(0, n - edge + 1, edge // 2) for n in image.shape]
    power = np.zeros((edge, edge // 2 + 1))
    for y in starts[0]:
        for x in starts[1]:
            tile = image[y : y + edge, x : x + edge]
            power += np.abs(np.fft.rfft2((tile - tile.mean()) * window)) ** 2
    kx, ky = np.fft.rfftfreq(edge, r.pixel)[None, :], np.fft.fftfreq(edge, r.pixel)[:, None]
    ring = np.round(np.hypot(kx, ky) * edge * r.pixel).astype(int)
    count = np.bincount(ring.ravel())
    profile = np.bincount(ring.ravel(), power.ravel()) / np.maximum(count, 1)
    k = np.arange(len(profile)) / (edge * r.pixel)
    used = (k > 1 / 30) & (k < min(1 / 5, 0.45 / r.pixel))
    k, profile, weight = k[used], np.log(profile[used]), np.sqrt(count[used])
    profile = profile - np.polyval(np.polyfit(k, profile, 5, w=weight), k)
    defoci = np.arange(low, high, 50.0)
    rings = -np.cos(2 * chi(r, k, 0 * k, defoci[:, None]))
    rings -= rings.mean(axis=1, keepdims=True)
    score = (rings * weight**2) @ profile / np.sqrt((rings**2 * weight**2).sum(axis=1))
    return float(defoci[np.argmax(score)])


@dataclass
class Tally:
    """Of all series so far: of each tilt that was measured, and of each series."""

    tilts: list[np.ndarray]
    whole: list[np.ndarray]
    refused: list[float]

    def take(self, truth: Truth, found: MeasuredCtf, peer: np.ndarray | None) -> None:
        r = truth.recipe
        error = found.defocus - truth.defocus
        plain = np.zeros(len(error)) if peer is None else peer - truth.defocus
        columns = error, found.defocus_error, truth.bound, found.told, np.abs(truth.angles), plain
        self.tilts.append(np.stack(columns))
        turned = float(np.mean((found.angle - r.angle + 90) % 180 - 90))
        inclined = found.inclined[0] - r.inclined
        angle = turned if r.astigmatism > 500 else np.nan
        said = float(np.mean(found.angle_error)), found.inclined_error[0]
        wrong = found.told.any() and np.median(np.abs(error[found.told])) > GROSS
        self.whole.append(np.array([angle, said[0], inclined, said[1], wrong, found.told.mean()]))

    def lines(self) -> list[str]:
        told_of = [f"{len(self.whole)} series measured, {len(self.refused)} refused"]
        if not self.tilts:
            return told_of
        error, said, bound, told, tilt, plain = np.concatenate(self.tilts, axis=1)
        told, error, plain = told > 0, np.abs(error), np.abs(plain)
        steep = tilt > 45
        clear = told & (bound < np.where(steep, 180, 60))
        angle, angle_said, inclined, inclined_said, wrong, _ = np.array(self.whole).T
        astigmatic, known = angle_said < 2, inclined_said < 0.6
        astigmatic &= np.isfinite(angle)
        share = [f"{name} {np.mean(ok):.1%} of {len(ok)}" for name, ok in (
            ("95 % intervals that hold the truth", error[told] < 1.96 * said[told]),
            ("errors within 1.5 bounds x 1.96", error[told] < 1.96 * 1.5 * bound[told]),
            ("errors within 100 Å (300 Å from 45°) where the bound is below 60 (180) Å",
             error[clear] < np.where(steep, 300, 100)[clear]),
            ("flagged where the bound is below 180 Å", ~told[bound < 180]),
            ("angle of astigmatism within 3°, where said to 2°", np.abs(angle[astigmatic]) < 3),
            ("inclination within 1°, where said to 0.6°", np.abs(inclined[known]) < 1),
        ) if len(ok)]  # fmt: skip
        far = error > GROSS
        blind = told & far
        off = [np.sqrt(np.mean(np.minimum(error / by, 10)[told] ** 2)) for by in (bound, said)]
        return [
            *told_of,
            f"{len(error)} tilts, {told.sum()} told; gross errors without a flag {blind.sum()}; "
            f"series of another order of rings {wrong.sum():.0f}",
            f"gross errors beyond 45°: {(blind & steep).sum()} without a flag, of a plain fit "
            f"{(steep & (plain > GROSS)).sum()}, of {steep.sum()}",
            f"rms of error / bound {off[0]:.2f}, of error / said {off[1]:.2f}",
            *share,
            f"refused with a bound below 180 Å: {np.sum(np.array(self.refused) < 180)} series",
        ]


def main() -> None:
    """Run all, print what each says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=12)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, nargs=2, default=(1024, 960))
    parser.add_argument("--tilts", type=int)
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no more after these")
    parser.add_argument("--peer", action="store_true")
    asked = parser.parse_args()
    tally, end = Tally([], [], []), time.monotonic() + 60 * asked.minutes
    for seed in range(asked.first, asked.first + asked.series):
        if time.monotonic() > end:
            break
        _one(Recipe.random(seed, tuple(asked.size), asked.tilts), asked, tally)
    print("\n".join(tally.lines()))


def _one(r: Recipe, asked: argparse.Namespace, tally: Tally) -> None:
    tomogram, images, truth = made(r)
    odd = [name for name in ("plate", "carbon", "ice_ring", "interpolated", "dose_weighted", "dark",
                             "blocked", "blur") if getattr(r, name)]  # fmt: skip
    print(
        f"{r.seed:3} {r.voltage:.0f} kV, {r.pixel:.1f} Å, {r.defocus / 1e4:.1f} µm, "
        f"{r.thickness:.0f} Å thick, {r.inclined:+.0f}°, signal {r.signal:.3f}"
        + "".join(f", {name}" for name in odd)
        + ", not aligned" * (not r.aligned),
        flush=True,
    )
    start = time.perf_counter()
    try:
        found = measure(tomogram, images, CtfOptions(phase_plate=r.plate), asked.threads)
    except TomosetError as problem:
        tally.refused.append(float(truth.bound.min()))
        print(f"    refused, best bound {truth.bound.min():.0f} Å: {problem}", flush=True)
        return
    seconds = time.perf_counter() - start
    peer = None
    if asked.peer:
        peer = np.array([plain_fit(r, image, 5000, 100000) for image in images.stack])
    tally.take(truth, found, peer)
    _tell(truth, found, seconds, peer)


def _tell(truth: Truth, found: MeasuredCtf, seconds: float, peer: np.ndarray | None) -> None:
    r, told = truth.recipe, found.told
    error = found.defocus - truth.defocus
    steep, flat = np.abs(truth.angles) > 50, np.abs(truth.angles) <= 30
    for what, which in (("to 30°", flat), ("beyond 50°", steep)):
        both = which & told
        if not both.any():
            print(f"    {what}: none told, bound {np.median(truth.bound[which]):.0f} Å")
            continue
        z = error[both] / found.defocus_error[both]
        print(
            f"    {what}: {both.sum()} of {which.sum()} told, error "
            f"{np.sqrt(np.mean(error[both] ** 2)):.0f} Å rms, bound "
            f"{np.sqrt(np.mean(truth.bound[both] ** 2)):.0f}, said "
            f"{np.sqrt(np.mean(found.defocus_error[both] ** 2)):.0f}, z "
            f"{np.sqrt(np.mean(z**2)):.2f}, gross {(np.abs(error[both]) > GROSS).sum()}"
            + ("" if peer is None else f" (plain {gross(peer - truth.defocus, which)})")
        )
    turned = (found.angle - r.angle + 90) % 180 - 90
    print(
        f"    astigmatism {np.mean(found.astigmatism):.0f} +- "
        f"{np.mean(found.astigmatism_error):.0f}"
        f" for {r.astigmatism:.0f}, turned by {np.mean(turned):.1f} +- "
        f"{np.mean(found.angle_error):.1f}°; inclined {found.inclined[0]:.1f} +- "
        f"{found.inclined_error[0]:.1f} for {r.inclined:.0f}, {found.inclined[1]:.1f} +- "
        f"{found.inclined_error[1]:.1f} for {r.across:.1f}; hand {r.hand * found.hand_log_odds:.0f}"
        f"; {found.thickness:.0f} Å thick; {seconds:.1f} s",
        flush=True,
    )


def gross(error: np.ndarray, which: np.ndarray) -> int:
    """How many are far off."""
    return int((np.abs(error[which]) > GROSS).sum())


if __name__ == "__main__":
    warnings.simplefilter("ignore", RuntimeWarning)
    main()
