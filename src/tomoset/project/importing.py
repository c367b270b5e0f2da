"""Other packages' alignments as a tomogram set: read, named, written, verified."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tomoset.errors import FileAccessError, some_of
from tomoset.files import Guard
from tomoset.formats import (
    BEYOND_RIGID,
    FORMATS,
    Destination,
    Motion,
    Reading,
    Renaming,
    Tolerance,
    format_named,
    read,
    read_particles,
    read_renaming,
    tell,
)
from tomoset.model import ParticleSet, Project, Tomogram, TomogramSet, TrajectorySet
from tomoset.project._conversion import Result
from tomoset.project._record import is_record, of_tomograms, store
from tomoset.project._write import write_at
from tomoset.project.convert import Options as ConvertOptions
from tomoset.project.convert import write_and_verify
from tomoset.project.history import writing
from tomoset.project.stacks import with_stacks
from tomoset.run import filled

StrPath = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What holds for the import of any package's files.

    Parameters
    ----------
    to : str
        Format of the set.
    tolerance : Tolerance
        What may be lost in it.
    append : str, optional
        A set to which the new tomograms are added.
    strip : tuple of str
        Taken off the end, or the beginning, of the names of series.
    rename : str or mapping, optional
        New names by old ones, or a file of lines with both.
    mdoc : str, optional
        The ``.mdoc`` of the only series, or a folder of such files, called like the series: order,
        exposure and doses, movies, nominal tilts and tilt axis.
    particles : str, optional
        Particles in the tomograms, which come along; what moves them becomes their trajectories.
    overwrite : bool
        Whether files that are there, and are others, are replaced.
    """

    to: str = FORMATS[0].name
    tolerance: Tolerance = field(default_factory=Tolerance)
    append: str | None = None
    strip: tuple[str, ...] = ()
    rename: str | Mapping[str, str] | None = None
    mdoc: str | None = None
    particles: str | None = None
    overwrite: bool = False

    def renaming(self) -> Renaming:
        """What becomes of names."""
        given = self.rename or {}
        names = given if isinstance(given, Mapping) else read_renaming(given)
        return Renaming(strip=tuple(self.strip), names=names)


@dataclass(frozen=True, kw_only=True, eq=False)
class Imported:
    """What came in.

    Parameters
    ----------
    path : str or None
        The set; None if there was nothing to write.
    reading : Reading
        All tomograms, what was chosen, and series that could not be read.
    tomograms : tuple of Tomogram
        The new ones.
    verified : Result or None
        How far the set is from what was read, where its format cannot say all.
    """

    path: str | None
    reading: Reading
    tomograms: tuple[Tomogram, ...]
    verified: Result | None = None

    def record(self) -> dict[str, Any]:
        """What is kept of it, beside the set."""
        done = self.verified
        rows = {t.name: {"tilt_images": t.n_tilts, "stack": t.stack} for t in self.tomograms}
        compared = {} if done is None else of_tomograms(done.losses, done.verifications)
        return {
            "written": self.path,
            "tomograms": {name: row | compared.get(name, {}) for name, row in rows.items()},
            "failed": {f.name: str(f.error) for f in self.reading.failures},
            "notes": [*self.reading.notes],
        }


def import_series(
    package: str, sources: Sequence[StrPath], target: StrPath, **by_name: Any
) -> Imported:
    """Make a tomogram set of other packages' files.

    Parameters
    ----------
    package : str
        Of `FORMATS`, one with options.
    sources : sequence of path-like
        Its files or folders.
    target : path-like
        The set that is written.
    **by_name
        Fields of `Options` and of `Tolerance`, and the options of the package.

    Returns
    -------
    Imported
        The set, and series that could not be read: they stop no other.

    Raises
    ------
    TomosetError
        If an option makes no sense, names come twice, or a file may not be replaced. Nothing is
        written then.

    Examples
    --------
    >>> import tomoset
    >>> done = tomoset.import_series("imod", ["TS_01"], "tomograms.star")    # doctest: +SKIP
    >>> done.path, [t.name for t in done.tomograms]                         # doctest: +SKIP
    ('tomograms.star', ['TS_01'])
    """
    format, given = format_named(package), dict(by_name)
    options = filled(Options, None, given)
    chosen, names, output = format.chosen(sources, given), options.renaming(), os.fspath(target)
    before = None if options.append is None else read(options.append)
    every = (*sources, chosen.get("table"), options.particles)
    inputs = [path for path in every if path and os.path.isfile(path)]
    guard = _guard(inputs, output, before, overwrite=options.overwrite)
    reads = [os.fspath(path) for path in (*inputs, *(() if before is None else before.files))]
    with writing(os.path.dirname(output), guard, lambda: reads) as (_, said):
        destination = Destination(
            target=output, before=before, names=names, particles=options.particles is not None
        )
        reading = format.read(sources, destination, **chosen)
        reading = _told(reading, before, options, chosen.get("fractional_dose"))
        new = [t for t in reading.project.tomograms.values() if t.name not in (before or ())]
        if not reading.failures:
            names.refuse_unused([t.name for t in new])
        if not new:
            return Imported(path=None, reading=reading, tomograms=())
        reading = replace(reading, notes=[*reading.notes, *_lacking(new)])
        reading = _with_particles(reading, options)
        verified = _write(reading.project, output, options)
        done = Imported(path=output, reading=reading, tomograms=tuple(new), verified=verified)
        store(output, {"sources": [os.fspath(source) for source in sources], **done.record()}, said)
    return done


def _guard(
    inputs: Sequence[StrPath], output: str, before: TomogramSet | None, *, overwrite: bool
) -> Guard:
    """What is read is not replaced; the set that is added to may be."""
    if os.path.realpath(output) in map(os.path.realpath, inputs):
        raise FileAccessError(f"{output} is read: give another path for the set")
    files = set() if before is None else {os.path.realpath(file) for file in before.files}
    return Guard(
        lambda: inputs,
        overwrite=overwrite,
        ours=lambda path: is_record(path) or os.path.realpath(path) in files,
    )


def _told(
    reading: Reading,
    before: TomogramSet | None,
    options: Options,
    dose: float | None,
) -> Reading:
    """With what ``.mdoc`` files say of the new tomograms; those whose file does not fit fail."""
    every, there = reading.project.tomograms, before or ()
    new = [t for t in every.values() if t.name not in there]
    if options.mdoc is None or not new:
        return reading
    told, notes, bad = tell(new, options.mdoc, dose=dose)
    kept = [t for t in every.values() if t.name in there]
    return replace(
        reading,
        project=reading.project.with_sets(tomograms=every.with_tomograms([*kept, *told])),
        notes=[*reading.notes, *notes],
        failures=[*reading.failures, *bad],
    )


def _lacking(tomograms: Sequence[Tomogram]) -> list[str]:
    """Notes on what no file says of new tomograms."""
    no_dose = [t for t in tomograms if t.pre_exposure is None]
    without = {
        "no table of defocus, so no columns of defocus": [
            t.name for t in tomograms if t.defocus_u is None
        ],
        "no order of acquisition, so no column of dose": [
            t.name for t in no_dose if t.acquisition is None
        ],
        "no dose of an image, so no column of dose": [
            t.name for t in no_dose if t.acquisition is not None
        ],
    }
    return [f"{note}: {some_of(names)}" for note, names in without.items() if names]


def _with_particles(reading: Reading, options: Options) -> Reading:
    """With particles, and what moves them."""
    project = reading.project
    if options.particles is None:
        return reading
    particles = read_particles(options.particles, project.tomograms)
    project = project.with_sets(particles=particles)
    if reading.motions:
        trajectories = _trajectories(particles, project.tomograms, reading.motions)
        project = project.with_sets(trajectories=trajectories)
    return replace(reading, project=project)


def _trajectories(
    particles: ParticleSet, tomograms: TomogramSet, motions: Mapping[str, Motion]
) -> TrajectorySet:
    """The movement of each particle, in the order of its tomogram's images [Å]."""
    names, positions = particles.particle_names.tolist(), particles.positions
    made: dict[str, Any] = {}
    for name, rows in particles.by_tomogram().items():
        motion = motions.get(name)
        still = np.zeros((len(rows), tomograms[name].n_tilts, 3))
        moved = still if motion is None else motion(positions[rows])
        made |= {names[row]: one for row, one in zip(rows, moved, strict=True)}
    return TrajectorySet(made)


def _write(project: Project, output: str, options: Options) -> Result | None:
    """Write the set, and what belongs to it; verified where it cannot say all of an alignment."""
    target, tomograms = format_named(options.to), project.tomograms
    if not target.can("single images"):
        single = TomogramSet(t for t in tomograms.values() if t.images is not None)
        stacked = with_stacks(single, output)
        tomograms = tomograms.with_tomograms(stacked.get(n, t) for n, t in tomograms.items())
    verified = None
    if not all(map(target.can, BEYOND_RIGID)):
        told = ConvertOptions(to=target.name, tolerance=options.tolerance)
        verified = write_and_verify(tomograms, output, told)
    if verified is None or project.particles is not None:
        ours = TomogramSet(tomograms.values(), format=target.name)
        write_at(project.with_sets(tomograms=ours), output, options.tolerance)
    return verified
