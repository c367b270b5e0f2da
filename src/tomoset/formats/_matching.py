"""Tilt images of two lists matched one to one: by names, by numbers in a stack, by angles."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import AmbiguityError, FileFormatError, some_of
from tomoset.images.tiff import TIFF_ENDINGS

Array = npt.NDArray[np.float64]
Lines = npt.NDArray[np.int64]
#: Largest misfit [deg] of an assignment, itself, and its common offset [deg].
Fit = tuple[float, Lines, float]

#: Endings of images and of movies.
IMAGE_ENDINGS = (".mrc", ".mrcs", ".st", ".ali", *TIFF_ENDINGS)
FRAME_ENDINGS = (*IMAGE_ENDINGS, ".eer", ".dm4", ".dm3", ".zarr", ".bz2", ".gz")

#: Angles that differ by more than this after the common offset are not of one image [deg].
TOLERANCE = 2.5
#: Angles within this are the same [deg], and so are fits.
_SAME = 0.05
_AS_GOOD = 0.25


def stem_of(path: str) -> str:
    """The name of an image or movie without folders and endings.

    Examples
    --------
    >>> stem_of("D:/frames/TS_01_000_-1.5.mrc.bz2"), stem_of("TS_1.5A")
    ('TS_01_000_-1.5', 'TS_1.5A')
    """
    name = os.path.basename(path.replace("\\", "/"))
    while name.lower().endswith(FRAME_ENDINGS):
        name = os.path.splitext(name)[0]
    return name


def key_of(stem: str) -> str:
    """By which stems are compared: RELION's motion correction makes dots underscores."""
    return stem.lower().replace(".", "_")


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """What a list says of its tilt images.

    Parameters
    ----------
    what : str
        How messages call it.
    angles : (n,) array
        Tilts [deg].
    names : sequence of str, optional
        Of the movie or file of each.
    sections : (n,) int array, optional
        The number of each in a stack that both lists mean, from 0.
    exact : bool
        Whether angles are of the stage, so that there is no common offset.
    """

    what: str
    angles: Array
    names: Sequence[str] | None = None
    sections: Lines | None = None
    exact: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class Match:
    """The line of the other list for each image of one, from 0, and how that was found."""

    lines: Lines
    how: str


def match_tilts(ours: Side, theirs: Side) -> Match:
    """The line of the other list that each image has.

    Names decide where they are in both, else numbers in the stack, if the angles agree with
    them, else the one-to-one assignment of angles with the least squares.

    Parameters
    ----------
    ours, theirs : Side
        The other list may have more.

    Raises
    ------
    FileFormatError
        If an image has no line.
    AmbiguityError
        If two maps fit equally well.
    """
    n, m = len(ours.angles), len(theirs.angles)
    if m < n:
        raise FileFormatError(
            f"{theirs.what} has {m} tilt images and {ours.what} {n}; each needs one of its own"
        )
    by_name = _by_name(ours, theirs)
    if by_name is not None:
        return Match(lines=by_name, how=_told(ours, theirs, by_name, "by name"))
    if ours.sections is not None and theirs.sections is not None:
        place = {section: line for line, section in enumerate(theirs.sections.tolist())}
        lines = np.array([place.get(section, -1) for section in ours.sections.tolist()])
        if (lines >= 0).all() and misfit(ours, theirs, lines) <= TOLERANCE:
            return Match(lines=lines, how=_told(ours, theirs, lines, "by number in the stack"))
    lines = _by_angle(ours, theirs)
    return Match(lines=lines, how=_told(ours, theirs, lines, "by angle"))


def _by_name(ours: Side, theirs: Side) -> Lines | None:
    """Lines by the stems of names; None where these are not in both lists, each once.

    What stands before and after all stems may differ, as where names were given a prefix.
    """
    if ours.names is None or theirs.names is None:
        return None
    keys = [key_of(stem_of(name)) for name in theirs.names]
    own = [key_of(stem_of(name)) for name in ours.names]
    if len(set(keys)) < len(keys) or len(set(own)) < len(own) or not own or not own[0]:
        return None
    place = {key: line for line, key in enumerate(keys)}
    for key in keys:
        before, found, after = key.partition(own[0])
        if found:
            lines = [place.get(before + name + after, -1) for name in own]
        else:
            before, found, after = own[0].partition(key or "\0")
            cut = [name.removeprefix(before).removesuffix(after) for name in own]
            lines = [place.get(name, -1) for name in cut] if found else [-1]
        if min(lines) >= 0 and len(set(lines)) == len(lines):
            return np.array(lines, dtype=np.int64)
    return None


def misfit(ours: Side, theirs: Side, lines: Lines) -> float:
    """Largest difference of angles, after a common offset unless they are of the stage [deg]."""
    residual = ours.angles - theirs.angles[lines]
    offset = 0.0 if ours.exact else residual.mean()
    return float(np.abs(residual - offset).max(initial=0.0))


def _told(ours: Side, theirs: Side, lines: Lines, how: str) -> str:
    """One line: how many, how, how far the angles are apart, what is left."""
    residual = ours.angles - theirs.angles[lines]
    offset = float(residual.mean())
    worst = float(np.abs(residual - offset).max(initial=0.0))
    spare = len(theirs.angles) - len(lines)
    return (
        f"{len(lines)} tilt images of {ours.what} matched with {theirs.what} {how}: angles within "
        f"{worst:.2f}°"
        + (f" after a common offset of {offset:+.2f}°" if abs(offset) > _SAME else "")
        + (f"; {spare} of the latter are left" if spare else "")
    )


def _by_angle(ours: Side, theirs: Side) -> Lines:
    by_tilt = np.argsort(ours.angles, kind="stable")
    by_line = np.argsort(theirs.angles, kind="stable")
    t, a = ours.angles[by_tilt], theirs.angles[by_line]
    chosen = assign(t, a) if ours.exact else _only_fit(ours, theirs, t, a)
    worst = float(np.abs(t - a[chosen]).max()) if ours.exact else fit(t, a, chosen)[0]
    if worst > TOLERANCE:
        raise FileFormatError(
            f"{ours.what} and {theirs.what}: the tilt angles do not match, by up to {worst:.1f}°; "
            "are they of one series, with the same sign of the tilts?"
        )
    used, spare = a[chosen], np.delete(a, chosen)
    twice = [
        *(float(x) for x, y in itertools.pairwise(used) if y - x <= _SAME),
        *(float(x) for x in spare if len(used) and np.abs(used - x).min() <= _SAME),
    ]
    if twice:
        raise AmbiguityError(
            f"{theirs.what} has several images at {some_of([f'{x:.2f}°' for x in twice])}, and "
            f"neither names nor numbers in a stack say which is which in {ours.what}"
        )
    lines = np.empty(len(t), dtype=np.int64)
    lines[by_tilt] = by_line[chosen]
    return lines


def _only_fit(ours: Side, theirs: Side, t: Array, a: Array) -> Lines:
    """Lines by angles with a common offset; AmbiguityError if another one fits as well."""
    best, *others = sorted(fits(t, a), key=lambda one: one[0])
    if others and others[0][0] <= max(best[0], _SAME) + _AS_GOOD and best[0] <= TOLERANCE:
        raise AmbiguityError(
            f"the refined angles of {ours.what} fit those of {theirs.what} with a common offset of "
            f"{best[2]:+.2f}° and as well with {others[0][2]:+.2f}°: which images were left out is "
            "not known; import the series with its nominal angles (.rawtlt), or with names of its "
            "movies"
        )
    return best[1]


def best_fit(t: Array, a: Array) -> Fit:
    """The assignment that fits best; of several that fit, that of the smallest offset."""
    every = fits(t, a)
    least = min(worst for worst, _, _ in every)
    return next(one for one in every if one[0] <= least + 0.5)


def fits(t: Array, a: Array) -> list[Fit]:
    """Assignments of each of t to a line of its own in a, both ascending, for common offsets.

    Each has the least squares after its offset is taken off; the smallest offset is first.
    """
    # the first of t is at one of the first lines
    shifts = [0.0, *(t[0] - a[: len(a) - len(t) + 1])] if len(t) < len(a) else [0.0]
    found: dict[bytes, Fit] = {}
    for shift in shifts:
        one = fit(t, a, assign(t - shift, a))
        again = fit(t, a, assign(t - one[2], a))
        best = min(one, again, key=lambda each: each[0])
        found.setdefault(best[1].tobytes(), best)
    return sorted(found.values(), key=lambda each: abs(each[2]))


def fit(t: Array, a: Array, lines: Lines) -> Fit:
    """Largest misfit of an assignment, itself, and its common offset."""
    residual = t - a[lines]
    offset = float(residual.mean())
    return float(np.abs(residual - offset).max()), lines, offset


def assign(t: Array, a: Array) -> Lines:
    """One line for each image, none twice, with least squares: both sorted, so in order.

    For sorted values and a convex cost the best assignment never crosses, which makes it a
    shortest path over (images, lines).
    """
    nearest = np.searchsorted((a[:-1] + a[1:]) / 2, t)
    if (np.diff(nearest) > 0).all():
        return nearest.astype(np.int64)
    n, m = len(t), len(a)
    if n == m:  # as many lines as images: only one assignment does not cross
        return np.arange(n)
    slack = m - n  # image i may only take lines i ... i + slack
    cost = (t[:, None] - a[np.arange(n)[:, None] + np.arange(slack + 1)]) ** 2
    total = np.zeros(slack + 1)
    taken = np.empty((n, slack + 1), dtype=np.int64)
    for i in range(n):
        # Cheapest way to have used up to `s` spare lines before image i.
        cheapest = np.minimum.accumulate(total)
        taken[i] = np.maximum.accumulate(np.where(total == cheapest, np.arange(slack + 1), 0))
        total = cheapest + cost[i]
    spare = int(total.argmin())
    lines = np.empty(n, dtype=np.int64)
    for i in range(n - 1, -1, -1):
        lines[i] = i + spare
        spare = int(taken[i, spare])
    return lines
