"""Weighted back-projection by default against RELION 4's best setting, shell by shell.

``python benchmarks/bench_shells.py [--kinds shrec lamella60] [--seeds 1 2] [--relion PATH]
[--cache FOLDER]``. The series share no code with `tomoset simulate` (`twins`). Each is
reconstructed with its true alignment, and the Fourier shell correlation with its true density
taken within the specimen, away from the edges of the field. The peer is
``relion_tomo_reconstruct_tomogram --noctf --pre_weight`` 4.0.1, or its formulas (`preweight`)
where the program is not given. Printed are the peer's correlations and how many times ours are
as high.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

import preweight
from twins import EDITION, KINDS, Twin, cached, slab, specimen, write
from twins_specimen import ICE, Density

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]
#: Voxels are about so large [Å]; shells are as wide in frequency [Å].
VOXEL, COARSEST, FINEST, SHELLS = 21.0, 800.0, 60.0, 10
#: Share of the field that is left out at each side, and how wide all edges are [voxels].
OUTSIDE, EDGE = 0.1, 6


def main() -> None:
    """Run all, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["shrec", "lamella60"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--snr", type=float, help="at 10 Å a pixel; default: that of the kind")
    parser.add_argument("--relion", help="relion_tomo_reconstruct_tomogram")
    parser.add_argument("--cache", default=str(Path(tempfile.gettempdir()) / "twins"))
    wanted = parser.parse_args()
    edges = np.linspace(1 / COARSEST, 1 / FINEST, SHELLS + 1)
    print("middle of the shell, Å".ljust(22), *(f"{2 / s:6.0f}" for s in edges[1:] + edges[:-1]))
    series = [(kind, seed) for kind in wanted.kinds for seed in wanted.seeds]
    both = np.array([compare(kind, seed, edges, wanted) for kind, seed in series])
    show("mean ratio", both.mean(axis=0), f"all {both.mean():.4f}, least {both.min():.3f}")


def compare(kind: str, seed: int, edges: Array, wanted: argparse.Namespace) -> Array:
    """Ratio of correlations in each shell, of one series."""
    noise = {} if wanted.snr is None else {"snr": wanted.snr}
    twin = cached(kind, seed, wanted.cache, **noise)
    by = max(1, round(VOXEL / twin.pixel_size))
    truth = known(twin, by, Path(wanted.cache))
    with tempfile.TemporaryDirectory() as folder:
        made = [theirs(twin, by, folder, wanted.relion), ours(twin, by, folder)]
    mask = within(twin, by, truth.shape)
    voxel = by * twin.pixel_size
    # Images are dark where matter is.
    peer, own = (-correlations(volume, truth, mask, edges * voxel) for volume in made)
    show(f"{twin.name}: peer", peer)
    show(f"{twin.name}: ratio", own / peer, f"all {np.mean(own / peer):.4f}")
    return np.asarray(own / peer)


def show(name: str, values: Array, rest: str = "") -> None:
    """A line of the table."""
    print(name.ljust(22), *(f"{v:6.3f}" for v in values), rest, flush=True)


def aligned(twin: Twin, folder: str) -> str:
    """The set of a series with its true alignment, for RELION 4; its path."""
    import tomoset

    given = tomoset.read(write(twin, folder))[twin.name]
    path = str(Path(folder) / "aligned.star")
    # RELION wants a defocus even where it is to ignore it.
    optics = replace(given.optics, voltage=300.0, spherical_aberration=2.7, amplitude_contrast=0.07)
    n = given.n_tilts
    fields = {"defocus_u": np.full(n, 3e4), "defocus_v": np.full(n, 3e4)}
    known = replace(
        given, optics=optics, projections=twin.truth, defocus_angle=np.zeros(n), **fields
    )
    tomoset.TomogramSet([known]).write(path, "relion4")
    return path


def ours(twin: Twin, by: int, folder: str) -> Floats:
    """Our volume, by default."""
    import tomoset

    path = str(Path(folder) / "T")
    given = tomoset.read(aligned(twin, folder))
    done = tomoset.reconstruct(given, path, binning=by, quiet=True, figures="none")
    return read(done.results[twin.name].path)


def theirs(twin: Twin, by: int, folder: str, relion: str | None) -> Floats:
    """The peer's volume."""
    if relion is None:
        return preweight.reconstruct(twin.images, twin.truth, twin.size, by)
    given, made = aligned(twin, folder), str(Path(folder) / "relion.mrc")
    files = ["--t", given, "--tn", twin.name, "--o", made]
    how = ["--bin", str(by), "--noctf", "--pre_weight", "--j", "2"]
    subprocess.run([relion, *files, *how], check=True, capture_output=True)
    return read(made)


def read(path: str) -> Floats:
    """A volume."""
    import mrcfile

    return np.asarray(mrcfile.read(path), np.float32)


def known(twin: Twin, by: int, folder: Path) -> Floats:
    """The true density on the voxels of a volume (z, y, x), kept in a folder."""
    path = folder / f"{twin.name}_density_{EDITION}_{by}.npy"
    if not path.is_file():
        np.save(path, sampled(specimen(twin.kind, twin.seed), twin, by))
    return np.asarray(np.load(path), np.float32)


def sampled(density: Density, twin: Twin, by: int) -> Floats:
    """Each voxel the mean over points as dense as the grid."""
    x, y, z = twin.size
    nx, ny, nz = int(x / by + 0.5), int(y / by + 0.5), int(z / by)
    fine = max(1, round(by * twin.pixel_size / density.pitch))
    within_one = (np.arange(fine) - (fine - 1) / 2) / fine
    at_x = (np.arange(nx)[:, None] + within_one).reshape(1, -1) * by - x // 2
    at_y = (np.arange(ny)[:, None] + within_one).reshape(-1, 1) * by - y // 2
    inverse, out = slab(twin).T * twin.pixel_size, np.zeros((nz, ny, nx), np.float32)
    for k in range(nz):
        for offset in within_one:
            at_z = (k + offset) * by - z // 2
            at = [m[0] * at_x + m[1] * at_y + m[2] * at_z for m in inverse]
            u, v, w = ((a - o) / density.pitch for a, o in zip(at, density.origin, strict=True))
            values = ndimage.map_coordinates(density.values, [v, w, u], np.float32, order=1)
            out[k] += values.reshape(ny, fine, nx, fine).mean(axis=(1, 3))
    return out / np.float32(fine * ICE)


def within(twin: Twin, by: int, shape: tuple[int, ...]) -> Floats:
    """1 inside the specimen and away from the edges of the field, with soft edges: (z, y, x)."""
    grid = [np.arange(n) * by - s // 2 for n, s in zip(shape[::-1], twin.size, strict=True)]
    across = slab(twin)[:, 2] * twin.pixel_size
    x, y, z = (
        a.reshape(s) for a, s in zip(grid, [(1, 1, -1), (1, -1, 1), (-1, 1, 1)], strict=True)
    )
    height = across[0] * x + across[1] * y + across[2] * z
    mask = soft((twin.thickness / 2 - np.abs(height)) / (by * twin.pixel_size))
    for axis, n in ((1, shape[1]), (2, shape[2])):
        from_edge = np.minimum(np.arange(n), np.arange(n)[::-1]) + 0.5 - OUTSIDE * n
        mask = mask * soft(from_edge).reshape([-1 if a == axis else 1 for a in range(3)])
    return np.asarray(mask, np.float32)


def soft(inside: Array) -> Array:
    """From 0 to 1 over an edge as a cosine."""
    return np.asarray((1 - np.cos(np.pi * np.clip(inside / EDGE, 0, 1))) / 2)


def correlations(a: Floats, b: Floats, mask: Floats, edges: Array) -> Array:
    """Fourier shell correlations of two volumes under a mask; edges in 1 / voxel."""
    z, y, x = fft.fftfreq(a.shape[0]), fft.fftfreq(a.shape[1]), fft.rfftfreq(a.shape[2])
    k = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
    twice = np.broadcast_to(np.where(np.arange(len(x)) > 0, 2.0, 1.0), k.shape)
    shell = np.digitize(k, edges).ravel()
    one, other = (fft.rfftn((v - (v * mask).sum() / mask.sum()) * mask) for v in (a, b))

    def summed(values: Array) -> Array:
        return np.bincount(shell, (values * twice).ravel(), len(edges) + 1)[1:-1]

    powers = summed(np.abs(one) ** 2) * summed(np.abs(other) ** 2)
    return np.asarray(summed((one * other.conj()).real) / np.sqrt(powers))


if __name__ == "__main__":
    main()
