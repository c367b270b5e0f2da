"""``align images``: alignments by the images alone, without markers."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry, star
from tomoset.align import PARAMETERS
from tomoset.align.images.align import align
from tomoset.align.images.level import inclination, levelled
from tomoset.align.images.prepare import WORKING
from tomoset.align.images.report import alignment_to_star
from tomoset.align.images.result import UNKNOWN, ImageFit, ImageOptions
from tomoset.align.images.start_projections import by_nominal_tilts, known_axis, started
from tomoset.errors import AssumptionWarning, LossyWarning, ModelError, UnsupportedError
from tomoset.figures import alignment_by_images
from tomoset.formats import format_named
from tomoset.images.tilt_series import TiltSeries, tilt_images
from tomoset.model import Tomogram, TomogramSet
from tomoset.programs._linked import follow_images, follow_motions
from tomoset.programs._program import Done, Program, Result, documented
from tomoset.programs._request import Request, StrPath
from tomoset.programs._results import BULK
from tomoset.programs._task import Task, need_of_images
from tomoset.programs._words import count, rounded
from tomoset.project import Project
from tomoset.project.transform import transform_tomogram
from tomoset.run import Need, Resources, wanted

Array = npt.NDArray[np.float64]

#: Forms in which all images are in memory at once, at the working pixel.
_FORMS = 15
#: What a rigid alignment may lose without a word [px].
_LITTLE = 0.05


@documented(ImageOptions)
def align_images(
    tomograms: TomogramSet | Project,
    folder: StrPath,
    options: ImageOptions | None = None,
    *,
    resources: Resources | None = None,
    names: Sequence[str] = (),
    **by_name: Any,
) -> AlignmentDone:
    """Align the tomograms of a set by their images alone, and write the set with that alignment.

    Parameters
    ----------
    tomograms : TomogramSet or Project
        As it was read, aligned or with nominal tilts. Links of a project's optimisation set go on
        in a new one.
    folder : path-like
        Made when missing. The set goes to ``tomograms.star``, what is to be known of an alignment
        to ``alignment_NAME.star``, figures to ``NAME.png``, links to ``optimisation_set.star``;
        where tomograms are rotated, sets that go along to ``particles.star``, ``manifolds.star``
        and ``motion.star``, and the matrices to ``transforms.star``.
    options : ImageOptions, optional
        What is known of axis and specimen.
    {running}

    Returns
    -------
    AlignmentDone
        A tomogram whose images do not support an alignment fails, and keeps the one it has.

    Raises
    ------
    {refusals}

    Examples
    --------
    >>> import tomoset
    >>> tomograms = tomoset.read("tomograms.star")
    >>> done = tomoset.align_images(tomograms, "Aligned", level=True)  # doctest: +SKIP
    >>> done.results["TS_01"].fit.thickness  # doctest: +SKIP
    1480.0
    """
    chosen, where = wanted(ImageOptions, options, resources, by_name)
    if where.device != "cpu":
        raise UnsupportedError(
            f"alignment by images is computed by the processor alone, not by {where.device!r}: "
            "leave out the device (`device`)"
        )
    request = Request.of(tomograms, folder, chosen, where, names)
    follow = follow_motions if chosen.level else follow_images
    project, may_write = follow(request.project, os.fspath(folder))
    done = replace(request, project=project).carry_out(PROGRAM, may_write=may_write)
    return AlignmentDone(**vars(done))


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageNumbers:
    """What an alignment by images found, and how well it is known.

    Parameters
    ----------
    expected, expected_nm : float
        How well projections are known, but for a common motion: rms [px], [nm].
    moved : float
        By how much they changed, but for a common motion: median [px].
    axis, axis_error, axis_before : float
        Direction of the tilt axis, its standard deviation, and what it was before; that is none if
        nobody knew [deg].
    thickness, thickness_error : float
        Of the specimen, and its standard deviation [Å].
    inclination, inclination_error : (float, float)
        Of its middle plane in the tomogram before it is made level, about y and about x, and
        standard deviations [deg]; NaN about y for a body that is seen whole.
    predicted : float
        Correlation coefficient of an image and what the others predict of it: median.
    working_pixel : float
        Of the images as they were compared [Å].
    signal : float
        Ratio of signal to noise at that pixel: median.
    """

    expected: float
    expected_nm: float
    moved: float
    axis: float
    axis_error: float
    axis_before: float | None
    thickness: float
    thickness_error: float
    inclination: tuple[float, float]
    inclination_error: tuple[float, float]
    predicted: float
    working_pixel: float
    signal: float


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignedByImages(Result):
    """An alignment by images alone.

    Parameters
    ----------
    fit : ImageNumbers
    images : int
        Tilt images that it is of.
    unused : dict of str to str
        Tilt images, from 1, that show nothing to align by, and why: the new set keeps them aside.
    doubtful : dict of str to str
        Tilt images, from 1, whose place the others do not confirm, and why.
    level : (float, float) or None
        The specimen's inclination [deg] and its standard deviation, if it was asked for.
    motion : (4, 4) array or None
        By which the tomogram is made level and centred: from old voxels to new ones.
    rigid_loss : float or None
        How far projections are from what was found, as the format of the set knows rigid ones
        only: most of all, in the middle plane [px].
    size : (int, int, int)
        Of the tomogram [bin-1 px].
    image_size : (int, int)
        Of the tilt images [px].
    projections : (n_tilts, 4, 4) array
        In the frame of before.
    deviations : dict
        (n_tilts,) standard deviations, NaN where an image was not used.
    support, rival, predicted : (n_tilts,) arrays
        As `tomoset.align.images.result.ImageFit` has them.
    """

    fit: ImageNumbers
    images: int
    unused: dict[str, str]
    doubtful: dict[str, str]
    level: tuple[float, float] | None
    motion: Array | None
    rigid_loss: float | None
    size: tuple[int, int, int]
    image_size: tuple[int, int]
    projections: Array = field(metadata=BULK)
    deviations: dict[str, Array] = field(metadata=BULK)
    support: Array = field(metadata=BULK)
    rival: Array = field(metadata=BULK)
    predicted: Array = field(metadata=BULK)


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignmentDone(Done[AlignedByImages]):
    """What became of a set that was aligned by its images."""

    def ending(self) -> Sequence[str]:
        """Where the set is, and what an alignment cannot know."""
        if self.path is None:
            return super().ending()
        hand = f"the hand is not known from this: tomoset hand {self.path}"
        return [*super().ending(), hand]


def _run(task: Task[ImageOptions]) -> AlignedByImages:
    """Align a tomogram by its images, and write what is to be known of it."""
    options = _sayable(task.tomogram, task.options)
    axis_before = known_axis(task.tomogram)
    with task.images() as images:
        tomogram = started(task.tomogram, images.size, options)
        fit = align(tomogram, images, options, task.resources.threads)
        fit, rigid_loss = _as_format(task, tomogram, fit)
        _tell(tomogram, fit)
        files = _write_report(task, tomogram, fit, images)
    middle = (np.array(tomogram.need_size(), np.float64) - 1) / 2
    level = task.options.level
    return AlignedByImages(
        fit=_numbers(tomogram, fit, axis_before),
        images=tomogram.n_tilts - len(fit.unused),
        unused=_from_one(fit.unused),
        doubtful=_from_one(fit.doubtful),
        level=inclination(fit) if level else None,
        motion=levelled(fit, middle) if level else None,
        rigid_loss=rigid_loss,
        size=tomogram.need_size(),
        image_size=images.size,
        projections=fit.projections,
        deviations={name: rounded(values) for name, values in fit.deviations.items()},
        support=fit.support,
        rival=fit.rival,
        predicted=fit.predicted,
        files=tuple(files),
    )


def _sayable(tomogram: Tomogram, options: ImageOptions) -> ImageOptions:
    """An axis that neither the user nor the set says is unknown."""
    if options.axis is not None or known_axis(tomogram) is not None:
        return options
    warnings.warn(
        f"tomogram {tomogram.name!r}: nothing says the direction of its tilt axis, so it is "
        "searched in all directions; give it if you know it (`axis`)",
        AssumptionWarning,
        stacklevel=4,
    )
    return replace(options, axis=UNKNOWN)


def _as_format(
    task: Task[ImageOptions], tomogram: Tomogram, fit: ImageFit
) -> tuple[ImageFit, float | None]:
    """The alignment as the format of the set can say it, and what that loses [px]."""
    if format_named(task.format).can("magnification"):
        return fit, None
    size, image_size = tomogram.need_size(), tomogram.need_image_size()
    angles, shifts = geometry.rigid_parameters(fit.projections, size=size, image_size=image_size)
    rigid = geometry.rigid_projections(angles, shifts, size=size, image_size=image_size)
    flat = geometry.apply(
        geometry.translation((0.0, 0.0, (size[2] - 1) / 2)), geometry.corners((*size[:2], 1))
    )
    used = [i for i in range(tomogram.n_tilts) if i not in fit.unused]
    loss = float(geometry.rigid_loss(fit.projections[used], rigid[used], flat).max())
    if loss > _LITTLE:
        warnings.warn(
            f"tomogram {tomogram.name!r}: {format_named(task.format).package} knows rigid "
            f"alignments only, and the magnifications that were found are lost: {loss:.2f} px at "
            "the corners, at most; other formats keep them (tomoset convert SET DST --to FORMAT)",
            LossyWarning,
            stacklevel=4,
        )
    known = {name: of for name, of in fit.deviations.items() if name != "magnification"}
    return replace(fit, projections=rigid, deviations=known), loss


def _tell(tomogram: Tomogram, fit: ImageFit) -> None:
    """Warn of images that are out, and of those whose place is in doubt."""
    said = (
        (fit.unused, "nothing to align by, so kept aside (tomoset include puts them back)"),
        (fit.doubtful, "the other images do not confirm where they are; look at them"),
    )
    for which, what in said:
        if which:
            reasons = ", ".join(dict.fromkeys(which[i] for i in sorted(which)))
            warnings.warn(
                f"tomogram {tomogram.name!r}, {tilt_images(sorted(which))}: {what}: {reasons}",
                AssumptionWarning,
                stacklevel=4,
            )


def _write_report(
    task: Task[ImageOptions], tomogram: Tomogram, fit: ImageFit, images: TiltSeries
) -> list[str]:
    """Write report and figure; their paths."""
    better = replace(tomogram, projections=fit.projections, alignment=None)
    path = task.target("alignment_{name}.star")
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    star.write(alignment_to_star(better, fit), path)
    return [path, *task.draw("{name}", lambda: alignment_by_images(better, fit, images))]


def _numbers(tomogram: Tomogram, fit: ImageFit, axis_before: float | None) -> ImageNumbers:
    same = ("expected", "moved", "axis", "axis_error", "thickness", "thickness_error")
    also = ("inclination", "inclination_error", "working_pixel", "signal")
    seen = fit.predicted[np.isfinite(fit.predicted)]
    return ImageNumbers(
        **{name: getattr(fit, name) for name in (*same, *also)},
        expected_nm=fit.expected * tomogram.need_pixel_size() / 10,
        axis_before=axis_before,
        predicted=float(np.median(seen)) if len(seen) else float("nan"),
    )


def _from_one(which: Mapping[int, str]) -> dict[str, str]:
    return {str(i + 1): which[i] for i in sorted(which)}


def _updated(tomogram: Tomogram, result: AlignedByImages) -> Tomogram:
    """The tomogram with its new alignment, and how sure that is."""
    if tomogram.projections is None and tomogram.alignment is None:
        # Images that are out already can come back only if they have an alignment too.
        tomogram = tomogram.with_excluded(lambda tilt: _nominal(tilt, result.fit.axis))
    aligned = replace(tomogram, size=result.size, image_size=result.image_size)
    aligned = aligned.with_excluded(lambda tilt: tilt.placed(result.size, result.image_size))
    aligned = replace(aligned, projections=result.projections, alignment=None)
    if result.motion is not None:
        aligned = transform_tomogram(aligned, result.motion)
    kept = {k: v for k, v in aligned.deviations.items() if k not in PARAMETERS}
    return replace(aligned, deviations=kept | result.deviations)


def _nominal(tilt: Tomogram, axis: float) -> Tomogram:
    try:
        return by_nominal_tilts(tilt, axis)
    except ModelError:
        return tilt  # it stays out


def _taken_out(result: AlignedByImages) -> dict[int, str]:
    return {int(number) - 1: why for number, why in result.unused.items()}


def _lines(result: AlignedByImages) -> Iterator[str]:
    """What changed, how well it is known, and what remains in doubt."""
    fit = result.fit
    yield (
        f"{count(result.images, 'image')} aligned, moved by {fit.moved:.2f} px; known to "
        f"{fit.expected:.2f} px ({fit.expected_nm:.2f} nm), but for a common motion"
    )
    before = "not known before" if fit.axis_before is None else f"{fit.axis_before:.2f} before"
    yield f"tilt axis at {fit.axis:.2f} degrees (+- {fit.axis_error:.2f}; {before})"
    (about_y, about_x), (error_y, error_x) = fit.inclination, fit.inclination_error
    thick = f"{fit.thickness / 10:.0f} nm thick (+- {fit.thickness_error / 10:.0f})"
    across = f"{about_x:.2f} degrees (+- {error_x:.2f}) across"
    if np.isnan(about_y):
        yield f"a body seen whole, {thick}, inclined by {across}"
    else:
        yield (
            f"specimen {thick}, inclined by {about_y:.2f} degrees (+- {error_y:.2f}) about the "
            f"axis, {across}"
        )
    yield (
        f"an image correlates to {fit.predicted:.2f} with what the others predict; signal to "
        f"noise {fit.signal:.2g} at {fit.working_pixel:.3g} Å/px"
    )
    for what, which in (("not used", result.unused), ("in doubt", result.doubtful)):
        if which:
            yield f"{what}: " + ", ".join(f"{number} ({why})" for number, why in which.items())
    if result.level is not None:
        yield _level_line(*result.level, result.motion)


def _level_line(angle: float, error: float, motion: Array | None) -> str:
    inclined = f"{angle:.2f} degrees (+- {error:.2f})"
    if motion is None:
        return f"not rotated: inclined by {inclined}, which is nothing to be sure of"
    if np.array_equal(motion[:3, :3], np.eye(3)):
        return (
            f"shifted by {motion[2, 3]:.1f} px to the middle; inclined by {inclined}: not rotated"
        )
    return f"rotated by {inclined} to be level, and brought to the middle"


def _need(task: Task[ImageOptions]) -> Need:
    """Several forms of all images at the working pixel, and of a few as they are."""
    single = need_of_images(task)
    with task.images() as series:
        pixels = len(series.sections) * float(np.prod(series.size))
    binning = max(1.0, WORKING / (task.tomogram.optics.pixel_size or WORKING))
    small = int(4 * _FORMS * pixels / binning**2)
    return replace(single, memory=single.memory + small)


PROGRAM = Program(
    name="align images",
    verb="aligned",
    result=AlignedByImages,
    run=_run,
    outputs=lambda task: [task.target("alignment_{name}.star"), *task.figures("{name}")],
    lines=_lines,
    updated=_updated,
    motion=lambda result: result.motion,
    taken_out=_taken_out,
    need=_need,
    links=True,
    draws=True,
)
