"""What aligns a series without markers: functions of a twin and of the set it was written to.

`ALIGNERS` is the list that `bench_align_images` goes through.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from twins import WORKING, Twin
from twins_images import binned

Array = npt.NDArray[np.float64]

#: Band of the chain of correlations [cycles/px].
BAND = (0.02, 0.2)
#: Run by an interpreter that has the package (``--peer-python``).
_PEER = """
import sys, time, resource
import numpy as np, torch
from torch_tiltxcorr import tiltxcorr
torch.set_num_threads({threads})
given = np.load(sys.argv[1])
start = time.perf_counter()
shifts = tiltxcorr(torch.tensor(given["images"]), torch.tensor(given["tilts"]),
                   float(given["axis"]), float(given["pixel"]), 4 * float(given["pixel"]))
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
np.savez(sys.argv[2], shifts=shifts.numpy(), seconds=seconds, peak=peak)
"""


class AbsentError(Exception):
    """An aligner that is not installed here."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """What an aligner says of a series.

    Parameters
    ----------
    projections : (n, 4, 4) array
    deviations : (n, 2) array
        Standard deviations of shifts, x and y [px]; NaN where it does not say.
    flagged : (n,) bool array
        Images that it does not vouch for.
    refused : str
        Why it does not vouch for the series; empty, if it does.
    thickness : float
        [Å]; NaN where it does not say, as of the inclination (about the axis, across it) [deg].
    inclination : (float, float)
    seconds, peak : float
        Own figures of another process, instead of those measured here [s, bytes].
    """

    projections: Array
    deviations: Array
    flagged: npt.NDArray[np.bool_]
    refused: str = ""
    thickness: float = np.nan
    inclination: tuple[float, float] = (np.nan, np.nan)
    seconds: float | None = None
    peak: float | None = None
    more: dict[str, Any] = field(default_factory=dict)


def chain(twin: Twin, path: str, threads: int) -> Found:
    """Each image against its neighbour nearer to 0 degrees, both stretched to the mid-plane.

    A band-passed, tapered correlation of the raw images and one peak, as IMOD's tiltxcorr.
    """
    del path, threads
    small = binned(twin.images, twin.pixel_size, WORKING)
    h, w = small.shape[1:]
    coarse = twin.images.shape[2] / w
    side = 2 * round(max(h, w) / 2)
    k = np.hypot(fft.fftfreq(side)[:, None], fft.rfftfreq(side))
    band = (1 - np.exp(-((k / BAND[0]) ** 4))) * np.exp(-((k / BAND[1]) ** 4))
    maps = twin.start[:, :2, :2]
    spectra = [
        band * fft.rfft2(_mapped(image, m, side)) for image, m in zip(small, maps, strict=True)
    ]
    order = np.argsort(twin.nominal)
    middle = int(np.argmin(np.abs(twin.nominal[order])))
    moved = np.zeros((len(small), 2))
    for way in (order[middle::-1], order[middle:]):
        for before, after in pairwise(way):
            moved[after] = moved[before] + _peak(spectra[before], spectra[after], side)
    return _shifted(twin, coarse * np.einsum("nab,nb->na", maps, moved))


def _mapped(image: npt.NDArray[np.float32], matrix: Array, side: int) -> Array:
    """An image on the mid-plane, tapered."""
    h, w = image.shape
    swapped = matrix[::-1, ::-1]
    offset = np.array([h // 2, w // 2]) - swapped @ [side // 2, side // 2]
    made = ndimage.affine_transform(
        image - image.mean(), swapped, offset, (side, side), order=1, mode="constant"
    )
    # Hot pixels and edges would be all that there is.
    made = np.clip(made, *np.quantile(made, [0.0005, 0.9995]))
    ramp = np.clip(np.minimum(np.arange(side), np.arange(side)[::-1]) / (0.1 * side), 0, 1)
    edge = np.sin(np.pi / 2 * ramp) ** 2
    return np.asarray((made - made.mean()) * edge[:, None] * edge)


def _peak(before: Array, after: Array, side: int) -> Array:
    """How far, x and y, the second image lies from the first."""
    cc = fft.irfft2(after * before.conj(), s=(side, side))
    y, x = np.unravel_index(np.argmax(cc), cc.shape)
    found = []
    for at, line in ((x, cc[y]), (y, cc[:, x])):
        left, top, right = line[at - 1], line[at], line[(at + 1) % side]
        part = 0.5 * (left - right) / min(left - 2 * top + right, -1e-12)
        found.append((at + part + side / 2) % side - side / 2)
    return np.array(found)


def _shifted(twin: Twin, shifts: Array, **more: Any) -> Found:
    """The nominal geometry with shifts from centred images [px]."""
    h, w = twin.images.shape[1:]
    projections = twin.start.copy()
    centre = projections[:, :2, :3] @ (np.array(twin.size) // 2)
    projections[:, :2, 3] = np.array([w, h]) // 2 - centre + shifts
    n = len(projections)
    return Found(
        projections=projections,
        deviations=np.full((n, 2), np.nan),
        flagged=np.zeros(n, bool),
        **more,
    )


def tiltxcorr(twin: Twin, path: str, threads: int) -> Found:
    """torch-tiltxcorr, of the interpreter that PEER_PYTHON in the environment names."""
    del path
    python = os.environ.get("PEER_PYTHON", "")
    if not python:
        raise AbsentError("torch-tiltxcorr: name an interpreter that has it, --peer-python PATH")
    small = binned(twin.images, twin.pixel_size, WORKING)
    coarse = twin.images.shape[2] / small.shape[2]
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(
            given,
            images=small,
            tilts=twin.nominal,
            axis=twin.nominal_axis,
            pixel=twin.pixel_size * coarse,
        )
        command = [python, "-c", _PEER.format(threads=threads), str(given), str(found)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AbsentError(f"torch-tiltxcorr: {done.stderr.strip().splitlines()[-1]}")
        with np.load(found) as stored:
            # What is applied to an image is where it lies, the other way.
            shifts = -coarse * stored["shifts"][:, ::-1].astype(np.float64)
            seconds, peak = float(stored["seconds"]), float(stored["peak"])
    return _shifted(twin, shifts, seconds=seconds, peak=peak)


def product(twin: Twin, path: str, threads: int) -> Found:
    """`tomoset align images`, as a user calls it."""
    import tomoset

    out = Path(path).parent / "aligned"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = tomoset.align_images(tomoset.read(path), out, threads=threads, figures="none")
    n = len(twin.truth)
    flagged, nothing = np.zeros(n, bool), np.full(n, np.nan)
    if twin.name not in done.results:
        return Found(
            projections=twin.start,
            deviations=np.stack([nothing, nothing], axis=1),
            flagged=np.ones(n, bool),
            refused=done.report.failed[twin.name],
        )
    found = done.results[twin.name]
    flagged[[int(i) - 1 for i in (*found.unused, *found.doubtful)]] = True
    deviations = [found.deviations.get(name, nothing) for name in ("shift_x", "shift_y")]
    return Found(
        projections=found.projections,
        deviations=np.stack(deviations, axis=1),
        flagged=flagged,
        thickness=found.fit.thickness,
        inclination=found.fit.inclination,
    )


#: Name, and what is called with a twin, the path of its set, and the number of threads.
ALIGNERS: dict[str, Callable[[Twin, str, int], Found]] = {
    "chain": chain,
    "torch-tiltxcorr": tiltxcorr,
    "tomoset": product,
}
