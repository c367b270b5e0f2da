"""Series aligned by particles, on simulations with known truth; RELION's program beside.

``python benchmarks/bench_particles.py [--seeds N] [--relion PATH]``. Series of 41 images of
1024 x 960 px at 5.4 Å with 200 copies of a molecule 155 Å across; the alignment that both are given
is off by 1.5 px, 0.1 and 0.1 degrees. Positions are those that one would pick in a tomogram made by
it. The peer is ``relion_tomo_align`` 4.0.1, on PATH or at --relion. Two threads each; wall times
are those of whole processes. Residuals are rms distances in the images to where the molecules truly
are, after the affine map of space that makes them least.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

TOMOSET = str(Path(sys.executable).parent / "tomoset")
OFF = ["--shift-error", "1.5", "--rotation-error", "0.1", "--tilt-error", "0.1"]
BOX, RANGE, PIXEL = 72, 10, 5.4
REFERENCE = [
    *("--ref1", "half1.mrc", "--ref2", "half2.mrc"),
    *("--mask", "mask.mrc", "--fsc", "fsc.star"),
    *("--b", str(BOX), "--r", str(RANGE), "--j", "2"),
]
SETS = ["--t", "tomograms.star", "--p", "particles.star"]
BROWNIAN = ["--motion", "--s_vel", "0.5", "--s_div", "3000", "--r", "12"]
FAR = ["--motion", "--s_vel", "0.5", "--s_div", "3000", "--r", "24"]
#: What is simulated besides, and what both programs are asked for.
KINDS: dict[str, tuple[list[str], list[str]]] = {
    "rigid": ([], []),
    "brownian": (["--brownian", "0.5"], BROWNIAN),
    "brownian, from the start": (["--brownian", "0.5"], BROWNIAN),
    "moving": (["--motion", "60"], FAR),
    "moving, from the start": (["--motion", "60"], FAR),
    "moving a little": (["--motion", "20"], ["--motion", "--s_vel", "0.5", "--s_div", "3000"]),
    "moving, not asked": (["--motion", "20"], []),
    "still, asked": ([], ["--motion", "--s_vel", "0.5", "--s_div", "3000"]),
    "misplaced": ([], []),
    "coarse reference": ([], []),
    "deformed": (["--deformation", "2"], ["--deformation", "--per_frame_deformation"]),
}
FAIR = {"rigid", "brownian", "moving a little", "misplaced", "coarse reference"}
#: Part of the particles that are misplaced, by so much [Å]; the finest of a coarse reference [Å].
MISPLACED, BY, COARSE = 0.2, 50.0, 30.0


def main() -> None:
    """Run all, print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--relion", default=shutil.which("relion_tomo_align"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for kind in options.kinds:
            for seed in range(1, options.seeds + 1):
                print(f"{kind}, seed {seed}: {one(kind, seed, options.relion)}", flush=True)


def one(kind: str, seed: int, relion: str | None) -> str:
    """Align one series with both programs, and compare with the truth."""
    simulated, asked = KINDS[kind]
    made = ["--series", "1", "--format", "relion4", "--size", "1024", "960", "300"]
    contents = ["--molecules", "200", "--beads", "0", "--seed", str(seed)]
    run([TOMOSET, "simulate", "P", "--overwrite", *made, *contents, *OFF, *simulated])
    os.chdir("P")
    prepare(kind)
    aligned = [TOMOSET, "align", "particles", *SETS, *REFERENCE, *asked]
    run([*aligned, "--o", "W/"])  # files are in memory and modules compiled from here on
    parts = [f"given {'; '.join(figures('.'))}"]
    times = {}
    peers = {"tomoset": [*aligned, "--o", "A/"]}
    if relion and kind in FAIR:
        peers["RELION"] = [relion, *SETS, *REFERENCE, *asked, "--o", "R/"]
    for name, command in peers.items():
        shutil.rmtree(command[-1], ignore_errors=True)
        times[name] = run(command)
        parts.append(f"{name} {'; '.join(figures(command[-1]))}; {times[name]:.1f} s")
    os.chdir("..")
    return " | ".join(parts)


def run(command: list[str]) -> float:
    """Wall seconds of a command, whatever it says."""
    start = time.perf_counter()
    null = os.open(os.devnull, os.O_WRONLY)
    quiet = [(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
    os.waitpid(os.posix_spawnp(command[0], command, os.environ, file_actions=quiet), 0)
    os.close(null)
    return time.perf_counter() - start


def prepare(kind: str) -> None:
    """Particles as they are picked, half maps in RELION's layout, a mask and a curve."""
    write_particles(
        misplaced=MISPLACED if kind == "misplaced" else 0.0, moved="from the start" not in kind
    )
    write_reference(resolution=COARSE if kind == "coarse reference" else 0.0)


def write_particles(misplaced: float, moved: bool) -> None:
    """Particles as they are picked in a tomogram by the alignment; some of them elsewhere.

    Or where they were before they moved, in the true tomogram.
    """
    import tomoset
    from tomoset import star
    from tomoset.formats._relion_sets import particles_to_star, read_particles

    given = tomoset.read("tomograms.star")
    particles = read_particles("truth/particles.star", given)
    picks = given["TS_01"].triangulate(seen()) if moved else particles.positions.copy()
    chance = np.random.default_rng(1)
    bad = chance.permutation(len(picks))[: round(misplaced * len(picks))]
    away = chance.standard_normal((len(bad), 3))
    picks[bad] += BY / PIXEL * away / np.linalg.norm(away, axis=1, keepdims=True)
    text = particles_to_star(replace(particles, coordinates=picks), "relion4", given)
    halves = {"rlnRandomSubset": [str(i % 2 + 1) for i in range(len(picks))]}
    star.write(
        star.StarFile(
            tuple(
                t.with_columns({**t.columns, **halves}) if t.name == "particles" else t
                for t in text.tables
            )
        ),
        "particles.star",
    )


def write_reference(resolution: float) -> None:
    """Half maps, without what is finer than a resolution [Å], a mask and a curve."""
    import mrcfile

    from tomoset import star

    with mrcfile.open("truth/molecule.mrc") as file:
        density = np.array(file.data)
    n, box = len(density), np.zeros((BOX,) * 3, np.float32)
    first = BOX // 2 - n // 2
    box[(slice(first, first + n),) * 3] = density
    if resolution:
        k = np.fft.fftfreq(BOX, PIXEL)
        wave = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)
        soft = 1 / (1 + np.exp((wave * resolution - 1) * 20))
        box = np.fft.ifftn(np.fft.fftn(box) * soft).real.astype(np.float32)
    radius = np.linalg.norm(np.indices(box.shape) - BOX // 2, axis=0)
    for name, values in (
        ("half1", box),
        ("half2", box),
        ("mask", np.clip((n / 2 - radius) / 3 + 0.5, 0, 1)),
    ):
        with mrcfile.new(f"{name}.mrc", values.astype(np.float32), overwrite=True) as file:
            file.voxel_size = PIXEL
    shells = np.arange(BOX // 2 + 1)
    curve = {
        "rlnSpectralIndex": shells.astype(str).tolist(),
        "rlnResolution": [f"{k / (BOX * PIXEL):.6f}" for k in shells],
        "rlnAngstromResolution": [f"{BOX * PIXEL / max(k, 0.5):.3f}" for k in shells],
        "rlnFourierShellCorrelationCorrected": ["0.999"] * len(shells),
    }
    star.write(star.StarFile((star.Table("fsc", curve),)), "fsc.star")


def true_tomogram() -> object:
    """The tomogram of the truth."""
    import tomoset

    return tomoset.read("truth/tomograms.star")["TS_01"]


def truth() -> dict[str, object]:
    """What is true of the series."""
    return json.loads(Path("truth/TS_01.json").read_text())


def seen() -> np.ndarray:
    """Where the molecules are in the images, motion and bends included: (n_tilts, n, 2) [px]."""
    return np.array(truth()["molecule_images_px"])


def figures(folder: str) -> list[str]:
    """What is wrong with the sets in a folder."""
    import tomoset
    from tomoset.formats._relion_sets import read_particles, read_trajectories

    path = Path(folder)
    if not (path / "tomograms.star").exists():
        return ["failed"]
    tomograms = tomoset.read(path / "tomograms.star")
    t = tomograms["TS_01"]
    particles = read_particles(path / "particles.star", tomograms)
    true = true_tomogram()
    at = read_particles("truth/particles.star", tomograms).positions
    found = [f"{affine(t, at, true.project(at)):.3f} px"]
    trajectories = np.zeros((len(at), t.n_tilts, 3))
    if (path / "motion.star").exists():
        motion = read_trajectories(path / "motion.star", particles, tomograms)
        trajectories = np.stack([motion[name] for name in particles.particle_names.tolist()])
    positions = particles.positions[:, None] + trajectories / PIXEL
    points = [t.select([i]).project(positions[:, i])[0] for i in range(t.n_tilts)]
    off = np.stack(points) - seen()
    found.append(f"particles {np.sqrt((off**2).sum(axis=-1).mean()):.3f} px")
    if (true_trajectories := truth().get("trajectories")) is not None:
        first = int(np.argmin(t.pre_exposure))
        expected = np.array(true_trajectories)
        expected -= expected[:, [first]]
        found.append(f"motion wrong by {wrong(trajectories, expected):.2f} of its rms")
        # What all share, shifts of the images explain as well.
        own, its = (w - w.mean(axis=0) for w in (trajectories, expected))
        found.append(f"{wrong(own, its):.2f} but for what all share")
    return found


def wrong(trajectories: np.ndarray, truth: np.ndarray) -> float:
    """The rms error of trajectories over the rms of the true ones."""
    return float(np.sqrt(((trajectories - truth) ** 2).mean() / (truth**2).mean()))


def affine(t: object, at: np.ndarray, aims: np.ndarray) -> float:
    """Rms distance of projections [px] after the best common affine map of space."""
    points = np.column_stack([at, np.ones(len(at))])
    flat = replace(t, deformation=None)
    if t.deformation is not None:
        aims = t.deformation.undo(aims, image_size=t.image_size)
    normal, side = np.zeros((12, 12)), np.zeros(12)
    for matrix, aim in zip(t.projections, aims, strict=True):
        for axis in (0, 1):
            rows = np.einsum("k,pj->pkj", matrix[axis, :3], points).reshape(-1, 12)
            normal += rows.T @ rows
            side += rows.T @ (aim[:, axis] - matrix[axis, 3])
    best = points @ np.linalg.solve(normal, side).reshape(3, 4).T
    off = flat.project(best) - aims
    return float(np.sqrt((off**2).sum(axis=-1).mean()))


if __name__ == "__main__":
    main()
