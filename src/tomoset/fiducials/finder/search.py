"""Positions in space that the peaks of all images agree on, though the alignment may be off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.fiducials.finder.coarse import corrected, found_again, robust_positions
from tomoset.fiducials.finder.detect import Peaks
from tomoset.fiducials.finder.tracks import Tracks, follow
from tomoset.fiducials.finder.vote import PeakMaps, Space, candidates

Array = npt.NDArray[np.float64]

#: How far images may be off the alignment, parts of their width: the reach of searches.
_REACHES = (0.08, 0.04, 0.02, 0.01, 0.005)
#: Never less than this part of a bead's radius.
_LEAST = 0.35
#: What chance would bring does not correct an alignment.
_SURE = 1e-3
#: A search sees as much as another if it sees this part of it.
_NEARLY = 0.97
#: Peaks of an image that are enough to correct an alignment by: the highest.
_MANY = 80
#: Rounds of correcting and following again.
_ROUNDS = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Agreement:
    """What images agree on.

    Parameters
    ----------
    tracks : Tracks
        Positions, the surest first, in the frame of `space`.
    space : Space
        The images, shifted and rotated in their planes so that they agree.
    reach : float
        How far peaks may be from where they should be then [px].
    """

    tracks: Tracks
    space: Space
    reach: float


def agree(space: Space, peaks: Sequence[Peaks], radius: float) -> Agreement:
    """Find positions that images agree on, and correct the images by them.

    The alignment may be off by some per cent of the images' width: the positions that it still
    brings together correct it, and all are searched again, nearer by.

    Parameters
    ----------
    space : Space
        By the alignment as it is.
    peaks : sequence of Peaks
        Of each image.
    radius : float
        Of a bead [px].
    """
    least = max(_LEAST * radius, 2.0)
    reach, tracks = _first(space, peaks, least)
    better = space
    for _ in range(_ROUNDS if len(tracks) else 0):
        projections, spread = corrected(space.projections, tracks.points, rotated=len(tracks) >= 4)
        positions = robust_positions(projections, tracks.points)
        projections = found_again(projections, positions, peaks, reach)
        better = replace(space, projections=projections)
        reach = float(np.clip(4 * spread, least, reach))
        maps = PeakMaps(peaks, space.image_size, reach)
        tracks = _sure(follow(better, positions, maps))
    # Only detections that no bead has claimed can show others.
    rest = [_without(found, own) for found, own in zip(peaks, tracks.points, strict=True)]
    maps = PeakMaps(peaks, space.image_size, reach)
    positions = np.concatenate([tracks.positions, candidates(better, rest, maps)])
    tracks = follow(better, positions, maps)
    return Agreement(tracks=tracks, space=better, reach=reach)


def _without(peaks: Peaks, points: Array) -> Peaks:
    """The peaks that are not among these points."""
    claimed = (peaks.points[:, None] == points[np.isfinite(points[:, 0])]).all(axis=-1).any(axis=1)
    return Peaks(points=peaks.points[~claimed], heights=peaks.heights[~claimed])


def _highest(peaks: Peaks) -> Peaks:
    return Peaks(points=peaks.points[:_MANY], heights=peaks.heights[:_MANY])


def _first(space: Space, peaks: Sequence[Peaks], least: float) -> tuple[float, Tracks]:
    """The narrowest search that sees beads nearly as often as any other."""
    tried = []
    peaks = [_highest(found) for found in peaks]
    for part in _REACHES:
        reach = max(part * space.image_size[0], least)
        maps = PeakMaps(peaks, space.image_size, reach)
        tried.append((reach, _sure(follow(space, candidates(space, peaks, maps), maps))))
    seen = [int(np.isfinite(tracks.points[..., 0]).sum()) for _, tracks in tried]
    narrowest = max(i for i, number in enumerate(seen) if number >= _NEARLY * max(seen))
    return tried[narrowest]


def _sure(tracks: Tracks) -> Tracks:
    return tracks.take(tracks.chance < _SURE)
