"""The hand of simulated series of both hands, over a grid of what makes it hard.

``python benchmarks/bench_hand.py [--series N] [--first SEED] [--hard] [--noise LOW HIGH]``. Each is
of 1024 x 960 px and up to 41 images, by `tomoset.simulate`: noise, defocus, thickness, pixel size,
range of tilts and pre-tilt at random. The table of defocus is up to 0.5 µm off, the hand in it the
wrong one, some images are left out. --hard: fewer, smaller images, less signal, gold beads.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace

import numpy as np

from tomoset import simulate as sim
from tomoset.hand.measure import measure
from tomoset.hand.options import HandOptions
from tomoset.hand.verdict import decide
from tomoset.model import Optics, Tomogram
from tomoset.simulate.projection import matrices


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


def main() -> None:
    """Run all, print what each says and how often it was right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=24)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--hard", action="store_true")
    parser.add_argument("--noise", type=float, nargs=2, default=None, metavar=("LOW", "HIGH"))
    options = parser.parse_args()
    told = []
    for seed in range(options.first, options.first + options.series):
        what, tomogram, images, hand = made(seed, hard=options.hard, noise=options.noise)
        start = time.perf_counter()
        found = measure(tomogram, images, HandOptions(), 2)
        seconds = time.perf_counter() - start
        right = hand * found.log_odds
        rings = int(found.shows_rings.sum())
        told.append((right, rings, len(found.rings)))
        print(
            f"{seed:3} {what}: rings in {rings:2} of {len(found.rings)}, best "
            f"{found.rings.max():6.1f}; log-odds of the right hand {right:8.2f} +- "
            f"{found.spread:.1f}, {seconds:.1f} s",
            flush=True,
        )
    summary(told)


def summary(told: list[tuple[float, int, int]]) -> None:
    """How many were right."""
    kinds = {
        "rings in an image": [t for t in told if t[1] > 0],
        "rings in none": [t for t in told if t[1] == 0],
    }
    for kind, of in kinds.items():
        verdicts = [decide(right, 0.001) for right, _, _ in of]
        unsure = [decide(right, 0.1) for right, _, _ in of]
        print(
            f"{kind}: {len(of)} series, {verdicts.count(1)} right, {verdicts.count(-1)} wrong at "
            f"1 in 1000; {unsure.count(1)} right, {unsure.count(-1)} wrong at 1 in 10"
        )


def made(
    seed: int, *, hard: bool, noise: tuple[float, float] | None
) -> tuple[str, Tomogram, Images, int]:
    """A series, and its hand."""
    low, high = np.log(noise or ((1.6, 9.0) if hard else (0.6, 20.0)))
    rng = np.random.default_rng([seed, int(hard)])
    pixel_size = float(np.exp(rng.uniform(np.log(1.3), np.log(6.0))))
    size = (400, 384) if hard else (1024, 960)
    n = int(rng.choice([11, 15, 21] if hard else [21, 31, 41]))
    angles, rank = sim.dose_symmetric(n, float(rng.choice([40.0, 50.0, 60.0])))
    hand = int(rng.choice([1, -1]))
    thickness = float(rng.uniform(300, 1500 if hard else 3000))
    acquisition = sim.Acquisition(
        nominal=angles,
        rank=rank,
        image_size=size,
        pixel_size=pixel_size,
        dose=120.0 / n,
        tilt_axis=float(rng.choice([0.0, 85.0, 90.0, -95.0, 5.0, 30.0])),
        defocus=float(rng.uniform(15000, 50000)),
        hand=hand,
        noise=float(np.exp(rng.uniform(low, high))),
    )
    area = float(np.prod(size))
    contents = sim.Contents(
        beads=int(rng.integers(0, 15)) if hard else 0,
        vesicles=0,
        specks=int((0.03 if hard else 0.1) * area),
        thickness=thickness,
        inclined=float(rng.choice([0.0, 0.0, 10.0, -12.0])),
    )
    depth = max(200, int(1.3 * thickness / pixel_size))
    specimen = sim.Specimen.random(
        (*acquisition.aligned_size, depth), pixel_size, contents, seed=seed
    )
    views = sim.Views.random(acquisition, seed)
    series = sim.simulate(specimen, acquisition, views, seed=seed)
    tomogram = read(series, rng)
    kept = np.sort(rng.permutation(n)[: n - int(rng.integers(0, 4))])
    what = (
        f"{pixel_size:.1f} Å, {acquisition.defocus / 1e4:.1f} µm, {thickness:4.0f} Å thick, "
        f"{angles[-1]:.0f}°, {contents.inclined:+3.0f}°, noise {acquisition.noise:5.2f}"
    )
    return what, tomogram.select(kept), Images(series.images[kept]), hand


def read(series: sim.SimulatedSeries, rng: np.random.Generator) -> Tomogram:
    """What a set says of the series: the wrong hand, and a table that is off."""
    taken, views = series.acquisition, series.views
    off = rng.uniform(-5000, 5000)
    tomogram = Tomogram(
        name="TS",
        n_tilts=len(views.tilts),
        optics=Optics(
            pixel_size=taken.pixel_size,
            voltage=taken.voltage,
            spherical_aberration=taken.spherical_aberration,
            amplitude_contrast=taken.amplitude_contrast,
        ),
        hand=-taken.hand,
        size=series.specimen.size,
        image_size=taken.image_size,
        projections=matrices(series.specimen, taken, views),
        defocus_u=views.defocus_u + off,
        defocus_v=views.defocus_v + off,
        defocus_angle=views.defocus_angle,
        pre_exposure=taken.pre_exposure,
    )
    return replace(tomogram, depth_origin=np.array(series.specimen.size) / 2 - 1)


if __name__ == "__main__":
    main()
