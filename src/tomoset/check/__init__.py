"""What may be wrong with a tomogram set: rules with stable codes.

Each rule looks at a set and yields problems with location and cure. Defaults follow what users ask
of a validator (limits of defocus, of angles, of rigidity) and are stated in the rule.
"""

from __future__ import annotations

from tomoset.check import _files, _linked, _space, _tables
from tomoset.formats import FORMATS, Reading, format_of, wrong_images
from tomoset.model import TomogramSet
from tomoset.model.rules import Problem, Rule, each, mixed, nowhere

__all__ = ["RULES", "Problem", "Rule", "check", "check_reading"]


def check(tomograms: TomogramSet, *, images: bool = False) -> list[Problem]:
    """Apply every rule to a set.

    Parameters
    ----------
    tomograms : TomogramSet
        As it was read.
    images : bool
        Whether every image is read too, which takes its time: outlier pixels, blank images.

    Returns
    -------
    list of Problem
        In the order of `RULES`, those of other formats left out; empty if all is well.

    Examples
    --------
    >>> from tomoset import TomogramSet
    >>> [p.code for p in check(TomogramSet())]
    ['S01']
    """
    return [
        rule.problem(name, message)
        for rule in (*format_of(tomograms).rules, *_RULES, *(_OF_PIXELS if images else ()))
        for name, message in rule.test(tomograms)
    ]


def check_reading(reading: Reading, *, images: bool = False) -> list[Problem]:
    """Apply every rule to what was read of a set, and to what could not be read.

    Parameters
    ----------
    reading : Reading
        As `tomoset.formats.open_parts` gives it: linked sets are read here, one by one.
    images : bool
        Read every image too.

    Returns
    -------
    list of Problem
        What could not be read first, then as `check`.
    """
    project = reading.project
    wrong = [*reading.failures, *wrong_images(project.tomograms, project.tomograms.path or "")]
    found = [
        _UNREADABLE.problem(f.name, str(f.error).replace(f"tomogram {f.name!r}: ", "", 1))
        for f in wrong
    ]
    linked = _linked.problems(project, whole=not reading.failures)
    found += [_LINKS.problem(None, message) for message in linked]
    # Where none could be read, that is said already.
    if not project.tomograms and wrong:
        return found
    return found + check(project.tomograms, images=images)


_UNREADABLE = Rule(
    "S05", "error", "each tomogram can be read", "The others are looked at without it.", nowhere
)
_LINKS = Rule(
    "L01", "error", "linked sets are there and fit", "Correct it, or take the entry out.", nowhere
)

#: By the letters of their codes: S set and names, L linked sets, F files, D dose, C CTF, V values,
#: G geometry, H hand. Formats have others, such as R, RELION.
_RULES = (
    Rule("S01", "error", "the set holds a tomogram", "Import or select one.", _files.empty),
    Rule("S02", "warning", "names differ in more than case", "Rename one.", _files.similar_names),
    Rule("S03", "note", "names are plain", "Rename it if a program stumbles.",
         each(_files.odd_name)),
    Rule("S04", "warning", "pixel sizes agree", "Check the pixel size; use optics groups.",
         mixed("the pixel size", lambda t: t.optics.pixel_size)),
    Rule("S07", "warning", "programs have finished", "Run it again, to go on where it was.",
         each(_tables.unfinished)),
    Rule("S06", "error", "the pixel size is known", "Give it, in Å:", each(_tables.no_pixel_size),
         command="convert SET DST --to FORMAT --angpix A"),
    Rule("F01", "error", "the images are there", "Correct the path, or go to the project folder.",
         _files.images),
    Rule("F06", "error", "tilt images are named", "Name them in the set.", each(_files.no_images)),
    Rule("F07", "note", "movies have been summed", "Correct their motion.",
         each(_files.movies_only)),
    Rule("F02", "warning", "the fiducials are there", "Correct the path, or find them again:",
         _files.fiducials, command="find-fiducials SET --o DIR --r A"),
    Rule("F03", "error", "the stack is whole", "Copy it, or make it again.", _files.short_stack),
    Rule("F04", "warning", "volumes are there and have the voxels that the set says",
         "Correct the set, or reconstruct again:", _files.volumes,
         command="reconstruct SET --o DIR"),
    Rule("F05", "error", "each image shows one tilt of one tomogram",
         "Correct the names of the images, or leave the tomogram out.", _files.images_twice),
    Rule("D01", "warning", "doses are there", "Import with the dose of an image and an order list.",
         each(_tables.no_dose)),
    Rule("D03", "warning", "doses differ", "Check the order of acquisition.",
         each(_tables.same_dose)),
    Rule("D04", "warning", "a dose is 0, that of the first image",
         "Compare with the order of acquisition.", each(_tables.first_dose)),
    Rule("C01", "warning", "defocus is there", "Import with a table of defocus.",
         each(_tables.no_ctf)),
    Rule("C02", "error", "defocus is usual", "Measure it again, or exclude the images.",
         each(_tables.unusual_defocus)),
    Rule("C03", "warning", "defocus is steady", "Look at the fits of these images.",
         each(_tables.defocus_jump)),
    Rule("V01", "warning", "values are usual", "Correct them in the set if they are slips.",
         each(_tables.unusual_values)),
    Rule("V02", "error", "what is known of a tilt image is known of all",
         "Measure it, or exclude the images.", each(_tables.not_known)),
    Rule("G01", "warning", "the series is aligned", "Align it, and import the alignment.",
         each(_space.not_aligned)),
    Rule("G12", "warning", "what angles and shifts are about is known", "Give what lacks, in px:",
         each(_space.not_placed),
         command="convert SET DST --to FORMAT --size W H D --image-size W H"),
    Rule("G02", "warning", "projections are near-rigid", "Check the alignment of these images.",
         each(_space.not_rigid)),
    Rule("G03", "error", "no image is a mirror image", "Check the alignment of these images.",
         each(_space.mixed_mirror)),
    Rule("G04", "warning", "the tilt axis is steady", "Check the alignment of these images.",
         each(_space.axis_outlier)),
    Rule("G05", "warning", "tilts are within 80°", "Check the tilt angles.", each(_space.steep)),
    Rule("G06", "error", "tilt angles differ", "Check the file of tilt angles.",
         each(_space.same_tilt)),
    Rule("G07", "error", "the tomogram is in the images", "Check alignment, size and binning.",
         each(_space.centre_outside)),
    Rule("G08", "warning", "x and y are not swapped", "Check FULLIMAGE or the size columns.",
         each(_space.turned_size)),
    Rule("G11", "warning", "images show the tomogram", "Is the stack binned, or of another series?",
         each(_space.coverage)),
    Rule("G09", "warning", "the size is there", "Give it, in px:", each(_space.no_size),
         command="convert SET DST --to FORMAT --size W H D"),
    Rule("G10", "note", "sizes are even", "RELION 5 puts odd ones half a voxel off.",
         each(_space.odd_size)),
    Rule("H01", "warning", "the hand is the same for all", "One microscope has one hand.",
         mixed("the hand", lambda t: t.hand)),
    Rule("H02", "warning", "images do not contradict the hand",
         "If nothing else is wrong with the series:", each(_tables.hand_contradicted),
         command="hand SET --o DIR --apply"),
    Rule("H03", "note", "the hand is determined", "Ask the images:", _tables.hand_unknown,
         command="hand SET --o DIR --apply"),
)  # fmt: skip

#: What can be said only when every image is read.
_OF_PIXELS = (
    Rule("F08", "warning", "images show a specimen, no defects, the tilt axis (with --images)",
         "Programs limit outlier pixels; exclude what shows nothing; look at a wrong axis.",
         _files.odd_images),
)  # fmt: skip

#: All that is asked of sets of any format: each format's own, then those of all sets.
RULES = (
    *dict.fromkeys(rule for format in FORMATS for rule in format.rules),
    _UNREADABLE,
    _LINKS,
    *_RULES,
    *_OF_PIXELS,
)
