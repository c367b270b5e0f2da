"""Particles written in either dialect of RELION; texts that nobody changed stay."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from tomoset import star
from tomoset.errors import LossyWarning, UnsupportedError
from tomoset.formats._relion_sets._columns import (
    CENTRED,
    CLASS,
    CORNER,
    GROUP,
    NAME,
    ORIGINS,
    SCORE,
    SUBSET,
    SUBTOMOGRAM,
    TOMOGRAM,
    TRIPLES,
    VISIBLE,
    Frame,
    ParticleSource,
)
from tomoset.formats._relion_sets._links import Links
from tomoset.formats._relion_sets._optics import optics_table
from tomoset.formats._relion_sets._visible import visible_texts
from tomoset.formats._texts import (
    VERSIONS,
    Array,
    exact_texts,
    float_texts,
    in_version,
    int_texts,
    merge,
)
from tomoset.model import ParticleSet, TomogramSet

#: A particle that moved by less stays, as when its tomogram is cropped about its middle [voxels].
_NOWHERE = 1e-9

Columns = Mapping[str, Sequence[str] | None]

#: RELION 5 writes one 2D stack a particle, and says so here.
_STACKS = "rlnTomoSubTomosAre2DStacks"


def particles_to_star(
    particles: ParticleSet, dialect: str, tomograms: TomogramSet
) -> star.StarFile:
    """The tables of a particle file, in either dialect.

    Parameters
    ----------
    particles : ParticleSet
        From any source, or from none.
    dialect : {"relion4", "relion5"}
        RELION 4 has corner coordinates and always origins; RELION 5 centred coordinates.
    tomograms : TomogramSet
        Names, sizes and pixel sizes; for RELION 5 the coordinates count from its sizes.

    Returns
    -------
    StarFile
        Every text of the source that still says the same, and all other tables of its file.

    Raises
    ------
    ModelError
        If a tomogram is not in the set, has no size, or has another number of tilt images than
        the particles' visible frames.
    UnsupportedError
        If there is no such dialect.

    Examples
    --------
    >>> from tomoset import Optics, Tomogram, TomogramSet
    >>> one = Tomogram(name="001", n_tilts=41, size=(40, 40, 21), optics=Optics(pixel_size=2.0))
    >>> p = ParticleSet(tomogram_names=["001"], coordinates=[[19, 20, 15.5]])
    >>> file = particles_to_star(p, "relion5", TomogramSet([one]))
    >>> list(file["particles"]["rlnCenteredCoordinateXAngst"])
    ['-2.0']
    """
    if dialect not in VERSIONS:
        raise UnsupportedError(f"particles are written as {', '.join(VERSIONS)}, not {dialect!r}")
    links = Links.of(particles.tomogram_names.tolist(), tomograms)
    source = particles.source if isinstance(particles.source, ParticleSource) else None
    old = None if source is None else source.table
    optics, groups = None, particles.optics_groups
    # RELION 5 makes groups of its own where a file of picks has none; RELION 4 does not.
    makes = len(particles) > 0 and (dialect == "relion4" or source is None)
    if makes or (source is not None and particles.optics):
        optics, groups = optics_table(particles, source, links, dialect)
    columns = {
        TOMOGRAM: particles.tomogram_names.tolist(),
        **_coordinate_columns(particles, dialect, links, source),
        **_triple_columns(particles, dialect, old),
        NAME: None if particles.names is None else particles.names.tolist(),
        GROUP: None if groups is None else int_texts(old, GROUP, groups),
        SUBSET: None if particles.halves is None else int_texts(old, SUBSET, particles.halves + 1),
        CLASS: None if particles.classes is None else int_texts(old, CLASS, particles.classes),
        SCORE: None if particles.scores is None else float_texts(old, SCORE, particles.scores),
        VISIBLE: None if particles.visible is None else visible_texts(particles, old, links),
    }
    return _put_together(source, optics, columns, dialect)


def _coordinate_columns(
    particles: ParticleSet, dialect: str, links: Links, source: ParticleSource | None
) -> dict[str, Sequence[str] | None]:
    old = None if source is None else source.table
    if dialect == "relion4":
        voxels = particles.coordinates.T
        texts = [float_texts(old, label, v) for label, v in zip(CORNER, voxels, strict=True)]
        return {**dict(zip(CORNER, texts, strict=True)), **dict.fromkeys(CENTRED)}
    frame = Frame.of(links, particles.pixel_sizes)
    columns: dict[str, Sequence[str] | None] = {}
    moved = False
    for axis, label in enumerate(CENTRED):
        voxels = particles.coordinates[:, axis]
        if old is None or label not in old:
            columns[label] = exact_texts(frame.to_centred(voxels, axis))
            continue
        same = np.abs(frame.to_voxels(old.floats(label), axis) - voxels) < _NOWHERE
        moved = moved or not same.all()
        columns[label] = merge(old[label], same, exact_texts(frame.to_centred(voxels, axis)[~same]))
    if source is None or source.dialect == "relion4":
        return columns | dict.fromkeys(CORNER)
    if moved and any(label in source.table for label in CORNER):
        warnings.warn(
            "the particles moved, so rlnCoordinate*, which stood beside the centred coordinates "
            "and which RELION 5 does not read, is dropped",
            LossyWarning,
            stacklevel=3,
        )
        columns |= dict.fromkeys(CORNER)
    return columns


def _triple_columns(
    particles: ParticleSet, dialect: str, old: star.Table | None
) -> dict[str, Sequence[str] | None]:
    columns: dict[str, Sequence[str] | None] = {}
    for what, labels in TRIPLES.items():
        values: Array | None = getattr(particles, what)
        # there if absent (docs/relion.md, 'Particles')
        fatal = dialect == "relion4" and labels == ORIGINS
        if values is None and fatal:
            values = np.zeros((len(particles), 3))
        for i, label in enumerate(labels):
            # Without rot RELION looks at no angle of a subtomogram.
            needed = fatal or label == SUBTOMOGRAM[0]
            if values is None:
                # Columns that RELION does not look at, as psi without rot, are no one's.
                if old is None or labels[0] in old:
                    columns[label] = None
                continue
            absent = old is not None and label not in old and any(x in old for x in labels)
            if absent and not needed and not values[:, i].any():
                continue
            columns[label] = float_texts(old, label, values[:, i])
    return columns


def _put_together(
    source: ParticleSource | None,
    optics: star.Table | None,
    columns: Columns,
    dialect: str,
) -> star.StarFile:
    if source is None:
        table = star.Table(
            "particles",
            {label: texts for label, texts in columns.items() if texts is not None},
            comments=(VERSIONS[dialect],),
        )
        return star.StarFile((table,) if optics is None else (optics, table))
    old, converts = source.table, source.dialect != dialect
    table = star.Table(
        "particles" if converts else old.name,  # both RELIONs ask for that name
        _laid_out(old, columns),
        is_loop=old.is_loop or len(old) != 1,
        comments=old.comments,
    )
    tables = list(source.file.tables)
    tables[source.block] = table
    if optics is not None:
        place = next((i for i, t in enumerate(tables) if t.name == "optics"), None)
        if place is None:
            tables.insert(source.block, optics)
        else:
            tables[place] = optics
    if converts:
        tables = [in_version(t, dialect) for t in tables]
        _warn_of_stacks(source, dialect)
    return star.StarFile(tuple(tables), comments=source.file.comments, path=source.file.path)


def _laid_out(old: star.Table, columns: Columns) -> dict[str, Sequence[str]]:
    """Columns in the old order, new coordinates where the old ones stood, new ones at the end."""
    other = dict(zip((*CORNER, *CENTRED), (*CENTRED, *CORNER), strict=True))
    out: dict[str, Sequence[str]] = {}
    for label, before in old.columns.items():
        texts = columns.get(label, before)
        if texts is None and other.get(label) not in old:
            label = other.get(label, label)
            texts = columns.get(label)
        if texts is not None:
            out[label] = texts
    for label, texts in columns.items():
        if texts is not None:
            out.setdefault(label, texts)
    return out


def _warn_of_stacks(source: ParticleSource, dialect: str) -> None:
    general = next((t for t in source.file.tables if _STACKS in t), None)
    if dialect != "relion4" or general is None or "rlnImageName" not in source.table:
        return
    if general[_STACKS][0].strip() not in ("0", ""):
        warnings.warn(
            f"{source.file.path}: the particles' images (rlnImageName) are 2D stacks, which "
            "RELION 4 cannot read; make pseudo-subtomograms again there",
            LossyWarning,
            stacklevel=4,
        )
