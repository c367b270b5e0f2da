"""The files of a report: one page, or an overview with a page of each series beside it."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from markupsafe import Markup

from tomoset.errors import TomosetError, TomosetWarning
from tomoset.files import Guard, atomic_folder, together, write
from tomoset.model import Project
from tomoset.model.io import StrPath
from tomoset.report._columns import SERIES, known_columns, table
from tomoset.report._gather import Gathered, Series, gather
from tomoset.report._page import Pages
from tomoset.report._paths import Shortened
from tomoset.report._pictures import thumbnail
from tomoset.report._sections import Pictures, pictures, sections
from tomoset.run import VERSION

#: Up to so many series all is one file; with more, each has a page beside the overview.
ONE_FILE = 200
#: Bytes that one file of many series may have, what a strip of all tilt images takes of them at
#: least and at most, what the first series is taken to need besides, and a row of the table takes.
_FILE, _LEAST, _MOST, _REST, _ROW = 9_400_000, 8_000, 400_000, 72_000, 6_000
#: Tilt images, and bytes of them, that are read without being asked for.
_IMAGES, _READ = 20_000, 8 << 30
#: With more series than these pictures are smaller: of the table, and of the page of a series [px].
_MANY = 40
_THUMBS, _LARGE = ((_MANY, 80), (1000, 64), (10**9, 44)), (320, 144)
#: Rows of the table that are shown at once, as the script has it.
_PAGE = 100
#: By this a report is known as ours, in the first bytes of a page.
_MARK = b'<meta name="generator" content="tomoset'

Images = Literal["all", "central", "none"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is in a report.

    Parameters
    ----------
    compare : str, optional
        An older set, whose alignment and CTF are shown beside.
    results : tuple of str
        Folders of further results of programs.
    images : {"all", "central", "none"}, optional
        Which tilt images are shown; None: all, if they are no more than 20,000 and 8 GB, else
        central ones.
    paths : bool
        Whether absolute paths stay in texts.
    overwrite : bool
        Whether another file may be replaced than an earlier report.
    """

    compare: str | None = None
    results: tuple[str, ...] = ()
    images: Images | None = None
    paths: bool = False
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was written.

    Parameters
    ----------
    path : str
        Of the page that is to be opened.
    pages : str or None
        The folder of the pages of single series, if they are not in it.
    series : int
        How many are shown.
    size : int
        Of the page that is to be opened [bytes].
    failures : tuple of str
        Series that could not be read, and why.
    remarks : tuple of str
        What else could not be read.
    """

    path: str
    pages: str | None
    series: int
    size: int
    failures: tuple[str, ...]
    remarks: tuple[str, ...]


def write_report(path: StrPath, target: StrPath, options: Options | None = None) -> Report:
    """Write what is known of a set as a page that opens anywhere, offline.

    Parameters
    ----------
    path : path-like
        A tomogram set, an optimisation set, or a folder with one.
    target : path-like
        The page. With more than 200 series it is an overview, and the pages of single series are
        in a folder beside it, called like it.
    options : Options, optional
        What is in it.

    Returns
    -------
    Report

    Raises
    ------
    TomosetError
        If the set is not there or is none, the older set cannot be read, or another file is there.

    Examples
    --------
    >>> import tempfile
    >>> made = write_report("tomograms.star", os.path.join(tempfile.mkdtemp(), "report.html"))
    >>> made.series, made.pages, made.failures
    (1, None, ())
    """
    wanted = options or Options()
    target = os.fspath(target)
    with _noted() as said:
        found = gather(path, wanted.compare, wanted.results)
    found.remarks.extend(said)
    folder = os.path.splitext(target)[0] + "_files"
    paged = len(found.project.tomograms) > ONE_FILE
    guard = Guard(found.project.named_files, overwrite=wanted.overwrite, ours=_is_ours)
    guard.refuse(target)
    with together(guard):
        maker = _Maker(found, wanted, target, folder if paged else None)
        page = maker.overview().encode("utf-8", "replace")
        write(target, page)
    return Report(
        path=target,
        pages=folder if paged else None,
        series=len(found.project.tomograms),
        size=len(page),
        failures=tuple(f"{name}: {why}" for name, why in found.failures),
        remarks=tuple(found.all_remarks),
    )


@contextlib.contextmanager
def _noted() -> Iterator[list[str]]:
    """What is warned of while a set is read, which the page tells too; it goes on as warnings."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield said
    said += dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, TomosetWarning))
    for one in caught:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def _is_ours(path: str) -> bool:
    """Whether a page, or a folder of pages, is of an earlier report."""
    page = Path(path, "s1.html") if os.path.isdir(path) else Path(path)
    try:
        with page.open("rb") as stream:
            return _MARK in stream.read(1000)
    except OSError:
        return False


class _Maker:
    """Makes the pages of a report, a series at a time."""

    def __init__(self, found: Gathered, wanted: Options, target: str, folder: str | None) -> None:
        self._found, self._wanted, self._folder = found, wanted, folder
        self._n = len(found.project.tomograms)
        self._images: Images = wanted.images or _affordable(found.project)
        self._pages = Pages(
            Shortened(_known_paths(found), keep=wanted.paths),
            version=VERSION,
            of=os.path.relpath(found.project.tomograms.path or found.path),
            n_series=self._n,
            paged=folder is not None,
            home=Markup("") if folder is None else _up(target),
        )
        self._thumb = next(size for most, size in _THUMBS if self._n <= most)
        self._crowded = folder is None and self._n > _MANY
        self._rest = _REST

    def overview(self) -> str:
        """The page that is opened; pages of single series are written on the way."""
        rows, articles = list[dict[str, Any]](), list[Markup]()
        with contextlib.ExitStack() as exits:
            place = None
            if self._folder is not None:
                place = exits.enter_context(atomic_folder(self._folder))
            with _noted() as said:
                for i, series in enumerate(self._found.series(), 1):
                    shown = self._pictures(series)
                    article = self._article(series, i, shown)
                    self._rest = _ROW + len(article) - shown.strip_bytes
                    rows.append(self._row(series, i, shown))
                    if place is None:
                        articles.append(article)
                    else:
                        text = self._pages.page("single.html", "report.js", article=article,
                                                name=series.name)  # fmt: skip
                        (place / f"s{i}.html").write_bytes(text.encode("utf-8", "replace"))
            self._found.remarks.extend(said)
        values = [row["values"] for row in rows]
        columns = known_columns(SERIES, values)
        for row, cells in zip(rows, table(columns, values), strict=True):
            row["cells"] = cells
        return self._pages.page(
            "overview.html",
            "report.js",
            found=self._found,
            columns=columns,
            rows=rows,
            articles=articles,
            plots=_plots(columns),
            page=_PAGE,
            images=self._images,
        )

    @property
    def _room(self) -> int:
        """Bytes that a strip may take, if the rest of a series takes what it took before."""
        room = _FILE // max(self._n, 1) - self._rest
        return min(max(room, _LEAST), _MOST) if self._folder is None else _MOST

    def _pictures(self, series: Series) -> Pictures:
        return pictures(
            series,
            _LARGE[self._crowded],
            self._room,
            central=self._images != "none",
            all_tilts=self._images == "all",
        )

    def _row(self, series: Series, i: int, shown: Pictures) -> dict[str, Any]:
        """A row of the table: pictures, and what its numbers are made of."""
        pages = "" if self._folder is None else quote(os.path.basename(self._folder))
        link = f"#s{i}" if self._folder is None else f"{pages}/s{i}.html"
        return {
            "name": series.name,
            "link": link,
            "tilt": thumbnail(shown.tilt, self._thumb),
            "slice": thumbnail(shown.slice, self._thumb),
            "values": series.row,
        }

    def _article(self, series: Series, i: int, shown: Pictures) -> Markup:
        """The page of a series, or what stands in its place."""
        given: dict[str, Any] = {"name": series.name, "number": i, "failed": None, "sections": []}
        try:
            given["sections"] = sections(series, shown)
        except (TomosetError, ArithmeticError, LookupError, OSError, ValueError) as problem:
            given["failed"] = str(problem)  # of this one; the others are shown
        return self._pages.part("series.html", **given)


def _plots(columns: Any) -> list[str]:
    """What is drawn over the set until somebody chooses: the first of these that are known."""
    keys = [column.key for column in columns]
    wanted = ("residual", "leave_out", "largest_shift", "axis", "defocus", "tilts", "dose")
    return [key for key in wanted if key in keys][:4]


def _affordable(project: Project) -> Images:
    """All tilt images, if they are not more than may be read without being asked for."""
    total = 0
    if sum(t.n_tilts for t in project.tomograms.values()) > _IMAGES:
        return "central"
    for t in project.tomograms.values():
        with contextlib.suppress(TomosetError, OSError):
            paths = dict.fromkeys(path for path, _ in t.image_sections())
            total += sum(os.path.getsize(path) for path in paths)
        if total > _READ:
            return "central"
    return "all"


def _known_paths(found: Gathered) -> Iterator[str]:
    yield os.path.join(os.getcwd(), "here")
    yield os.path.abspath(found.path)
    yield os.path.join(os.path.expanduser("~"), "here")
    yield from found.project.named_files()


def _up(target: str) -> Markup:
    return Markup("../{}").format(quote(os.path.basename(target)))
