"""Tilt images taken out of a project, and put back; what refers to them follows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tomoset.errors import AssumptionWarning, LossyWarning, ModelError, some_of
from tomoset.model import Fiducials, ParticleSet, Project, Tomogram, TrajectorySet, VisibleTilts
from tomoset.project.edit._tilts import Tilts, tilt_numbers
from tomoset.project.edit.select import named
from tomoset.run import chosen, documented

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@documented(Tilts)
def exclude(
    project: Project,
    which: Tilts | None = None,
    *,
    names: Iterable[str] = (),
    reason: str = "",
    **by_name: object,
) -> Project:
    """A project without some of its tilt images, which `include` puts back.

    Rows leave the tables, so that every program obeys; the set keeps them aside, with the reason.
    Particles' visible tilt images, trajectories and observations of beads follow.

    Parameters
    ----------
    project : Project
        All of it read.
    which : Tilts, optional
        Those that are meant.
    names : iterable of str
        The tomograms that are meant, or patterns of names; all if not given.
    reason : str
        Why, for people; what was asked if not given.
    **by_name
        Fields of `Tilts`:

        {options}

    Raises
    ------
    ModelError
        If there are no such tilt images, or a tomogram would have none left.

    Examples
    --------
    >>> from tomoset import Optics, Tomogram, TomogramSet
    >>> one = Tomogram(name="a", n_tilts=3, optics=Optics(pixel_size=1.0),
    ...                pre_exposure=[0.0, 3.0, 6.0])
    >>> less = exclude(Project(tomograms=TomogramSet([one])), where="dose > 5")
    >>> less.tomograms["a"].pre_exposure.tolist(), less.tomograms["a"].exclusions[0].reason
    ([0.0, 3.0], 'dose > 5')
    >>> include(less).tomograms["a"].pre_exposure.tolist()
    [0.0, 3.0, 6.0]
    """
    wanted = chosen(Tilts, which, by_name)
    rows = wanted.rows(project, named(list(project.tomograms), names))
    if not rows:
        raise ModelError("no tilt image is meant, so nothing is taken out")
    whole = [name for name, out in rows.items() if len(out) == project.tomograms[name].n_tilts]
    if whole:
        raise ModelError(
            f"no tilt image would be left of {some_of(whole)}; leave out such tomograms "
            "(tomoset select)"
        )
    why = reason or _said(wanted)
    return without_tilts(project, {name: dict.fromkeys(out, why) for name, out in rows.items()})


def without_tilts(project: Project, rows: Mapping[str, Mapping[int, str]]) -> Project:
    """A project without tilt images, each with a reason of its own, as `exclude` takes them out.

    Parameters
    ----------
    project : Project
        All of it read.
    rows : mapping of str to mapping of int to str
        By tomogram name: rows of its table, from 0, and why.
    """
    made = {}
    for name, reasons in rows.items():
        t = project.tomograms[name]
        for gone, row in enumerate(sorted(reasons)):
            t = t.exclude([row - gone], reasons[row])
        made[name] = t
    return _followed(project, made)


def _said(tilts: Tilts) -> str:
    numbers = f"number {tilts.numbers}" if tilts.numbers else ""
    parts = [numbers, *(c.text for c in tilts.conditions()), *tilts.images]
    return " or ".join(filter(None, parts))[:200]


def include(project: Project, numbers: str = "", *, names: Iterable[str] = ()) -> Project:
    """A project with tilt images that were taken out, where they stood.

    They are visible for all particles, which move in them as between the images that were taken
    before and after.

    Parameters
    ----------
    project : Project
        All of it read.
    numbers : str
        Which, as `exclude` has them: ``1-3,40``; all that are out if not given.
    names : iterable of str
        The tomograms that are meant, or patterns of names; all if not given.

    Raises
    ------
    ModelError
        If none is out, or one that is given is not.
    """
    asked = [number - 1 for number in tilt_numbers(numbers)]
    made: dict[str, Tomogram] = {}
    for name in named(list(project.tomograms), names):
        t = project.tomograms[name]
        out = {exclusion.row for exclusion in t.exclusions}
        lost = [str(row + 1) for row in asked if row not in out]
        if lost and names:
            there = ", ".join(str(row + 1) for row in sorted(out)) or "none"
            raise ModelError(
                f"tomogram {name!r}: {', '.join(lost)} is not out of the series; out are {there}"
            )
        back = out & set(asked) if asked else out
        if back:
            made[name] = t.restore(back)
    if not made:
        raise ModelError("no such tilt image is out of its series, so there is nothing to put back")
    return _followed(project, made)


def _followed(project: Project, made: Mapping[str, Tomogram]) -> Project:
    """The project with tomograms of more or fewer tilt images, and what refers to them."""
    places = {name: _places(project.tomograms[name], t) for name, t in made.items()}
    particles, motion = project.particles, project.trajectories
    if motion is not None and particles is not None:
        motion = _moved(motion, particles, {n: _weights(t, places[n]) for n, t in made.items()})
    fiducials = {
        name: _seen(name, beads, places[name]) if name in made else beads
        for name, beads in project.fiducials.items()
    }
    return project.with_sets(
        tomograms=project.tomograms.with_tomograms(
            made.get(name, t) for name, t in project.tomograms.items()
        ),
        particles=None if particles is None else _visible(particles, places),
        trajectories=motion,
        fiducials=fiducials,
    )


def _places(before: Tomogram, after: Tomogram) -> Ints:
    """The row of before of each tilt image of after, -1 where there was none: (n,)."""
    old = {original: row for row, original in enumerate(before.original_rows())}
    return np.array([old.get(original, -1) for original in after.original_rows()], dtype=np.int64)


def _visible(particles: ParticleSet, places: Mapping[str, Ints]) -> ParticleSet:
    if particles.visible is None:
        return particles
    masks, order = VisibleTilts.of(particles.visible), list[Ints]()
    flat, lengths = list[npt.NDArray[np.bool_]](), masks.lengths.copy()
    for name, rows in particles.by_tomogram().items():
        some = masks.take(rows).flat
        if name in places and len(rows):
            at = places[name]
            some = ((at < 0) | some.reshape(len(rows), -1)[:, at]).ravel()
            lengths[rows] = len(at)
        flat.append(some)
        order.append(rows)
    if not order:
        return particles
    rows = np.concatenate(order)
    starts = np.concatenate([[0], np.cumsum(lengths[rows])])
    back = np.argsort(rows, kind="stable")
    return replace(particles, visible=VisibleTilts(np.concatenate(flat), starts).take(back))


def _weights(after: Tomogram, places: Ints) -> Callable[[Array], Array]:
    """From shifts of before to those of after: between neighbours in time where one is new."""
    new = np.flatnonzero(places < 0)
    if not len(new):
        return lambda shifts: shifts[places]
    when = np.empty(len(places))
    when[_order(after)] = np.arange(len(places))
    known = np.flatnonzero(places >= 0)
    known = known[np.argsort(when[known])]
    shares = np.array([np.interp(when[new], when[known], one) for one in np.eye(len(known))]).T

    def moved(shifts: Array) -> Array:
        out = shifts[places]
        out[new] = shares @ shifts[places[known]]
        return out

    return moved


def _order(t: Tomogram) -> Ints:
    try:
        return t.acquisition_order
    except ModelError:
        warnings.warn(
            f"tomogram {t.name!r}: the order of its tilt images in time is not known; trajectories "
            "are interpolated in that of the table",
            AssumptionWarning,
            stacklevel=5,
        )
        return np.arange(t.n_tilts)


def _moved(
    motion: TrajectorySet,
    particles: ParticleSet,
    moves: Mapping[str, Callable[[Array], Array]],
) -> TrajectorySet:
    found, names = dict(motion), particles.particle_names
    changed = set[str]()
    new = 0
    for tomogram, rows in particles.by_tomogram().items():
        if tomogram not in moves:
            continue
        for name in names[rows].tolist():
            if name in found and name not in changed:  # two may share a name, and a trajectory
                before, found[name] = found[name], moves[tomogram](found[name])
                new += len(found[name]) > len(before)
                changed.add(name)
    if new:
        warnings.warn(
            f"{new} trajectories are interpolated, in order of acquisition, in the tilt images "
            "that are put back: how particles moved there was not kept",
            AssumptionWarning,
            stacklevel=4,
        )
    return motion.with_trajectories(found)


def _seen(name: str, beads: Fiducials, places: Ints) -> Fiducials:
    """Beads, seen in the tilt images that are left."""
    seen = beads.observations
    if seen is None:
        return beads
    new = np.full(int(max(places.max(initial=-1), seen.tilt.max(initial=-1))) + 1, -1)
    new[places[places >= 0]] = np.flatnonzero(places >= 0)
    tilt = new[seen.tilt]
    gone = int((tilt < 0).sum())
    if gone:
        warnings.warn(
            f"tomogram {name!r}: {gone} observations of beads are in tilt images that are taken "
            "out, and dropped",
            LossyWarning,
            stacklevel=4,
        )
    kept = seen.take(tilt >= 0)
    return replace(beads, observations=replace(kept, tilt=tilt[tilt >= 0]))
