"""Beads found and aligned by, on simulated series with known truth; RELION's finder beside.

``python benchmarks/bench_fiducials.py [--seeds N] [--relion PATH]``. Series of 41 images of
1024 x 960 px at 5.4 Å, with 150 molecules. The peer is ``relion_tomo_find_fiducials`` 4.0.1, on
PATH or at --relion. Two threads each.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TOMOSET = str(Path(sys.executable).parent / "tomoset")
KINDS = {
    "usual": ["--shift-error", "2", "--rotation-error", "0.15", "--tilt-error", "0.15"],
    "far off": ["--shift-error", "10", "--rotation-error", "1", "--tilt-offset", "3"],
    "five beads": ["--shift-error", "2.2", "--rotation-error", "0.15", "--tilt-error", "0.15"],
    "no beads": ["--shift-error", "2", "--rotation-error", "0.15", "--tilt-error", "0.15"],
}


def main() -> None:
    """Run all, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--relion", default=shutil.which("relion_tomo_find_fiducials"))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        warm_up()
        for kind in KINDS:
            for seed in range(1, options.seeds + 1):
                print(f"{kind}, seed {seed}: {one(kind, seed)}", flush=True)
        five()
        if options.relion:
            peer(options.relion)


def warm_up() -> None:
    """Files are in memory and modules compiled from here on."""
    simulate("W", 1, 10, "usual", size=("256", "240", "80"))
    run([TOMOSET, "align", "fiducials", "W/tomograms.star", "--o", "A"])


def simulate(
    folder: str, seed: int, beads: int, kind: str, size: tuple[str, ...] = ("1024", "960", "300")
) -> None:
    """A series with known truth."""
    contents = ["--beads", str(beads), "--molecules", "150" if size[0] == "1024" else "10"]
    made = ["--series", "1", "--format", "relion4", "--size", *size, "--seed", str(seed)]
    run([TOMOSET, "simulate", folder, "--overwrite", *made, *contents, *KINDS[kind]])


def run(command: list[str]) -> float:
    """Wall seconds of a command, whatever it says."""
    start = time.perf_counter()
    null = os.open(os.devnull, os.O_WRONLY)
    quiet = [(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
    os.waitpid(os.posix_spawnp(command[0], command, os.environ, file_actions=quiet), 0)
    os.close(null)
    return time.perf_counter() - start


def one(kind: str, seed: int) -> str:
    """Find and align one series, and compare with the truth."""
    import tomoset

    beads = {"five beads": 5, "no beads": 0}.get(kind, 10 + 7 * seed % 16)
    simulate("P", seed, beads, kind)
    shutil.rmtree("F", ignore_errors=True)
    shutil.rmtree("A", ignore_errors=True)
    found = run([TOMOSET, "find-fiducials", "P/tomograms.star", "--o", "F", "--j", "2"])
    number = json.loads(Path("F/summary.json").read_text())["results"]["TS_01"]["beads"]
    if not beads:
        return f"{number} found, {found:.1f} s"
    aligned = run([TOMOSET, "align", "fiducials", "F/tomograms.star", "--o", "A", "--j", "2"])
    true = tomoset.read("P/truth/tomograms.star")["TS_01"]
    before, after = (tomoset.read(f"{f}/tomograms.star")["TS_01"] for f in "PA")
    truth = np.array(json.loads(Path("P/truth/TS_01.json").read_text())["beads_px"])
    f1, rms = score(places("A/fiducials_TS_01.star"), truth)
    return (
        f"{beads} beads, {number} found, F1 {f1:.3f}, {5.4 * rms:.2f} Å rms; projections "
        f"{error(before, true):.2f} -> {error(after, true):.3f} px; found in {found:.1f} s, "
        f"found again and aligned in {aligned:.1f} s"
    )


def places(path: str) -> np.ndarray:
    """What a table of fiducials of RELION 4 has [voxels from 0]."""
    from tomoset import star

    table = star.read(path).tables[0]
    return np.stack([table.floats(f"rlnOrigin{axis}Angst") for axis in "XYZ"], axis=1) / 5.4 - 1


def score(found: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """F1, and rms distance of beads after the best rigid map [voxels]."""
    near, moved = 60.0, found
    for _ in range(3):
        apart = np.linalg.norm(moved[:, None] - truth, axis=-1)
        pairs = apart.argmin(axis=1)
        good = apart.min(axis=1) < near
        if good.sum() < 3:
            return 0.0, float("nan")
        here, there = found[good].mean(axis=0), truth[pairs[good]].mean(axis=0)
        u, _, vt = np.linalg.svd((found[good] - here).T @ (truth[pairs[good]] - there))
        turn = (u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt).T
        moved, near = (found - here) @ turn.T + there, 3.0
    apart = np.linalg.norm(moved[:, None] - truth, axis=-1)
    good = apart.min(axis=1) < near
    true = len(set(apart.argmin(axis=1)[good]))
    rms = float(np.sqrt((apart.min(axis=1)[good] ** 2).mean())) if true else float("nan")
    return 2 * true / (len(found) + len(truth)), rms


def error(given: object, true: object) -> float:
    """Rms distance of projections [px] after the best common affine map of space."""
    from tomoset import geometry

    size, projections = np.array(true.size), given.projections
    points = np.random.default_rng(1).uniform((0.0, 0.0, 0.15), (1.0, 1.0, 0.85), (300, 3)) * size
    homogeneous = np.column_stack([points, np.ones(len(points))])
    seen = geometry.apply(true.projections, points)[..., :2]
    normal, side = np.zeros((12, 12)), np.zeros(12)
    for matrix, at in zip(projections, seen, strict=True):
        for axis in (0, 1):
            rows = np.einsum("k,pj->pkj", matrix[axis, :3], homogeneous).reshape(-1, 12)
            normal += rows.T @ rows
            side += rows.T @ (at[:, axis] - matrix[axis, 3])
    best = homogeneous @ np.linalg.solve(normal, side).reshape(3, 4).T
    off = geometry.apply(projections, best)[..., :2] - seen
    return float(np.sqrt((off**2).sum(axis=-1).mean()))


def five() -> None:
    """Five series in one run, the finder included."""
    from dataclasses import replace

    import tomoset

    simulate("P", 9, 20, "usual")
    t = tomoset.read("P/tomograms.star")["TS_01"]
    stacks = [shutil.copy("P/TS_01/TS_01.mrc", f"TS_{i}.mrc") for i in range(5)]
    many = [replace(t, name=Path(s).stem, stack=s, source=None) for s in stacks]
    tomoset.TomogramSet(many).write("five.star", "relion4")
    shutil.rmtree("A", ignore_errors=True)
    seconds = run([TOMOSET, "align", "fiducials", "five.star", "--o", "A", "--j", "2"])
    print(f"five series found and aligned: {seconds:.1f} s")


def peer(relion: str) -> None:
    """RELION's finder on the last series; its paths start in the project."""
    truth = np.array(json.loads(Path("P/truth/TS_01.json").read_text())["beads_px"])
    seconds = {}
    shutil.rmtree("F", ignore_errors=True)
    seconds["tomoset"] = run([TOMOSET, "find-fiducials", "P/tomograms.star", "--o", "F"])
    os.chdir("P")
    seconds["RELION"] = run([relion, "--t", "tomograms.star", "--o", "R/", "--r", "50", "--j", "2"])
    os.chdir("..")
    for name, path in (("tomoset", "F"), ("RELION", "P/R")):
        found = places(f"{path}/fiducials_TS_01.star")
        f1, rms = score(found, truth)
        print(
            f"{name}: {len(found)} found of {len(truth)}, F1 {f1:.2f}, {5.4 * rms:.2f} Å rms, "
            f"{seconds[name]:.1f} s"
        )
    print(f"ratio of times: {seconds['tomoset'] / seconds['RELION']:.2f}")


if __name__ == "__main__":
    main()
