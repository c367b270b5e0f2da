"""The formats, as a list that a person can read. Each reads into and writes from the model."""

from __future__ import annotations

from tomoset.errors import (
    UnknownFormatError,
    UnsupportedError,
)
from tomoset.formats._format import Format
from tomoset.formats._words import (
    BEYOND_RIGID,
    Ability,
)
from tomoset.formats.aretomo.format import ARETOMO
from tomoset.formats.av3 import AV3
from tomoset.formats.cets.format import CETS
from tomoset.formats.copick import COPICK
from tomoset.formats.dynamo import DYNAMO
from tomoset.formats.eman2.format import EMAN2
from tomoset.formats.images import IMAGES
from tomoset.formats.imod.format import IMOD
from tomoset.formats.mdoc.format import MDOC
from tomoset.formats.ndjson import NDJSON
from tomoset.formats.peet import PEET
from tomoset.formats.portal.format import PORTAL
from tomoset.formats.relion4 import RELION4
from tomoset.formats.relion5 import RELION5
from tomoset.formats.stopgap import STOPGAP
from tomoset.formats.warp.format import WARP
from tomoset.model import TomogramSet

#: The order is that of the documentation, and in which a file is asked what it is.
FORMATS: tuple[Format, ...] = (
    *(RELION4, RELION5, IMOD, ARETOMO, WARP, MDOC, EMAN2, CETS, PORTAL, IMAGES),
    *(DYNAMO, STOPGAP, PEET, AV3, COPICK, NDJSON),
)


def format_named(name: str) -> Format:
    """The format of a name.

    Raises
    ------
    UnknownFormatError
        With the names that there are.
    """
    for format in FORMATS:
        if format.name == name:
            return format
    names = ", ".join(format.name for format in FORMATS)
    raise UnknownFormatError(f"no format is called {name!r}; there are {names}")


def format_of(tomograms: TomogramSet) -> Format:
    """The format that a set came in."""
    return format_named(tomograms.format or RELION4.name)


def working_format(tomograms: TomogramSet) -> Format:
    """The format in which programs write a set: its own, if it has files of whole sets.

    Of the others, RELION 4's says most.
    """
    own = format_of(tomograms)
    return own if own.can("linked sets") else RELION4


def beads_format(path: str) -> Format:
    """The format of a file of tracked beads, by its ending."""
    able = [format for format in FORMATS if format.bead_files]
    return next((format for format in able if path.endswith(format.bead_files)), able[0])


def refuse_unable(tomograms: TomogramSet, *abilities: Ability) -> None:
    """Refuse to give a set what its format cannot say.

    Raises
    ------
    UnsupportedError
        With formats that can.
    """
    format = working_format(tomograms)
    for ability in abilities:
        if not format.can(ability):
            able = next(f.name for f in FORMATS if f.can(ability) and f.can("linked sets"))
            more = any(map(format.can, BEYOND_RIGID))
            rigid = "" if more else "knows rigid alignments only, and "
            raise UnsupportedError(
                f"{format.package} {rigid}cannot say {ability}: leave it fixed, or convert the set "
                f"first (tomoset convert SET DST --to {able})"
            )
