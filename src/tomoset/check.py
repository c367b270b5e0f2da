"""What may be wrong with a tomogram set: rules with stable codes.

Each rule looks at a set and yields problems with place and cure. Defaults follow what users
ask of a validator (limits of defocus, of angles, of rigidity) and are stated in the rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import TomosetError
from tomoset.formats._files import find_file
from tomoset.images import mrc
from tomoset.model import HAND_LOG_ODDS, Tomogram, TomogramSet

#: Odds of 20 to 1 are worth a word [natural logarithm].
_LIKELY = 3.0

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong, or may be.

    Parameters
    ----------
    code : str
        Of the rule; never reused for another.
    severity : {"error", "warning", "note"}
        An error will stop or spoil later work; a warning may; a note is good to know.
    tomogram : str or None
        Which; None: the set as a whole.
    message : str
        What is wrong, with the values.
    cure : str
        What to do.
    """

    code: str
    severity: Severity
    tomogram: str | None
    message: str
    cure: str


@dataclass(frozen=True)
class Rule:
    """A rule: its code, how bad a break of it is, what it asks, what to do, and its test."""

    code: str
    severity: Severity
    asks: str
    cure: str
    test: Callable[[TomogramSet], Iterator[tuple[str | None, str]]]


def check(tomograms: TomogramSet) -> list[Problem]:
    """Apply every rule to a set.

    Parameters
    ----------
    tomograms : TomogramSet
        As it was read.

    Returns
    -------
    list of Problem
        In the order of `RULES`; empty if all is well.

    Examples
    --------
    >>> from tomoset import TomogramSet
    >>> [p.code for p in check(TomogramSet())]
    ['S01']
    """
    return [
        Problem(
            code=rule.code,
            severity=rule.severity,
            tomogram=name,
            message=message,
            cure=rule.cure,
        )
        for rule in RULES
        for name, message in rule.test(tomograms)
    ]


Found = Iterator[tuple[str | None, str]]
Array = npt.NDArray[np.float64]


def _each(test: Callable[[Tomogram], str | None]) -> Callable[[TomogramSet], Found]:
    """A test of single tomograms as a test of sets."""

    def over(tomograms: TomogramSet) -> Found:
        for tomogram in tomograms.values():
            message = test(tomogram)
            if message:
                yield tomogram.name, message

    return over


def _rows(mask: npt.NDArray[np.bool_]) -> str:
    """Which tilt images, from 1."""
    rows = (np.flatnonzero(mask) + 1).tolist()
    more = f" and {len(rows) - 8} more" if len(rows) > 8 else ""
    return f"tilt image{'s' * (len(rows) > 1)} {', '.join(map(str, rows[:8]))}{more}"


def _empty(tomograms: TomogramSet) -> Found:
    if not tomograms:
        yield None, "the set holds no tomogram"


def _similar_names(tomograms: TomogramSet) -> Found:
    lower = Counter(name.lower() for name in tomograms)
    for name in tomograms:
        if lower[name.lower()] > 1:
            yield name, "the name differs from another one only in upper and lower case"


def _odd_name(t: Tomogram) -> str | None:
    odd = sorted({c for c in t.name if not (c.isalnum() or c in "_-.")})
    if odd:
        return f"the name holds {' '.join(map(repr, odd))}, which becomes part of file names"
    try:
        float(t.name)
    except ValueError:
        return None
    return "the name is a number, which Python's STAR readers change (001 becomes 1)"


def _stack(t: Tomogram) -> str | None:
    if t.stack is None and t.images is None:
        return "no tilt images are named"
    if t.image_size is None:
        what = f"image stack {t.stack} is" if t.images is None else "tilt images are"
        return f"the {what} not there or cannot be read"
    return None


def _found(tomograms: TomogramSet, name: str) -> Path | None:
    """A file that the set names, looked for as the reader does."""
    return find_file(name, getattr(tomograms.source, "path", None))


def _fiducials(tomograms: TomogramSet) -> Found:
    for name, t in tomograms.items():
        if t.fiducials is not None and _found(tomograms, t.fiducials) is None:
            yield name, f"the file of fiducials {t.fiducials} is not there"


def _short_stack(tomograms: TomogramSet) -> Found:
    for name, t in tomograms.items():
        stack = None if t.stack is None else _found(tomograms, mrc.stack_path(t.stack))
        if stack is None or t.image_size is None:
            continue
        header = mrc.read_header(stack)
        need = header.data_offset + header.size[2] * header.image_bytes
        found = stack.stat().st_size
        if found < need:
            yield name, f"{t.stack} is cut short: {found} of {need} bytes"


def _volumes(tomograms: TomogramSet) -> Found:
    for name, t in tomograms.items():
        made = t.reconstruction
        named = () if made is None else (made.path, made.half1, made.half2)
        for path in (path for path in named if path is not None):
            found = _found_volume(tomograms, path)
            if found is None:
                yield name, f"the volume {path} is not there"
            elif found.is_file() and made is not None and t.optics.pixel_size is not None:
                has, should = _voxel_size(found), made.binning * t.optics.pixel_size
                if has and abs(has / should - 1) > 0.01:
                    yield name, f"voxels of {path} have {has:.4g} Å, the set says {should:.4g} Å"


def _found_volume(tomograms: TomogramSet, name: str) -> Path | None:
    """A volume; OME-Zarr is a folder."""
    return Path(name) if Path(name).is_dir() else _found(tomograms, name)


def _voxel_size(path: Path) -> float:
    try:
        return mrc.read_header(path).pixel_size
    except TomosetError:
        return 0.0


def _no_dose(t: Tomogram) -> str | None:
    return "no doses, so no order of acquisition" if t.pre_exposure is None else None


def _bad_dose(t: Tomogram) -> str | None:
    if t.pre_exposure is None:
        return None
    bad = ~np.isfinite(t.pre_exposure) | (t.pre_exposure < 0)
    return f"{_rows(bad)}: the dose is negative or not a number" if bad.any() else None


def _same_dose(t: Tomogram) -> str | None:
    if t.pre_exposure is None:
        return None
    values, counts = np.unique(t.pre_exposure, return_counts=True)
    if counts.max(initial=0) < 2:
        return None
    twice = values[counts > 1]
    return f"{_rows(np.isin(t.pre_exposure, twice))} share doses ({twice[0]:g} e/Å²)"


def _first_dose(t: Tomogram) -> str | None:
    if t.pre_exposure is None or not t.n_tilts or not t.pre_exposure.min() > 0:
        return None
    first = float(t.pre_exposure.min())
    if t.fractional_dose and first > 1.5 * t.fractional_dose:
        return None  # the first images were left out
    return f"the lowest dose is {first:g} e/Å², not 0: are these doses after the images?"


def _no_ctf(t: Tomogram) -> str | None:
    return "no defocus" if t.defocus_u is None or t.defocus_v is None else None


def _bad_defocus(t: Tomogram) -> str | None:
    if t.defocus_u is None or t.defocus_v is None:
        return None
    mean = (t.defocus_u + t.defocus_v) / 2
    bad = ~((mean > 2000) & (mean < 150000))
    return f"{_rows(bad)}: the defocus is outside 0.2 to 15 µm" if bad.any() else None


def _defocus_jump(t: Tomogram) -> str | None:
    if t.defocus_u is None or t.defocus_v is None or t.n_tilts < 5:
        return None
    mean = (t.defocus_u + t.defocus_v) / 2
    bad = np.abs(mean - np.median(mean)) > 10000
    if not bad.any() or bad.mean() > 0.5:
        return None
    return f"{_rows(bad)}: the defocus is more than 1 µm from the series' median"


def _not_aligned(t: Tomogram) -> str | None:
    if t.projections is not None:
        return None
    if t.alignment is None:
        return "not aligned: no projections"
    return "aligned, but a size that the projections need is not known"


def _singular_values(t: Tomogram) -> Array:
    assert t.projections is not None
    return np.asarray(np.linalg.svd(t.projections[:, :3, :3], compute_uv=False), np.float64)


def _not_rigid(t: Tomogram) -> str | None:
    if t.projections is None or not t.n_tilts:
        return None
    stretch = np.abs(_singular_values(t) - 1).max(axis=1)
    bad = stretch > 0.05
    if not bad.any():
        return None
    return f"{_rows(bad)}: the projection stretches by up to {stretch.max():.1%}"


def _mixed_mirror(t: Tomogram) -> str | None:
    if t.projections is None or not t.n_tilts:
        return None
    sign = np.sign(np.linalg.det(t.projections[:, :3, :3]))
    if (sign == sign[0]).all():
        return None
    return f"{_rows(sign != sign[0])}: the projection is the mirror image of the others"


def _axis_outlier(t: Tomogram) -> str | None:
    if t.projections is None or t.n_tilts < 3:
        return None
    turn = np.deg2rad(t.tilt_axis_angles)
    middle = np.arctan2(np.median(np.sin(turn)), np.median(np.cos(turn)))
    away = np.abs(np.rad2deg(np.angle(np.exp(1j * (turn - middle)))))
    bad = away > 5
    return (
        f"{_rows(bad)}: the tilt axis is {away.max():.1f}° from the others" if bad.any() else None
    )


def _steep(t: Tomogram) -> str | None:
    if t.projections is None:
        return None
    bad = np.abs(t.tilt_angles) > 80
    return f"{_rows(bad)}: tilted by more than 80°" if bad.any() else None


def _same_tilt(t: Tomogram) -> str | None:
    if t.projections is None or t.n_tilts < 2:
        return None
    if np.ptp(t.tilt_angles) < 1e-6:
        return "all tilt angles are the same"
    return None


def _centre_outside(t: Tomogram) -> str | None:
    if t.projections is None or t.size is None or t.image_size is None:
        return None
    at = geometry.apply(t.projections, [(np.asarray(t.size) - 1) / 2])[:, 0, :2]
    bad = np.asarray(((at < 0) | (at > np.array(t.image_size) - 1)).any(axis=1))
    return f"{_rows(bad)}: the middle of the tomogram lies outside the image" if bad.any() else None


def _turned_size(t: Tomogram) -> str | None:
    """Less than three quarters of the least tilted image covered by the tomogram's plane."""
    if t.projections is None or t.size is None or t.image_size is None or not t.n_tilts:
        return None
    flat = int(np.abs(t.tilt_angles).argmin())
    if _covered(t, flat, t.size[0], t.size[1]) > 0.75:
        return None
    if _covered(t, flat, t.size[1], t.size[0]) < 0.95:
        return None
    return f"x and y of the tomogram ({t.size[0]} x {t.size[1]}) look swapped against its images"


def _coverage(t: Tomogram) -> str | None:
    if t.projections is None or t.size is None or t.image_size is None or not t.n_tilts:
        return None
    share = _covered(t, int(np.abs(t.tilt_angles).argmin()), t.size[0], t.size[1])
    if share > 0.5 or _turned_size(t) is not None:
        return None
    return f"its least tilted image shows {share:.0%} of the tomogram's middle plane"


def _covered(t: Tomogram, row: int, width: int, height: int) -> float:
    """Share of the tomogram's middle plane that one image sees."""
    assert t.projections is not None
    assert t.size is not None
    assert t.image_size is not None
    u, v = np.meshgrid(np.linspace(-0.5, 0.5, 21), np.linspace(-0.5, 0.5, 21))
    centre = (np.array(t.size) - 1) / 2
    points = np.stack([u * (width - 1), v * (height - 1), 0 * u], axis=-1).reshape(-1, 3)
    at = geometry.apply(t.projections[row], points + centre)[:, :2]
    return float(((at > -1) & (at < np.array(t.image_size))).all(axis=1).mean())


def _mixed(what: str, value: Callable[[Tomogram], float | None]) -> Callable[[TomogramSet], Found]:
    def over(tomograms: TomogramSet) -> Found:
        values = {name: value(t) for name, t in tomograms.items()}
        common = Counter(values.values()).most_common()
        for name, found in values.items():
            if len(common) > 1 and found != common[0][0]:
                yield (
                    name,
                    f"{what} is {_number(found)}, that of most others {_number(common[0][0])}",
                )

    return over


def _hand_odds(t: Tomogram) -> float | None:
    """Natural logarithm of the odds of +1 against -1 that ``tomoset hand`` has written."""
    text = None if t.source is None else t.source.row.get(HAND_LOG_ODDS)
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _hand_unknown(tomograms: TomogramSet) -> Found:
    unknown = [name for name, t in tomograms.items() if _hand_odds(t) is None]
    if unknown:
        some = ", ".join(unknown[:3]) + (" ..." if len(unknown) > 3 else "")
        yield None, f"the hand of {some} has not been determined from the images"


def _hand_contradicted(t: Tomogram) -> str | None:
    odds = _hand_odds(t)
    if odds is None or abs(odds) < _LIKELY or (odds > 0) == (t.hand > 0):
        return None
    return f"the hand is {t.hand:+d}, but its images say {-t.hand:+d} (log-odds {odds:+.1f})"


def _rows_out_of_order(t: Tomogram) -> str | None:
    named = t.source is not None and "rlnTomoTiltSeriesName" in t.source.row
    if t.image_index is None or not named or t.images is not None:
        return None
    if np.array_equal(t.image_index, np.arange(t.n_tilts)):
        return None
    return "rows name other images of the stack than their own numbers, which RELION ignores"


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:g}"


def _relion_5(tomograms: TomogramSet) -> Found:
    if tomograms.format == "relion4" and tomograms.source is not None:
        yield (
            None,
            "RELION 5 takes these matrices one voxel off on each axis, and drops them when its "
            "programs write the set",
        )


def _no_size(t: Tomogram) -> str | None:
    return "no size of the tomogram" if t.size is None else None


def _odd_size(t: Tomogram) -> str | None:
    if t.size is None or not any(n % 2 for n in t.size):
        return None
    return "the size of the tomogram is odd in x, y or z"


#: By the letters of their codes: S set and names, R RELION, F files, D dose, C CTF, G geometry,
#: H hand.
RULES = (
    Rule("S01", "error", "the set holds a tomogram", "Import or select one.", _empty),
    Rule("S02", "warning", "names differ in more than case", "Rename one.", _similar_names),
    Rule("S03", "note", "names are plain", "Rename it if a program stumbles.", _each(_odd_name)),
    Rule("S04", "warning", "pixel sizes agree", "Check the pixel size; use optics groups.",
         _mixed("the pixel size", lambda t: t.optics.pixel_size)),
    Rule("R01", "note", "RELION 5 reads the set as it is meant",
         "For RELION 5: tomoset convert SET DST --to relion5.", _relion_5),
    Rule("R02", "warning", "row i means image i of the stack",
         "Use tomoset convert, to either dialect: it picks the images.",
         _each(_rows_out_of_order)),
    Rule("F01", "error", "the images are there", "Run in the project folder, or correct the path.",
         _each(_stack)),
    Rule("F02", "warning", "the fiducials are there", "Correct the path, or find them again.",
         _fiducials),
    Rule("F03", "error", "the stack is whole", "Copy it again.", _short_stack),
    Rule("F04", "warning", "volumes are there and have the voxels that the set says",
         "Reconstruct again (tomoset reconstruct), or correct the set.", _volumes),
    Rule("D01", "warning", "doses are there", "Import them: --fd, an order list.", _each(_no_dose)),
    Rule("D02", "error", "doses are not negative", "Import the doses again.", _each(_bad_dose)),
    Rule("D03", "warning", "doses differ", "Check the order of acquisition.", _each(_same_dose)),
    Rule("D04", "warning", "doses are those before the images", "Subtract the dose of one image.",
         _each(_first_dose)),
    Rule("C01", "warning", "defocus is there", "Import with a table of defocus.", _each(_no_ctf)),
    Rule("C02", "error", "defocus is possible", "Measure it again, or exclude the images.",
         _each(_bad_defocus)),
    Rule("C03", "warning", "defocus is steady", "Look at the fits of these images.",
         _each(_defocus_jump)),
    Rule("G01", "warning", "the series is aligned", "Import an alignment.", _each(_not_aligned)),
    Rule("G02", "warning", "projections are near-rigid", "Check the alignment of these images.",
         _each(_not_rigid)),
    Rule("G03", "error", "no image is a mirror image", "Check the alignment of these images.",
         _each(_mixed_mirror)),
    Rule("G04", "warning", "the tilt axis is steady", "Check the alignment of these images.",
         _each(_axis_outlier)),
    Rule("G05", "warning", "tilts are within 80°", "Check the tilt angles.", _each(_steep)),
    Rule("G06", "error", "tilt angles differ", "Check the file of tilt angles.", _each(_same_tilt)),
    Rule("G07", "error", "the tomogram is in the images", "Check alignment, size and binning.",
         _each(_centre_outside)),
    Rule("G08", "warning", "x and y are not swapped", "Check FULLIMAGE or the size columns.",
         _each(_turned_size)),
    Rule("G11", "warning", "images show the tomogram", "Is the stack binned, or of another series?",
         _each(_coverage)),
    Rule("G09", "warning", "the size is there", "Give the size of the tomogram.", _each(_no_size)),
    Rule("G10", "note", "sizes are even", "RELION 5 puts odd ones half a voxel off.",
         _each(_odd_size)),
    Rule("H01", "warning", "the hand is the same for all", "One microscope has one hand.",
         _mixed("the hand", lambda t: t.hand)),
    Rule("H02", "warning", "images do not contradict the hand",
         "tomoset hand SET --o DIR --apply, if nothing else is wrong with the series.",
         _each(_hand_contradicted)),
    Rule("H03", "note", "the hand is determined", "tomoset hand SET --o DIR --apply.",
         _hand_unknown),
)  # fmt: skip
