"""Particles, surfaces and beads of one alignment in the frame of another.

After a realignment the specimen lies elsewhere in its tomogram. Both alignments say where points
of space are in the same tilt images, and so where each point of the old tomogram is in the new one.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import LossyWarning, ModelError, TomosetError, joined, some_of
from tomoset.formats import common_tilts, suggested_map
from tomoset.model import Project, Tomogram, TomogramSet
from tomoset.project._carry import Carrier, carried, refuse_shared, warn_of_tilts
from tomoset.project._geometry_diff import geometry_diff
from tomoset.project._pair import Pair
from tomoset.project._spread import Spread
from tomoset.project.edit._follow import of_tomograms, renamed

Array = npt.NDArray[np.float64]

#: Alignments that differ by more are not of one specimen [px].
MAX_RESIDUAL = 10.0


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """How one tomogram was carried over.

    Parameters
    ----------
    name, new_name : str
        What the old and the new set call it.
    tilts : int
        Images that both have.
    how : str
        How they were matched.
    rotation : float
        By which the frame turned [deg].
    shift : float
        By which the middle of the tomogram moved [voxels of the old one].
    residual : Spread
        How far points are, in the images, from where the old alignment has them [px]: of the
        specimen, after the rigid motion; of particles, if each was triangulated.
    uncertainty : float or None
        Of places in space that follows from it: the median over the points [Å].
    particles : int
        How many were carried.
    """

    name: str
    new_name: str
    tilts: int
    how: str
    rotation: float
    shift: float
    residual: Spread
    uncertainty: float | None
    particles: int

    def summary(self) -> dict[str, Any]:
        """For a program to read."""
        return asdict(self)


def map_project(
    project: Project,
    new: TomogramSet,
    *,
    rename: Mapping[str, str] | None = None,
    max_residual: float = MAX_RESIDUAL,
    pointwise: bool = False,
) -> tuple[Project, list[Mapped]]:
    """What lies in the tomograms of one set in the frames of another set of the same series.

    Parameters
    ----------
    project : Project
        The old set, all that belongs to it read.
    new : TomogramSet
        The same series, aligned otherwise.
    rename : mapping of str to str, optional
        From old names to new ones, where they are others.
    max_residual : float
        Largest median distance in the images that the best motion may leave [px].
    pointwise : bool
        Whether each point is projected by the old alignment and triangulated by the new one,
        instead of carried by the motion of its whole tomogram; orientations turn as their
        surroundings do.

    Returns
    -------
    Project
        The new tomograms with particles, trajectories, manifolds and fiducials of the old ones.
    list of Mapped
        A tomogram each, the worst first.

    Raises
    ------
    ModelError
        If no series is in both, the alignments are too far apart, or one is a mirror image.

    Examples
    --------
    >>> from tomoset.model import Optics, ParticleSet
    >>> from tomoset.project.transform import transform_project
    >>> tilts = [-40.0, 0.0, 40.0]
    >>> one = Tomogram(name="a", n_tilts=3, size=(9, 9, 9), optics=Optics(pixel_size=2.0),
    ...                nominal_tilts=tilts, projections=geometry.rotation_y(tilts))
    >>> old = Project(tomograms=TomogramSet([one]),
    ...               particles=ParticleSet(tomogram_names=["a"], coordinates=[[1, 2, 3]]))
    >>> shifted = transform_project(old, {"a": geometry.translation([5, 0, 0])})
    >>> there, _ = map_project(old, shifted.tomograms)
    >>> there.particles.coordinates.round(6).tolist()
    [[6.0, 2.0, 3.0]]
    """
    wanted = _with_something(project)
    called = _called(project.tomograms, new, rename or {}, wanted)
    carriers, reports, refused = {}, [], list[Exception]()
    counts = {} if project.particles is None else project.particles.by_tomogram()
    for name, other in called.items():
        points = np.empty((0, 3))
        if name in counts and project.particles is not None:
            points = project.particles.select(counts[name]).positions
        try:
            carrier = carrier_of(project.tomograms[name], new[other], pointwise=pointwise)
            report = _report((name, other), carrier, points)
            _refuse_far(report, max_residual, pointwise=pointwise)
        except TomosetError as problem:
            text = str(problem)
            named = text.startswith(f"tomogram {name!r}")
            refused.append(ModelError(text if named else f"tomogram {name!r}: {text}"))
            continue
        carriers[other] = carrier
        reports.append(report)
    if refused:
        raise joined(refused)
    kept = renamed(of_tomograms(project, called), lambda name: called[name])
    if kept.particles is not None:
        refuse_shared(kept.particles, kept.trajectories)
    warn_of_tilts(carriers, kept)
    reports.sort(key=lambda one: -one.residual.median)
    return carried(kept, carriers, new), reports


def carrier_of(old: Tomogram, new: Tomogram, *, pointwise: bool = False) -> Carrier:
    """What takes points of one version of a tomogram to the other.

    Raises
    ------
    TomosetError
        If they have too few images in common, one is not aligned or has no size, or they are
        mirror images.
    """
    for t in (old, new):
        if t.projections is None:
            t.need_size()
    common = common_tilts(old, new)
    pair = Pair.of(old, new, common)
    found, transform = geometry_diff(pair)
    if found.mirrored:
        raise ModelError(
            "the new tomogram is a mirror image of the old one (geometric hand), and particles "
            "cannot turn into their mirror images; import the alignment with the other hand, or "
            "particles from the mirrored volume: tomoset import particles FILE --t SET -o STAR "
            "--volume mirrored"
        )
    return Carrier(pair=pair, common=common, transform=transform, pointwise=pointwise)


def _with_something(project: Project) -> list[str]:
    """Tomograms in which something lies, in the order of the set; all, if nothing does."""
    there: set[str] = {*project.fiducials}
    if project.particles is not None:
        there |= {*project.particles.by_tomogram()}
    if project.manifolds is not None:
        there |= {*project.manifolds}
    return [name for name in project.tomograms if name in there] or list(project.tomograms)


def _called(
    old: TomogramSet, new: TomogramSet, rename: Mapping[str, str], wanted: list[str]
) -> dict[str, str]:
    """The new name of each tomogram that is in both sets; a warning names the others."""
    strange = [name for name in rename if name not in old]
    if strange:
        raise ModelError(
            f"the map of names has {some_of([*map(repr, strange)])}, which the old set has not; "
            f"it has {some_of([*old])}"
        )
    called = {name: rename.get(name, name) for name in wanted}
    found = {name: other for name, other in called.items() if other in new}
    lost = [name for name in wanted if name not in found]
    hints = suggested_map(lost, new)
    cure = "give a file of lines of an old and a new name (`rename`)"
    if hints:
        lines = some_of([repr(f"{one} {other}") for one, other in hints.items()])
        cure += f", such as {lines}"
    if not found:
        raise ModelError(
            f"no tomogram of the old set ({some_of(wanted)}) is in the new one ({some_of([*new])});"
            f" {cure}"
        )
    if lost:
        warnings.warn(
            f"what lies in {some_of(lost)} is left out: the new set has no such tomograms; if they "
            f"are called otherwise there, {cure}",
            LossyWarning,
            stacklevel=4,
        )
    return found


def _report(names: tuple[str, str], carrier: Carrier, points: Array) -> Mapped:
    pair = carrier.pair
    some = points if carrier.pointwise and len(points) else pair.points
    there = carrier.places(some)
    residual = Spread.of(np.linalg.norm(pair.apart(some, there), axis=-1), signed=False)
    if residual is None:
        raise ModelError("no point of it is seen in the images that both sets have")
    middle = geometry.apply(carrier.transform, pair.middle) / pair.scale - pair.middle
    return Mapped(
        name=names[0],
        new_name=names[1],
        tilts=len(carrier.common.rows),
        how=carrier.common.how,
        rotation=float(geometry.turns(geometry.nearest_rotation(carrier.transform[:3, :3]))),
        shift=float(np.linalg.norm(middle)),
        residual=Spread(
            median=residual.median, worst=residual.worst, mean=None, row=residual.row // len(some)
        ),
        uncertainty=_uncertainty(carrier, some, there),
        particles=len(points),
    )


def _uncertainty(carrier: Carrier, points: Array, there: Array) -> float | None:
    """Standard error of places in space, of the residuals and the directions of the beams [Å].

    Of points that the whole tomogram carries, how far each is from where it is triangulated.
    """
    pair, pixel = carrier.pair, carrier.pair.new.optics.pixel_size
    if pixel is None:
        return None
    if not carrier.pointwise:
        off = np.linalg.norm(pair.triangulated(points) - there, axis=1)
        return float(np.nanmedian(off)) * pixel
    apart = pair.apart(points, there)
    seen = np.isfinite(apart[..., 0])
    weights = geometry.projected_weights(pair.new.need_projections(), seen)
    freedom = np.maximum(2 * seen.sum(axis=0) - 3, 1)
    variance = np.nansum(apart**2, axis=(0, 2)) / freedom
    fixed = np.linalg.eigvalsh(weights)[:, 0] > 1e-6
    if not fixed.any():
        return None
    spread = np.trace(np.linalg.inv(weights[fixed]), axis1=1, axis2=2)
    return float(np.median(np.sqrt(variance[fixed] * spread))) * pixel * pair.scale


def _refuse_far(report: Mapped, max_residual: float, *, pointwise: bool) -> None:
    found = report.residual
    if found.median <= max_residual:
        return
    what = "triangulated points are off by" if pointwise else "the best motion leaves"
    other = "" if pointwise else "triangulate point by point (`pointwise`), or "
    raise ModelError(
        f"{what} {found.median:.3g} px in the images (median; worst {found.worst:.3g} px, in image "
        f"{found.row + 1} of both), more than {max_residual:g}: are both sets of the same images, "
        f"in the same order? If so, {other}allow it (`max_residual`)"
    )
