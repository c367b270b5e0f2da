"""Rules of doses, defocus and the hand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tomoset.formats import format_named
from tomoset.model import Tomogram, TomogramSet
from tomoset.model.quantities import OF_TOMOGRAM, Finding, listed, unknown, unusual
from tomoset.model.rules import Found

Array = npt.NDArray[np.float64]

_DEFOCUS = ("defocus_u", "defocus_v")

#: Odds of 20 to 1 are worth a word; at 1000 to 1 the hand is determined [natural logarithms].
_LIKELY, _SURE = 3.0, 6.9


def no_pixel_size(t: Tomogram) -> str | None:
    """Of tilt images: movies may have had another, and their sums are still to be made."""
    if t.optics.pixel_size is not None or (t.stack is None and t.images is None):
        return None
    return "no pixel size"


def no_dose(t: Tomogram) -> str | None:
    return "no doses, so no order of acquisition" if t.pre_exposure is None else None


def not_known(t: Tomogram) -> str | None:
    """What is known of some tilt images only."""
    return _said(unknown(t), t)


def unusual_values(t: Tomogram) -> str | None:
    return _said(unusual(t, [field for field in OF_TOMOGRAM if field not in _DEFOCUS]), t)


def unusual_defocus(t: Tomogram) -> str | None:
    return _said(unusual(t, _DEFOCUS), t)


def _said(findings: Iterator[Finding], t: Tomogram) -> str | None:
    format = None if t.source is None else format_named(t.source.format)
    texts = [f.text() if format is None else f.text(format.label) for f in findings]
    return "; ".join(texts) or None


def _known(values: Array | None) -> Array:
    return np.empty(0) if values is None else values[~np.isnan(values)]


def same_dose(t: Tomogram) -> str | None:
    values, counts = np.unique(_known(t.pre_exposure), return_counts=True)
    if t.pre_exposure is None or counts.max(initial=0) < 2:
        return None
    twice = values[counts > 1]
    return f"{listed(np.isin(t.pre_exposure, twice))} share doses ({twice[0]:g} e/Å²)"


def first_dose(t: Tomogram) -> str | None:
    first = float(_known(t.pre_exposure).min(initial=np.inf))
    if not 0 < first < np.inf:
        return None
    out = [e.tilt.pre_exposure for e in t.exclusions if e.tilt.pre_exposure is not None]
    if any(dose[0] < first for dose in out):
        return None  # it is known that the first images were left out
    if t.fractional_dose and first > 1.5 * t.fractional_dose:
        return None
    return (
        f"the lowest dose is {first:g} e/Å², not 0: either the image that was taken first is left "
        "out, or these are doses after the images instead of before them"
    )


def no_ctf(t: Tomogram) -> str | None:
    return "no defocus" if t.defocus_u is None or t.defocus_v is None else None


def defocus_jump(t: Tomogram) -> str | None:
    if t.defocus_u is None or t.defocus_v is None:
        return None
    mean = (t.defocus_u + t.defocus_v) / 2
    known = _known(mean)
    if len(known) < 5:
        return None
    bad = np.abs(mean - np.median(known)) > 10000
    if not bad.any() or bad.mean() > 0.5:
        return None
    return f"{listed(bad)}: the defocus is more than 1 µm from the series' median"


def unfinished(t: Tomogram) -> str | None:
    if not t.unfinished:
        return None
    return f"tomoset {', '.join(t.unfinished)} has failed or was stopped: it is as it was before"


def hand_unknown(tomograms: TomogramSet) -> Found:
    unknown = [name for name, t in tomograms.items() if abs(t.hand_log_odds or 0.0) < _SURE]
    if unknown:
        some = ", ".join(unknown[:3]) + (" ..." if len(unknown) > 3 else "")
        yield None, f"the hand of {some} has not been determined from the images"


def hand_contradicted(t: Tomogram) -> str | None:
    odds = t.hand_log_odds
    if odds is None or abs(odds) < _LIKELY or (odds > 0) == (t.hand > 0):
        return None
    return f"the hand is {t.hand:+d}, but its images say {-t.hand:+d} (log-odds {odds:+.1f})"
