"""Rules of names, and of the files that a set names."""

from __future__ import annotations

import os
from collections import Counter

from tomoset.check._axis import contradicted_axis
from tomoset.check._rings import contradicted_defocus
from tomoset.errors import TomosetError, some_of
from tomoset.formats import bare
from tomoset.images.mrc import stack_path
from tomoset.images.stack import open_stack, read_header
from tomoset.model import Tomogram, TomogramSet
from tomoset.model.image_use import used_twice
from tomoset.model.rules import Found
from tomoset.paths import from_here


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
        if t.image_size is None and (file := _first_file(t)) is not None:
            what = f"image stack {t.stack} is" if t.images is None else "tilt images are"
            if not os.path.isfile(stack_path(file)):
                yield name, f"the {what} not there"


def no_images(t: Tomogram) -> str | None:
    named = _first_file(t) is not None or t.movies is not None
    return None if named else "no tilt images are named"


def movies_only(t: Tomogram) -> str | None:
    only = _first_file(t) is None and t.movies is not None
    return "movies are named, no tilt images yet" if only else None


def _first_file(t: Tomogram) -> str | None:
    """One of the files of the tilt images, as it is named."""
    return t.stack if t.images is None else t.images[0].rpartition("@")[2]


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
        file = t.stack if t.image_size is not None else _first_file(t)
        there = file is not None and os.path.isfile(stack_path(file))
        if there and (problem := _problem(file or "")) is not None:
            yield name, problem


def images_twice(tomograms: TomogramSet) -> Found:
    yield from used_twice(tomograms, "image")
    yield from used_twice(tomograms, "movie")


def odd_images(tomograms: TomogramSet) -> Found:
    """Every image is read: whether it can be, and what it looks like."""
    for name, t in tomograms.items():
        if t.image_size is None:
            continue  # they are not there, which another rule says
        try:
            with t.open_images() as series:
                for i in range(len(series)):
                    series.read(i)
                remarks = series.remarks()
                if (axis := contradicted_axis(t, series)) is not None:
                    remarks.append(axis)
                series.remarks()  # which are said
        except TomosetError as problem:
            remarks = [str(problem)]
        yield from ((name, remark) for remark in remarks)


def odd_defocus(tomograms: TomogramSet) -> Found:
    """Some images of each series are read: whether their rings are those of the table."""
    for name, t in tomograms.items():
        if t.image_size is None:
            continue
        try:
            with t.open_images() as series:
                said = contradicted_defocus(t, series)
                series.remarks()  # which another rule says
        except TomosetError:
            continue  # that too
        if said is not None:
            yield name, said


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


def half_images(t: Tomogram) -> str | None:
    if t.half_images is None or all(t.half_images):
        return None
    which = "even" if not t.half_images[0] else "odd"
    return f"there are no images of the {which} frames, those of the others are named"


def absolute_paths(t: Tomogram) -> str | None:
    bad = [path for path in own_paths(t) if os.path.isabs(path) and from_here(path) != path]
    return f"{some_of(bad, 2)} could be relative to the working folder" if bad else None


def own_paths(t: Tomogram) -> list[str]:
    """Paths of files, one by one, as the set names them; single images by the first."""
    made = t.reconstruction
    volumes = () if made is None else (made.path, made.half1, made.half2)
    first = None if not t.images else t.images[0].rpartition("@")[2]
    return [path for path in (t.stack, first, t.fiducials, *volumes) if path]


def names_of_others(tomograms: TomogramSet) -> Found:
    """Files whose name is that of another tomogram, and not of their own."""
    others = {bare(name): name for name in tomograms}
    for name, t in tomograms.items():
        for path in own_paths(t) if t.images is None else ():
            meant = others.get(bare(path))
            if meant is not None and bare(meant) != bare(name):
                yield name, f"{path} is called like {meant}"


def header_pixels(tomograms: TomogramSet) -> Found:
    """Stacks whose header has half or twice the pixel size: they are binned, or the set is."""
    for name, t in tomograms.items():
        file = _first_file(t)
        if t.optics.pixel_size is None or t.image_size is None or file is None:
            continue
        ratio = _voxel_size(stack_path(file)) / t.optics.pixel_size
        if any(abs(ratio / factor - 1) < 0.01 for factor in (0.25, 0.5, 2, 4, 8)):
            theirs, own = ratio * t.optics.pixel_size, t.optics.pixel_size
            yield name, f"the header of {file} has pixels of {theirs:.4g} Å, the set {own:.4g} Å"
