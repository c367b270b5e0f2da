"""IMOD as a format: alignments of etomo come in, and go out.

What reads and writes is loaded when it is used: every set is asked first whether it is IMOD's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tomoset import star
from tomoset.errors import ModelError
from tomoset.files import together, write
from tomoset.formats._destination import Destination
from tomoset.formats._format import Format
from tomoset.formats._importing import (
    FRACTIONAL_DOSE,
    HAND,
    MICROSCOPE,
    NO_CULL,
    OPTICS_GROUP,
    PIXEL_SIZE,
    dose_of,
    refuse_impossible,
    told_optics,
    unsaid,
)
from tomoset.formats._words import Loss, Option, Reading, StrPath, Tolerance, say_losses
from tomoset.model import Observations, Project, Tomogram
from tomoset.paths import file_names

if TYPE_CHECKING:
    from tomoset.formats.imod.series import ImportOptions
    from tomoset.formats.imod.write import Bent

#: Files that show a folder to be etomo's.
_COMMANDS = ("newst.com", "newsta.com", "tilt.com", "tilta.com")

_OPTIONS = (
    Option(
        "table", "--i", "RELION's import table, instead of folders.", kind="path", metavar="STAR"
    ),
    Option(
        "root",
        "--root",
        "Folder before every path of the table.",
        kind="text",
        default="",
        metavar="DIR",
    ),
    PIXEL_SIZE,
    FRACTIONAL_DOSE,
    Option(
        "order_list",
        "--ol",
        "Order list for series that have none of their own.",
        kind="path",
        metavar="CSV",
    ),
    HAND,
    *MICROSCOPE,
    Option("newst", "--nc", "Name of newst.com.", kind="text", metavar="NAME"),
    Option("tilt", "--tc", "Name of tilt.com.", kind="text", metavar="NAME"),
    Option("thickness", "--thick", "Depth instead of THICKNESS.", metavar="PX"),
    Option("offset_x", "--offx", "Move the tomogram in x, px.", default=0.0),
    Option("offset_y", "--offy", "... along IMOD's depth, px.", default=0.0),
    Option("offset_z", "--offz", "... along the tilt axis, px.", default=0.0),
    Option("flip_yz", "--flipYZ", "z is depth (folders: the default).", kind="flag"),
    Option("flip_z", "--flipZ", "Depth runs the other way (likewise).", kind="flag"),
    Option("no_flip", "--no-flip", "Folders: leave the volume as tilt writes it.", kind="flag"),
    Option("flip_angles", "--flipAng", "Change the sign of the tilts.", kind="flag"),
    Option("aligned", "--ali", "The stacks are the aligned ones.", kind="flag"),
    Option("aligned_size", "--ali_size", "Size from newst.com instead of FULLIMAGE.", kind="flag"),
    Option(
        "exact_depth", "--exact-depth", "IMOD's slice centres, not RELION's frame.", kind="flag"
    ),
    NO_CULL,
    Option(
        "stack",
        "--stack",
        "Which file of a folder is the raw stack; a pattern takes all aligned series.",
        kind="text",
        metavar="GLOB",
    ),
    Option(
        "tilt_angles",
        "--tlt",
        "... the file of tilt angles (.tlt, .rawtlt).",
        kind="text",
        metavar="GLOB",
    ),
    Option("ctf", "--ctf", "... the table of defocus.", kind="text", metavar="GLOB"),
    Option("order", "--order", "... the order list.", kind="text", metavar="GLOB"),
    Option(
        "axis",
        "--axis",
        "Direction of the tilt axis in images without transforms, degrees from y.",
        metavar="DEG",
    ),
    OPTICS_GROUP,
)

_LABELS = {"size": "FULLIMAGE and THICKNESS", "stack": "InputFile"}
#: How far a deformation may be off in silence, as far as a verification allows [px].
_SAID = 1e-3
#: Options that only folders leave open, and those that are passed on as they are.
_OF_FOLDERS = ("no_flip", "stack", "tilt_angles", "ctf", "order")
_SAME = (
    *("pixel_size", "voltage", "spherical_aberration", "amplitude_contrast", "order_list"),
    *("fractional_dose", "newst", "tilt", "flip_angles", "aligned", "aligned_size"),
    *("exact_depth", "root", "stack", "ctf", "order", "optics_group"),
    *("tilt_angles", "axis"),
)


class Imod(Format):
    """IMOD's alignments."""

    name = "imod"
    package = "IMOD"
    url = "https://bio3d.colorado.edu/imod/"
    reads = "folders of etomo with local alignments, and RELION's import table of such"
    writes = "such folders, and the import table"
    abilities = frozenset({"magnification", "stretch", "skew", "deformation", "excluded views"})
    labels = _LABELS
    options = _OPTIONS
    needs: Mapping[str, tuple[str, ...]] = {
        "": ("stack", "projections", "size", "image_size", "pixel_size")
    }
    bead_files = (".resid", ".fid", ".mod")
    about = """Import alignments by IMOD, from etomo's FOLDERS or from RELION's import table.

    \b
        tomoset import imod TS_01 TS_02 -o tomograms.star --angpix 1.35 --fd 3
        tomoset import imod --i tilt_series.star -o tomograms.star \\
            --flipYZ --flipZ --angpix 1.35 --fd 3

    A folder's tomogram is the volume as etomo leaves it, turned about x (--flipYZ --flipZ).
    A folder of folders gives one of each, and two axes give two tomograms.
    Its stack, command files, defocus and order are found by their names, and said.
    """

    def detect(self, path: str, head: bytes) -> bool:
        """Whether a folder holds command files or transforms of IMOD."""
        if head or not os.path.isdir(path):
            return False
        names = [name.lower() for name in os.listdir(path)]
        return any(name in _COMMANDS or name.endswith(".xf") for name in names)

    def refuse_options(self, sources: Sequence[StrPath], given: Mapping[str, Any]) -> None:
        """Refuse options that contradict each other, or say nothing possible."""
        table, thickness = given["table"], given["thickness"]
        if bool(sources) == bool(table):
            raise ModelError("give IMOD folders or an import table (--i), one of the two")
        if not sources and any(given[name] for name in _OF_FOLDERS):
            raise ModelError(
                "--no-flip, --stack, --tlt, --ctf and --order are for folders, not for --i"
            )
        if given["no_flip"] and (given["flip_yz"] or given["flip_z"]):
            raise ModelError("--no-flip contradicts --flipYZ and --flipZ")
        if thickness not in (None, -1) and not thickness >= 1:
            raise ModelError("--thick must be at least 1 px")
        refuse_impossible(given)

    def read_series(
        self, sources: Sequence[StrPath], given: Mapping[str, Any], destination: Destination
    ) -> Reading:
        """The series of folders, or of an import table.

        Views that IMOD leaves out are left out of new stacks in the folder ``culled`` beside
        the set, or, without one, of the table only.
        """
        from tomoset.formats.imod import batch

        wanted = _import_options(given, folders=bool(sources), cull=destination.target is not None)
        if sources:
            request = batch.from_folders(sources, wanted, destination)
        else:
            request = batch.from_table(given["table"], wanted, destination.names)
        result = batch.run(request, wanted, destination)
        return Reading(
            project=Project(tomograms=result.tomograms),
            notes=[*request.notes, *result.notes],
            failures=result.failures,
        )

    def write(
        self,
        project: Project,
        folder: StrPath,
        tolerance: Tolerance | None = None,
    ) -> str:
        """Write a folder for each tilt series, with all but its stack, and an import table."""
        from tomoset.formats.imod.write import ImodFolder, import_table

        del tolerance
        say_losses(self.losses(project))
        tomograms, table = project.tomograms, os.path.join(folder, "tilt_series.star")
        names = file_names(tomograms)
        with together():
            for name, t in tomograms.items():
                own = os.path.join(folder, names[name])
                for file, text in ImodFolder.of(t, names[name], own).texts().items():
                    write(os.path.join(own, file), text.encode())
            series = import_table(os.fspath(folder), list(names.values()), tomograms.values())
            star.write(series, table)
        return table

    def geometric_hand(self, tomogram: Tomogram) -> str:  # noqa: ARG002
        """As `tilt` leaves it: slices are sections along y."""
        return "its programs make the same volume, turned about x (trimvol -rx turns it back)"

    def place(self, folder: StrPath, name: str) -> str:
        """The folder of the series."""
        return os.path.join(folder, name)

    def losses(self, project: Project) -> dict[str, Loss]:
        """What command files and transforms cannot say."""
        from tomoset.formats.imod.write import ImodFolder

        lost = {}
        for name, t in project.tomograms.items():
            texts = unsaid(project, replace(t, deformation=None), self.package)
            bent = np.zeros(t.n_tilts)
            fields: tuple[str, ...] = ()
            if t.placed().projections is not None:
                folder = ImodFolder.of(t, name, "")
                bent = folder.bent.most
                if folder.hand > 0:
                    texts.append(
                        f"is to be read by tomoset import imod --hand {folder.hand}: files of IMOD "
                        "do not say the hand"
                    )
                if not folder.keeps_doses:
                    fields = ("pre_exposure",)
                    texts.append(
                        "has doses that are not the place of an image in time times one dose: an "
                        "order list says nothing else"
                    )
                if folder.local is not None and bent.max() > _SAID:
                    texts.append(_said(folder.local.count, folder.bent))
            if texts:
                lost[name] = Loss(
                    texts=tuple(texts), pixels=bent, defocus=np.zeros(t.n_tilts), fields=fields
                )
        return lost

    def read_observations(
        self, path: str, raw_size: tuple[int, int, int], kept: Sequence[int] | None
    ) -> Observations:
        """Beads of a model, or of tiltalign's residuals."""
        from tomoset.formats.imod.beads import read_tracked

        return read_tracked(path, raw_size, kept)

    def write_observations(
        self,
        observations: Observations,
        path: str,
        tomogram: Tomogram,
        raw_size: tuple[int, int, int],
    ) -> None:
        """Write a model that 3dmod opens on the stack."""
        from tomoset.formats.imod.bead_models import write_bead_model
        from tomoset.formats.imod.bead_stacks import ImodStack

        kept = None if tomogram.image_index is None else tomogram.image_index.tolist()
        stack = ImodStack(raw_size=raw_size, pixel_size=tomogram.optics.pixel_size)
        write_bead_model(observations, path, stack, kept=kept)

    def told(self, project: Project) -> dict[str, Any]:
        """Optics, the hand and the dose of an image, as the first tomogram has them."""
        from tomoset.formats.imod.write import ImodFolder

        for t in project.tomograms.values():
            return told_optics(t.optics) | {
                "hand": ImodFolder.of(t, t.name, "").hand,
                "fractional_dose": dose_of(t),
            }
        return {}


def _said(patches: tuple[int, int], bent: Bent) -> str:
    return (
        f"has its 2D deformation as {patches[0]} x {patches[1]} local alignments: tilt is up to "
        f"{bent.middle.max():.2g} px off in the middle of the tomogram, {bent.ends.max():.2g} px "
        f"at its ends in depth; read again they are off by up to {bent.again.max():.2g} px"
    )


def _import_options(given: Mapping[str, Any], *, folders: bool, cull: bool) -> ImportOptions:
    from tomoset.formats.imod.series import ImportOptions

    turned = folders and not given["no_flip"]
    return ImportOptions(
        **{name: given[name] for name in _SAME},
        hand=int(given["hand"]),
        # RELION's own default, -1, means THICKNESS.
        thickness=given["thickness"] if given["thickness"] != -1 else None,
        offset=(given["offset_x"], given["offset_y"], given["offset_z"]),
        flip_yz=given["flip_yz"] or turned,
        flip_z=given["flip_z"] or turned,
        cull=cull and not given["no_cull"],
    )


IMOD = Imod()
