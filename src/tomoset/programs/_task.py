"""What the job of one tomogram knows, and what its result is of."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tomoset.errors import MissingFileError, ModelError
from tomoset.figures import save
from tomoset.files import stamp
from tomoset.images.tilt_series import TiltSeries
from tomoset.model import Fiducials, Tomogram
from tomoset.model._tomogram_fields import PER_TILT
from tomoset.programs._results import encode
from tomoset.project import fiducials_file, fiducials_of
from tomoset.run import Need, Resources

if TYPE_CHECKING:
    from matplotlib.figure import Figure

O = TypeVar("O")  # noqa: E741 - options

#: An image and its transforms, filtered and not, in single and double precision.
_FORMS = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Task(Generic[O]):
    """What one process needs to do the work of a program on one tomogram.

    Parameters
    ----------
    tomogram : Tomogram
        As the set has it.
    options : object
        What is wanted, as the program defines it.
    inputs : object
        What the program needs of this tomogram besides, such as its particles; maybe None.
    resources : Resources
        Threads, device and memory that may be used.
    folder : str or None
        Where files go; None: none are written.
    file_name : str
        The tomogram's name, as files can have it.
    format : str
        Of the set that is written, and of its fiducials.
    beads : Fiducials or None
        Those of the project, where the tomogram names no file of them.
    shared_images : str or None
        Which images stand for several tilts, of this tomogram or of others.
    root : str
        Folder in which the program was started, absolute: where relative paths begin, also on
        another machine.
    """

    tomogram: Tomogram
    options: O
    inputs: Any
    resources: Resources
    folder: str | None
    file_name: str
    format: str
    beads: Fiducials | None = None
    shared_images: str | None = None
    root: str = field(default_factory=os.getcwd)

    def target(self, pattern: str) -> str:
        """Path of a file in the folder, its name made of the tomogram's."""
        if self.folder is None:
            raise ModelError("no file is to be written: there is no folder for it")
        return os.path.join(self.folder, pattern.replace("{name}", self.file_name))

    def draw(self, pattern: str, figure: Callable[[], Figure]) -> tuple[str, ...]:
        """Draw a figure beside what else is written, if one is wanted.

        Parameters
        ----------
        pattern : str
            Name of its file, without an ending.
        figure : callable
            Makes it.

        Returns
        -------
        tuple of str
            Its path, or nothing.
        """
        if self.resources.figures == "none":
            return ()
        (path,) = self.figures(pattern)
        save(figure(), path)
        return (path,)

    def figures(self, *patterns: str) -> list[str]:
        """Paths of figures, if any are drawn."""
        kind = self.resources.figures
        return [] if kind == "none" else [f"{self.target(p)}.{kind}" for p in patterns]

    def images(self, sections: Sequence[tuple[str, int]] | None = None) -> TiltSeries:
        """The tilt images, or other sections, if they can show the tomogram.

        Raises
        ------
        ModelError
            If images stand for several tilts: what is made of them would be of none.
        TomosetError
            As `Tomogram.open_images`.
        """
        if self.shared_images is not None:
            raise ModelError(
                f"tomogram {self.tomogram.name!r}: {self.shared_images}; each tilt needs an image "
                "of its own: correct the set, or leave the tomogram out (tomoset check lists all)"
            )
        images = self.tomogram.open_images(sections)
        try:
            images.refuse_boundless(self.tomogram.size)
        except BaseException:
            images.__exit__(ModelError)
            raise
        return images

    def fiducials(self) -> Fiducials | None:
        """The fiducials that the set names, read, or else those of the project."""
        if self.tomogram.fiducials is None:
            return self.beads
        return fiducials_of(self.tomogram, self.format)


def need_of_images(task: Task[O]) -> Need:
    """What work takes that has a few images in memory, and several forms of each."""
    with task.images() as series:
        width, height = series.size
    return Need(
        memory=4 * _FORMS * width * height * (1 + task.resources.threads),
        cure="take fewer threads (--j)",
    )


def in_folder(root: str) -> contextlib.AbstractContextManager[None]:
    """Work where the program was started: a worker of a cluster may be elsewhere.

    Raises
    ------
    MissingFileError
        If that folder is not there.
    """
    if not os.path.isdir(root):
        raise MissingFileError(
            f"the folder {root}, where the program was started, is not there on "
            f"{socket.gethostname()}: all machines need to see the same files"
        )
    return contextlib.nullcontext() if os.getcwd() == root else contextlib.chdir(root)


def use_threads(threads: int) -> None:
    """Have compiled kernels run in so many threads, or in all there are if those are fewer."""
    import numba

    most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    numba.set_num_threads(min(threads, most))


def contents(paths: Iterable[str]) -> dict[str, list[str | int] | None]:
    """Size and content of each file that was made, as `stamp` looks at it; None of a folder."""
    return {path: None if os.path.isdir(path) else stamp(path)[::2] for path in paths}


def identity(task: Task[O]) -> str:
    """A hash of images, alignment, CTF and doses: what is made is of these, whatever the options.

    Raises
    ------
    TomosetError, OSError
        If images are not there, or do not fit.
    """
    t = task.tomogram
    with task.images() as series:
        images = _image_stamps(series)
    arrays = [t.projections, t.depth_origin, *(getattr(t, field) for field in PER_TILT)]
    if t.alignment is not None:
        arrays += [t.alignment.angles, t.alignment.shifts]
    deformation: list[object] = []
    if t.deformation is not None:
        arrays += [t.deformation.coefficients]
        deformation = [t.deformation.kind, t.deformation.grid]
    text = hashlib.sha256()
    for array in arrays:
        text.update(b"none" if array is None else array.tobytes())
    said = [t.size, t.hand, t.defocus_slope, asdict(t.optics), deformation, images]
    text.update(repr(said).encode())
    return text.hexdigest()


def identity_with_fiducials(task: Task[O]) -> str:
    """The same, and the file of fiducials that the set names, or those of the project."""
    file, beads = fiducials_file(task.tomogram), None
    if file is not None:
        beads = stamp(file)
    elif task.beads is not None:
        beads = encode(replace(task.beads, source=None))
    return hashlib.sha256(repr([identity(task), beads]).encode()).hexdigest()


def half_stamps(task: Task[O]) -> list[list[str | int]]:
    """What the images of each half of the frames are, where the set names them.

    Raises
    ------
    TomosetError, OSError
        As `identity`.
    """
    stamps = []
    for sections in task.tomogram.half_sections():
        with task.images(sections) as series:
            stamps += _image_stamps(series)
    return stamps


def _image_stamps(series: TiltSeries) -> list[list[str | int]]:
    """What each image is, however its path is spelled: what its file is, and its section."""
    files = {path: stamp(path) for path, _ in series.sections}
    return [[*files[path], section] for path, section in series.sections]
