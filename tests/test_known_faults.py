"""What is known to go wrong with sets, and where tomoset says so: a rule of check, or a test.

Numbers are those of the collections that are kept beside the repository: cases on which an earlier
version failed, what users of other programs ask for, the messages they met, what an archive's
validator asks. Of some nothing can be seen in a project: what an import, a conversion or a reader
does with them is tested, by the tests that are named. `AWAY` are those that are not of sets.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tomoset.check import RULES, check_reading
from tomoset.formats import open_parts

TESTS = Path(__file__).parent
AWAY = ("not of sets",)

CASES = {
    "aretomo3_imod_ctf": ("cases_imod",),
    "convert_missing_motion": ("L01", "cures"),
    "convert_no_pixel_size": ("S06", "cures"),
    "defocus_v2_inverted_angles": ("cases_imod", "defocus_files"),
    "dose_advice": ("D04",),
    "dual_axis_folder": ("cases_imod",),
    "hot_pixels": ("F08", "cases_images"),
    "image_used_twice": ("F05",),
    "import_empty_table_rc0": ("cases_values",),
    "import_newst_1e308": ("cases_values",),
    "info_json_nan": ("S05", "cases_values"),
    "long_name_stops_all": ("cases_values",),
    "mixed_project_after_failure": ("L04", "reliability"),
    "nearest_proof_fails": ("G02", "guards_of_outputs"),
    "outputs_by_name_replace_unrelated_files": ("guards_of_outputs",),
    "partial_size_lost": ("G09", "cases_values"),
    "particles_of_missing_tomogram": ("L02", "cases_values"),
    "quadratic_quotes": ("scaling",),
    "quadratic_read_relion4": ("scaling",),
    "rawtlt_alone": ("F08", "check_axis"),
    "reconstruct_no_memory_bound": ("V01", "room"),
    "reconstruct_overwrites_its_own_input": ("guards_of_outputs",),
    "relion5_inline_tables": ("cases_values",),
    "second_import_replaces_stack": ("guards_of_outputs",),
    "silent_optics_and_angles": ("V01", "C02"),
    "stray_tmp_never_removed": ("reliability",),
    "tiff_images": ("images_tiff",),
}
#: What users ask for.
NEEDS = {
    1: ("convert", "imod_golden"),
    2: ("H01", "H02", "H03", "G03", "G13"),
    3: ("P01", "particle_tables"),
    4: ("R02", "imod_import"),
    5: ("G14", "imod_import"),
    6: ("R01", "L04", "convert"),
    7: ("G13", "mdoc"),
    8: ("G08", "G11"),
    9: ("F05", "S08", "G14", "mdoc"),
    10: ("D01", "D03", "D04", "D05", "D06", "mdoc"),
    11: ("L02", "S02", "S03", "S08", "names"),
    12: ("N01", "known_messages"),
    13: ("aretomo",),
    14: ("F04", "F10", "G11"),
    15: ("G10", "R01"),
    16: ("G02", "G04", "C03", "V01"),
    17: ("guards_of_outputs",),
    18: ("N02", "convert"),
    19: ("N02", "warp"),
    20: ("C01", "C02", "C04", "C06", "defocus_files"),
    21: ("imod_local", "N02"),
    22: ("room",),
    23: ("F09", "N01"),
    24: ("F02", "F12"),
    25: ("star", "star_properties"),
    26: ("known_messages", "V01"),
    27: ("S04", "P05", "P02"),
    28: ("F01", "F11", "paths"),
    29: ("cets", "check"),
    30: ("P06", "P07"),
    31: ("S05", "S07", "parts"),
    32: ("formats",),
}
#: Messages that users met, and crashes.
MESSAGES = {
    **dict.fromkeys((1, 2, 3, 24, 25, 28, 32, 33, 34, 38, 45), ("known_messages",)),
    4: ("convert",),
    5: ("F09", "mdoc"),
    6: ("C01", "N01"),
    7: ("relion4",),
    8: ("S03", "star"),
    9: ("relion4", "star"),
    10: ("S05", "relion5"),
    11: ("D01", "N01"),
    12: ("relion4",),
    13: ("relion4",),
    14: ("relion4", "cases_values"),
    15: ("P05", "particles"),
    16: ("particles",),
    17: ("particles",),
    18: ("known_messages",),
    19: ("G01", "N01"),
    20: ("S06", "cases_values"),
    21: ("relion5",),
    22: ("relion4",),
    23: ("R03",),
    26: ("aretomo",),
    27: ("parts",),
    29: ("mdoc",),
    30: AWAY,
    31: AWAY,
    35: ("mdoc",),
    36: ("mdoc",),
    37: ("known_messages",),
    39: ("warp",),
    40: ("particles",),
    41: ("L02",),
    42: ("F01", "paths"),
    43: ("H01",),
    44: ("mdoc",),
    46: ("V01", "aretomo"),
    47: ("G15", "mdoc"),
    48: ("star",),
    49: ("S03",),
    50: ("names",),
    51: ("P01", "particle_tables"),
    52: ("relion5",),
}
#: What an archive's validator asks, in its order, and what was added to it.
VALIDATOR = {
    "mdoc: sections and frames": ("mdoc",),
    "axis within 10 degrees": ("G13",),
    "rawtlt and stack": ("F03", "known_messages"),
    "rawtlt and mdoc": ("G14", "mdoc"),
    "astigmatism angle": ("C05",),
    "major defocus first": ("C04",),
    "phase shift": ("V01",),
    "sum of exposures": ("D06",),
    "order of acquisition and of dose": ("D05",),
    "tilts unique": ("G06", "G15"),
    "names of tables": ("S05",),
    "files there, of the same size": ("F01", "F03", "F08"),
    "volume and coverage": ("G07", "G11"),
    "hand": ("H01",),
    "pixel sizes": ("S04",),
    "odd sizes": ("G10",),
    "angles": ("G05",),
    "defocus": ("C02",),
    "scale and tilt": ("C06",),
    "matrices": ("G02", "G03"),
}


@pytest.mark.parametrize("faults", [CASES, NEEDS, MESSAGES, VALIDATOR])
def test_every_fault_is_found_by_a_rule_or_a_test(faults: dict[object, tuple[str, ...]]) -> None:
    codes = {rule.code for rule in RULES}
    for fault, found_by in faults.items():
        assert found_by, fault
        for one in found_by if found_by != AWAY else ():
            assert one in codes or (TESTS / f"test_{one}.py").is_file(), f"{fault}: {one}"


@pytest.mark.parametrize(
    ("case", "links"),
    [
        ("convert_missing_motion", "optimisation_set.star"),
        ("convert_no_pixel_size", "tomograms.star"),
        ("image_used_twice", "one_image_for_all/tomograms.star"),
        ("image_used_twice", "shared_by_two/tomograms.star"),
        ("info_json_nan", "tomograms.star"),
        ("mixed_project_after_failure", "mixed/optimisation_set.star"),
        ("nearest_proof_fails", "tomograms.star"),
        ("partial_size_lost", "tomograms.star"),
        ("particles_of_missing_tomogram", "optimisation_set.star"),
    ],
)
def test_rules_find_the_cases_that_are_sets(
    case: str, links: str, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir((shared / "cases" / case / links).parent)
    found = {p.code for p in check_reading(open_parts(Path(links).name))}
    assert CASES[case][0] in found


def test_no_known_fault_is_left_out(shared: Path) -> None:
    cases = {path.name for path in (shared / "cases").iterdir() if path.is_dir()}
    assert cases <= set(CASES)
    text = (shared / "research/user_needs.md").read_text()
    first, second, *_ = re.split(r"(?m)^## \d\. ", text)[1:]
    assert {int(n) for n in re.findall(r"(?m)^### (\d+)\. ", first)} == set(NEEDS)
    assert {int(n) for n in re.findall(r"(?m)^\| (\d+) \|", second)} == set(MESSAGES)
