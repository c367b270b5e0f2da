"""Rules of names, and of the files that a set names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tomoset.errors import TomosetError
from tomoset.formats._files import find_file
from tomoset.images.mrc import stack_path
from tomoset.images.stack import open_stack, read_header
from tomoset.model import Tomogram, TomogramSet
from tomoset.model.rules import Found


def empty(tomograms: TomogramSet) -> Found:
    if not tomograms:
        yield None, "the set holds no tomogram"


def similar_names(tomograms: TomogramSet) -> Found:
    lower = Counter(name.lower() for name in tomograms)
    for name in tomograms:
        if lower[name.lower()] > 1:
            yield name, "the name differs from another one only in upper and lower case"


def odd_name(t: Tomogram) -> str | None:
    odd = sorted({c for c in t.name if not (c.isalnum() or c in "_-.")})
    if odd:
        return f"the name holds {' '.join(map(repr, odd))}, which becomes part of file names"
    try:
        float(t.name)
    except ValueError:
        return None
    return "the name is a number, which Python's STAR readers change (001 becomes 1)"


def images(tomograms: TomogramSet) -> Found:
    for name, t in tomograms.items():
        if t.stack is None and t.images is None:
            yield name, "no tilt images are named"
        elif t.image_size is None:
            file = t.stack or (t.images or ("",))[0].rpartition("@")[2]
            found = _found(tomograms, stack_path(file))
            what = f"image stack {t.stack} is" if t.images is None else "tilt images are"
            problem = f"the {what} not there" if found is None else _problem(found)
            if problem is not None:
                yield name, problem


def _problem(stack: Path) -> str | None:
    """Why a file of images cannot be read as a whole."""
    try:
        open_stack(stack).close()
    except TomosetError as problem:
        return str(problem)
    return None


def _found(tomograms: TomogramSet, name: str) -> Path | None:
    """A file that the set names, looked for as the reader does."""
    return find_file(name, getattr(tomograms.source, "path", None))


def fiducials(tomograms: TomogramSet) -> Found:
    for name, t in tomograms.items():
        if t.fiducials is not None and _found(tomograms, t.fiducials) is None:
            yield name, f"the file of fiducials {t.fiducials} is not there"


def short_stack(tomograms: TomogramSet) -> Found:
    for name, t in tomograms.items():
        stack = None if t.stack is None else _found(tomograms, stack_path(t.stack))
        if stack is None or t.image_size is None:
            continue
        if (problem := _problem(stack)) is not None:
            yield name, problem


def volumes(tomograms: TomogramSet) -> Found:
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
        return read_header(path).pixel_size
    except TomosetError:
        return 0.0
