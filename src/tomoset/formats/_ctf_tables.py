"""Tables of defocus of any program, told apart by what they hold."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tomoset.errors import AssumptionWarning, FileFormatError
from tomoset.formats._ctffind import DefocusTable, ctffind_text, read_ctffind
from tomoset.formats._ctfplotter import ctfplotter_text, last_view, looks_like_imod, read_imod
from tomoset.formats._gctf import FINAL, read_defocus_star, read_gctf_log
from tomoset.formats._importing import larger_first, of_kept
from tomoset.formats._text_tables import read_text
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]

#: How far into a file one looks to see what it is, and how large a log is [bytes].
_HEAD, _LOG = 4096, 1 << 20
#: No stack has so many images more than the tomogram.
_MORE = 1000
#: ctfplotter's last digit [Å].
_DIGIT = 1.0


def kind_of(path: str | os.PathLike[str]) -> str:
    """What a table is: "imod" (ctfplotter), "star", "gctf" (its log), else "ctffind" (or AreTomo).

    Raises
    ------
    FileFormatError
        If it is no text.
    """
    name = os.fspath(path)
    head = read_text(name, _HEAD)
    if re.search(r"(?m)^\s*data_\S*\s*$", head):
        return "star"
    if looks_like_imod(name):
        return "imod"
    if FINAL in head or (_is_log(head) and FINAL in read_text(name, _LOG)):
        return "gctf"
    return "ctffind"


def _is_log(head: str) -> bool:
    """Whether it begins with a word, as no table of numbers does."""
    first = next((line.strip() for line in head.splitlines() if line.strip()), "")
    return not first.startswith("#") and not first[:1].isdecimal()


def read_defocus(
    paths: str | Sequence[str],
    n_views: int,
    *,
    kept: Sequence[int] | None = None,
    tilts: Array | None = None,
    stack: str = "the stack",
    name: str | None = None,
) -> DefocusTable:
    """The defocus of the images of a series, by a table of any program.

    CTFFIND 4 and 5, AreTomo, ctfplotter (``.defocus``, all versions), Gctf and RELION (STAR), logs
    of Gctf. Files of one image each are taken in the order of the numbers in their names.

    Parameters
    ----------
    paths : str or sequence of str
        The table, or tables of one image each.
    n_views : int
        Images of the stack.
    kept : sequence of int, optional
        Those of them, from 0, that the tomogram has; all by default.
    tilts : (n,) array, optional
        Tilt angles of those [deg], by which the numbers of views in ``.defocus`` are checked.
    stack : str
        How messages call the stack.
    name : str, optional
        Of the series, by which a set of RELION 4 is asked.

    Returns
    -------
    DefocusTable
        Of the kept images.

    Raises
    ------
    FileFormatError
        If a table is damaged, or of another number of images.
    """
    views = list(range(n_views)) if kept is None else list(kept)
    if not isinstance(paths, str):
        if len(paths) != 1:
            return of_kept(_joined(paths), views, n_views, stack)
        paths = paths[0]
    angles = None
    if tilts is not None:
        angles = np.full(n_views, np.nan)
        angles[views] = tilts
    kind = kind_of(paths)
    if kind == "imod":
        return read_imod(paths, n_views, angles).take(views)
    if kind == "star":
        return of_kept(read_defocus_star(paths, angles, name), views, n_views, stack)
    return of_kept(read_defocus_table(paths), views, n_views, stack)


def read_defocus_table(path: str) -> DefocusTable:
    """All of a table that has a line for each image: any but ctfplotter's."""
    return {"star": read_defocus_star, "gctf": read_gctf_log}.get(kind_of(path), read_ctffind)(path)


def _of_one_image(path: str) -> DefocusTable:
    table = None if kind_of(path) == "imod" else read_defocus_table(path)
    if table is None or len(table) != 1:
        raise FileFormatError(
            "several tables of defocus fit, and this is not of one image; give one table, or those "
            "of one image each",
            path=path,
        )
    return table


def _joined(paths: Sequence[str]) -> DefocusTable:
    """Tables of one image each as one."""
    ordered = sorted(paths, key=lambda path: [int(d) for d in re.findall(r"\d+", path)])
    tables = [_of_one_image(path) for path in ordered]
    warnings.warn(
        f"{len(tables)} tables of one image each, such as {ordered[0]}, are taken for the images "
        "of the stack in the order of the numbers in their names",
        AssumptionWarning,
        stacklevel=4,
    )
    phases = [t.phase_shift for t in tables]
    known = [phase for phase in phases if phase is not None]
    if known and len(known) < len(tables):
        lacking = tables[phases.index(None)].path
        raise FileFormatError("this has no phase shift, and the others have", path=lacking)
    return DefocusTable(
        path=tables[0].path,
        u=np.concatenate([t.u for t in tables]),
        v=np.concatenate([t.v for t in tables]),
        angle=np.concatenate([t.angle for t in tables]),
        phase_shift=np.concatenate(known) if known else None,
    )


def agree(one: str, other: str) -> bool:
    """Whether two tables, one of them ctfplotter's, have the same defocus to its last digit."""
    views, path = sorted((one, other), key=lambda name: kind_of(name) != "imod")
    if kind_of(views) != "imod" or kind_of(path) == "imod":
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)  # said where it is read
        try:
            table = read_defocus_table(path)
            again = read_imod(views, len(table))
        except FileFormatError:
            return False
    return bool(np.abs(np.subtract((table.u, table.v), (again.u, again.v))).max() < _DIGIT)


def read_defocus_of(t: Tomogram, path: str) -> DefocusTable:
    """What a table of any program says of the tilt images of a tomogram.

    Parameters
    ----------
    t : Tomogram
        Its rows are slices of a stack, or all there are.
    path : str
        The table.

    Raises
    ------
    FileFormatError
        If it is damaged, or of another number of images.
    """
    rows = list(range(t.n_tilts)) if t.image_index is None else t.image_index.tolist()
    n, kind = max(rows, default=-1) + 1, kind_of(path)
    if kind == "imod":
        n = max(n, min(last_view(path), n + _MORE))
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AssumptionWarning)  # said where it is read
            star_table = kind == "star"
            whole = read_defocus_star(path, name=t.name) if star_table else read_defocus_table(path)
        if len(whole) == t.n_tilts:  # it has those of the tomogram alone
            rows = list(range(t.n_tilts))
        n = t.n_tilts if len(whole) == t.n_tilts else max(n, len(whole))
    return read_defocus(
        path, n, kept=rows, tilts=_tilts(t), stack=f"tomogram {t.name!r}", name=t.name
    )


def _tilts(t: Tomogram) -> Array | None:
    """The stage's angles, or those of the alignment, if any are known [deg]."""
    if t.nominal_tilts is not None or (t.projections is None and t.alignment is None):
        return t.nominal_tilts
    return t.tilt_angles


def defocus_texts(t: Tomogram) -> tuple[str, str]:
    """Tables as of CTFFIND and of ctfplotter, for the images in the order of the set.

    Raises
    ------
    ModelError
        If it has no defocus.
    """
    t.need_defocus()
    table = defocus_of(t)
    assert table is not None
    return ctffind_text(table, t.optics, t.stack or t.name), ctfplotter_text(table, t.tilt_angles)


def defocus_of(t: Tomogram) -> DefocusTable | None:
    """What a table says of a tomogram, the larger defocus first; None where it has none."""
    if t.defocus_u is None or t.defocus_v is None:
        return None
    angles = np.zeros(t.n_tilts) if t.defocus_angle is None else t.defocus_angle
    u, v, angles = larger_first(t.defocus_u, t.defocus_v, angles)
    return DefocusTable(
        path="",
        u=u,
        v=v,
        angle=angles,
        phase_shift=t.phase_shift,
        score=t.ctf_figure_of_merit,
        resolution=t.ctf_max_resolution,
    )
