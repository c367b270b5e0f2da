"""What may be wrong with a tomogram set: rules with stable codes.

Each rule looks at a set and yields problems with location and cure. Defaults follow what users ask
of a validator (limits of defocus, of angles, of rigidity) and are stated in the rule.
"""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from tomoset.check import _files, _linked, _needs, _particles, _recorded, _space, _tables
from tomoset.check._needs import lacking, targets
from tomoset.errors import UnsupportedError
from tomoset.formats import FORMATS, Reading, format_of, wrong_images
from tomoset.model import Project, TomogramSet
from tomoset.model.rules import Problem, Rule, each, mixed, nowhere

__all__ = [
    "RULES",
    "Problem",
    "Rule",
    "check",
    "check_project",
    "check_reading",
    "chosen_codes",
    "targets",
]


def check(tomograms: TomogramSet, *, images: bool = False) -> list[Problem]:
    """Apply every rule to a set.

    Parameters
    ----------
    tomograms : TomogramSet
        As it was read.
    images : bool
        Whether every image is read too, which takes its time: outlier pixels, blank images,
        their defocus.

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
    return check_project(Project(tomograms=tomograms), images=images)


def check_project(
    project: Project,
    *,
    images: bool = False,
    codes: Collection[str] | None = None,
    target: str | None = None,
) -> list[Problem]:
    """Apply rules to a project that has been read: its tomograms, and what refers to them.

    Parameters
    ----------
    project : Project
        What is unread in it is not looked at.
    images : bool
        Read every image too.
    codes : collection of str, optional
        Of the rules that are asked (`chosen_codes`); None: all.
    target : str, optional
        The next program, of `targets`: what it needs must be there.

    Raises
    ------
    UnsupportedError
        If the next program is not known.
    """
    project = project.with_sets(unread={})
    asked = (*format_of(project.tomograms).rules, *_RULES, *(_OF_PIXELS if images else ()))
    asked = tuple(rule for rule in asked if codes is None or rule.code in codes)
    found = [
        rule.problem(name, message)
        for rule in asked
        for name, message in (rule.linked(project) if rule.linked else rule.test(project.tomograms))
    ]
    needed = [] if target is None else lacking(project, target)
    return found + [p for p in needed if codes is None or p.code in codes]


def check_reading(
    reading: Reading,
    *,
    images: bool = False,
    codes: Collection[str] | None = None,
    target: str | None = None,
) -> list[Problem]:
    """Apply rules to what was read of a set, and to what could not be read.

    Parameters
    ----------
    reading : Reading
        As `tomoset.formats.open_parts` gives it: linked sets are read here, one by one.
    images, codes, target
        As of `check_project`.

    Returns
    -------
    list of Problem
        What could not be read first, then as `check_project`.
    """
    tomograms = reading.project.tomograms
    wrong = [*reading.failures, *wrong_images(tomograms, tomograms.path or "")]
    found = [
        _UNREADABLE.problem(f.name, str(f.error).replace(f"tomogram {f.name!r}: ", "", 1))
        for f in wrong
    ]
    linked = _linked.Reader(reading.project, whole=not reading.failures)
    for rule, said in ((_LINKS, linked.wrong), (_LOST, linked.lost), (_ASSUMED, linked.assumed)):
        found += [rule.problem(None, message) for message in said]
    found = [p for p in found if codes is None or p.code in codes]
    # Where none could be read, that is said already.
    if not tomograms and wrong:
        return found
    return found + check_project(linked.project, images=images, codes=codes, target=target)


def chosen_codes(
    select: Collection[str] = (), ignore: Collection[str] = ()
) -> frozenset[str] | None:
    """The codes of the rules that are asked; None: all.

    Parameters
    ----------
    select, ignore : collection of str
        Codes or beginnings of codes: ``F`` means all rules of files. The longer one wins.

    Raises
    ------
    UnsupportedError
        If no rule has such a code; the message has those that are near.

    Examples
    --------
    >>> sorted(chosen_codes(["H"], ["H02"]))
    ['H01', 'H03']
    """
    every = [rule.code for rule in RULES]
    for prefix in (*select, *ignore):
        if not prefix or not any(code.startswith(prefix) for code in every):
            near = get_close_matches(prefix.upper(), every, cutoff=0.4)
            near = near or sorted({code[0] for code in every})
            raise UnsupportedError(
                f"no rule has a code that begins with {prefix!r}; did you mean {', '.join(near)}?"
            )
    if not select and not ignore:
        return None

    def longest(code: str, prefixes: Collection[str]) -> int:
        return max((len(p) for p in prefixes if code.startswith(p)), default=-1)

    wanted = select or ("",)
    return frozenset(code for code in every if longest(code, wanted) > longest(code, ignore))


_UNREADABLE = Rule(
    "S05", "error", "each tomogram can be read", "The others are looked at without it.", nowhere
)
_LINKS = Rule(
    "L01", "error", "linked sets are there and fit", "Correct it, or take the entry out.", nowhere
)
_LOST = Rule(
    "L02",
    "warning",
    "linked sets refer to what is there",
    "Programs pass over the rest; rename it, or take it out.",
    nowhere,
)
_ASSUMED = Rule("L03", "warning", "linked sets leave nothing to be assumed",
                "Correct it if it is meant otherwise.", nowhere)  # fmt: skip

#: By the letters of their codes: S set and names, L linked sets, F files, D dose, C CTF, V values,
#: G geometry, H hand, P particles, M motion, N what the next program needs. Formats have others,
#: such as R, RELION.
_RULES = (
    Rule("S01", "error", "the set holds a tomogram", "Import or select one.", _files.empty),
    Rule("S02", "warning", "names differ in more than case", "Rename one.", _files.similar_names),
    Rule("S03", "note", "names are plain", "Rename it if a program stumbles.",
         each(_files.odd_name)),
    Rule("S04", "warning", "pixel sizes agree", "Check the pixel size; use optics groups.",
         mixed("the pixel size", lambda t: t.optics.pixel_size)),
    Rule("S07", "warning", "programs have finished", "Run it again, to go on where it was.",
         each(_tables.unfinished)),
    Rule("S08", "warning", "files are called like their own tomogram",
         "Is it the right file?", _files.names_of_others),
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
    Rule("F09", "warning", "images of half of the frames come in pairs",
         "Name the others too, or none.", each(_files.half_images)),
    Rule("F10", "warning", "headers of stacks do not contradict the pixel size",
         "Is the stack binned, or of super-resolution?", _files.header_pixels),
    Rule("F11", "note", "paths are relative", "So a project can be moved (--fix).",
         each(_files.absolute_paths)),
    Rule("F12", "warning", "fiducials can be read, and lie in their tomogram",
         "Find them again:", _linked.fiducials, command="find-fiducials SET --o DIR --r A"),
    Rule("D01", "warning", "doses are there", "Import with the dose of an image and an order list.",
         each(_tables.no_dose)),
    Rule("D03", "warning", "doses differ", "Check the order of acquisition.",
         each(_tables.same_dose)),
    Rule("D04", "warning", "a dose is 0, that of the first image",
         "Compare with the order of acquisition.", each(_tables.first_dose)),
    Rule("D05", "warning", "doses go up in the order of acquisition",
         "One of the two is wrong: look at the .mdoc file.", each(_recorded.order_against_doses)),
    Rule("D06", "warning", "doses go up by the dose of an image",
         "Check both.", each(_recorded.dose_of_an_image)),
    Rule("C01", "warning", "defocus is there", "Import with a table of defocus.",
         each(_tables.no_ctf)),
    Rule("C02", "error", "defocus is usual", "Measure it again, or exclude the images.",
         each(_tables.unusual_defocus)),
    Rule("C03", "warning", "defocus is steady", "Look at the fits of these images.",
         each(_tables.defocus_jump)),
    Rule("C04", "note", "the larger defocus comes first", "It is the same (--fix swaps them).",
         each(_recorded.smaller_first)),
    Rule("C05", "note", "angles are within ±180°", "They are the same (--fix turns them).",
         each(_recorded.wide_angles)),
    Rule("C06", "note", "the CTF scale fades with the tilt", "Look at the fits of these images.",
         each(_recorded.odd_scale)),
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
    Rule("G13", "warning", "the tilt axis is that of the microscope",
         "Check the alignment; or the microscope's axis, which is often wrong.",
         each(_recorded.axis_as_recorded)),
    Rule("G14", "warning", "tilts are those of the microscope",
         "Check the file of tilt angles, and the order of the images.",
         each(_recorded.tilts_as_recorded)),
    Rule("G15", "note", "nominal tilts differ", "Programs that go by angles mix them up.",
         each(_recorded.same_angle_twice)),
    Rule("H01", "warning", "the hand is the same for all", "One microscope has one hand.",
         mixed("the hand", lambda t: t.hand)),
    Rule("H02", "warning", "images do not contradict the hand",
         "If nothing else is wrong with the series:", each(_tables.hand_contradicted),
         command="hand SET --o DIR --apply"),
    Rule("H03", "note", "the hand is determined", "Ask the images:", _tables.hand_unknown,
         command="hand SET --o DIR --apply"),
    Rule("L04", "warning", "all sets are of one dialect", "Write them anew:", nowhere,
         command="convert SET DST --to FORMAT", linked=_linked.mixed_dialects),
    Rule("P01", "warning", "particles lie in their tomograms",
         "Check binning, axes and tomogram of the picks.", nowhere, linked=_particles.outside),
    Rule("P02", "warning", f"particles are not within {_particles.CLOSE:g} Å of one another",
         "Remove duplicates.", nowhere, linked=_particles.close),
    Rule("P03", "note", "particles are in half sets", "A refinement splits them.", nowhere,
         linked=_particles.halves_unknown),
    Rule("P04", "warning", "half sets are of like size", "Split the particles again.", nowhere,
         linked=_particles.halves_uneven),
    Rule("P05", "warning", "optics of particles are those of their tomograms",
         "Correct the optics groups.", nowhere, linked=_particles.optics),
    Rule("P06", "warning", "angles of particles are known",
         "Find their orientations, or leave them out.", nowhere, linked=_particles.angles_unknown),
    Rule("P07", "error", "particles are visible in tilt images, one value for each",
         "Extract them again.", nowhere, linked=_particles.unseen),
    Rule("P08", "warning", "particles differ from one another", "--fix keeps the first of each.",
         nowhere, linked=_particles.repeated_rows),
    Rule("P09", "note", "each tomogram holds particles", "Were they picked in all?", nowhere,
         linked=_particles.empty_tomograms),
    Rule("M01", "warning", "trajectories are of particles", "--fix leaves the others out.", nowhere,
         linked=_linked.stray_trajectories),
    Rule("M02", "warning", f"particles move by less than {_linked.JUMP:g} Å between images",
         "Polish again, or leave the trajectories out.", nowhere, linked=_linked.jumps),
)  # fmt: skip

#: What can be said only when every image is read.
_OF_PIXELS = (
    Rule("F08", "warning", "images show a specimen, no defects, the tilt axis (with --images)",
         "Programs limit outlier pixels; exclude what shows nothing; look at a wrong axis.",
         _files.odd_images),
    Rule("C07", "warning", "images show the rings of the table's defocus (with --images)",
         "Measure it again:", _files.odd_defocus, command="ctf SET --o DIR"),
)  # fmt: skip

#: All that is asked of sets of any format: each format's own, then those of all sets.
RULES = (
    *dict.fromkeys(rule for format in FORMATS for rule in format.rules),
    _UNREADABLE,
    _LINKS,
    _LOST,
    _ASSUMED,
    *_RULES,
    *_OF_PIXELS,
    *_needs.RULES,
)
