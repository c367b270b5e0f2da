"""Rules of names, and of the files that a set names."""

from __future__ import annotations

import os
from collections import Counter

from tomoset.errors import TomosetError
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
            what = f"image stack {t.stack} is" if t.images is None else "tilt images are"
            there = os.path.isfile(stack_path(file))
            problem = _problem(file) if there else f"the {what} not there"
            if problem is not None:
                yield name, problem


def _problem(stack: str) -> str | None:
    """Why a file of images cannot be read as a whole."""
    try:
        open_stack(stack_path(stack)).close()
    except TomosetError as problem:
        return str(problem)
    return None


def fiducials(tomograms: TomogramSet) -> Found:
    for name, t in tomograms.items():
        if t.fiducials is not None and not os.path.isfile(t.fiducials):
            yield name, f"the file of fiducials {t.fiducials} is not there"


def short_stack(tomograms: TomogramSet) -> Found:
    for name, t in tomograms.items():
        there = t.stack is not None and os.path.isfile(stack_path(t.stack))
        if there and t.image_size is not None and (problem := _problem(t.stack or "")) is not None:
            yield name, problem


def volumes(tomograms: TomogramSet) -> Found:
    for name, t in tomograms.items():
        made = t.reconstruction
        named = () if made is None else (made.path, made.half1, made.half2)
        for path in (path for path in named if path is not None):
            if not os.path.exists(path):  # OME-Zarr is a folder
                yield name, f"the volume {path} is not there"
            elif os.path.isfile(path) and made is not None and t.optics.pixel_size is not None:
                has, should = _voxel_size(path), made.binning * t.optics.pixel_size
                if has and abs(has / should - 1) > 0.01:
                    yield name, f"voxels of {path} have {has:.4g} Å, the set says {should:.4g} Å"


def _voxel_size(path: str) -> float:
    try:
        return read_header(path).pixel_size
    except TomosetError:
        return 0.0
