"""What users of other programs have reported of imports: each is right here, or a message that helps.

The threads are of relion, warp, AreTomo2, AreTomo3 and others; what is asked is in each row. Reports
about mdoc files are in ``test_mdoc.py``, about STAR files in ``test_star*.py``, about sets in
``test_relion4.py`` and ``test_relion5.py``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import tomoset
from tests.builders.command import run
from tests.builders.image_stacks import write_stack
from tests.builders.imod_folder import TILT_COM, ctffind, make_folder, transforms


def with_list(text: str) -> str:
    return TILT_COM + f"EXCLUDELIST {text}\n"


def imports(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    code, _, errors = run(
        capsys,
        *("import", "imod", "TS", "-o", "set.star", "--angpix", "2", "--fd", "3", "--no-cull"),
        *more,
    )
    return code, errors


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("views", "kept"),
    [
        ("1-2,5", [2, 3]),  # relion#838: 'Excluding frames: 0 8 27 40' for 1-9,28-41
        ("1-2, 5", [2, 3]),
        ("2-1,5", [2, 3]),
        ("5", [0, 1, 2, 3]),
        ("1,2,5,5", [2, 3]),
    ],
)
def test_lists_of_excluded_views(
    capsys: pytest.CaptureFixture[str], views: str, kept: list[int]
) -> None:
    make_folder(Path("TS"), tilt=with_list(views))
    code, errors = imports(capsys)
    assert code == 0, errors
    index = tomoset.read("set.star")["TS"].image_index
    assert index is not None
    assert index.tolist() == kept


BLANK = "\n\n   \n"


@pytest.mark.parametrize(
    "texts",
    [
        # relion: 'did not find 6 columns in xf file', 'did not find 1 column in tlt file'
        {"xf": transforms(5) + BLANK, "tlt": "-40\n-20\n0\n20\n40\n" + BLANK},
        # warp#194, #466: '39 active tilts in series, but 34 lines in ...xf'
        {"tilt": with_list("2"), "xf": transforms(4), "tlt": "-40\n0\n20\n40\n"},
        # relion#838: '41 requested, 40 found' of a table whose first line was taken for a header
        {"ctf": ctffind(5).split("\n", 2)[2]},
        # warp#135: 'The input string '  40.01' was not in a correct format.'
        {"tlt": "  -40.01\n -20.0\n  0.00\n +20.0\n  40.01\r\n"},
    ],
)
def test_what_is_right_is_read(capsys: pytest.CaptureFixture[str], texts: dict[str, str]) -> None:
    make_folder(Path("TS"), **texts)
    code, errors = imports(capsys)
    assert code == 0, errors


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        # relion#838
        ({"tilt": with_list("0-2")}, ("tilt.com:", "0")),
        ({"tilt": with_list("4-9")}, ("tilt.com:11", "view 6", "1 to 5")),
        ({"tilt": with_list("1,,x")}, ("tilt.com:", "x")),
        # relion#1220: 'Mismatched frame counts ... 720 (720 + 0 excl.) vs. 41'
        ({"tlt": "1\n2\n3\n"}, ("TS.tlt", "5 images", "found 3")),
        ({"xf": transforms(6)}, ("TS.xf", "5 images", "found 6")),
        ({"ctf": ctffind(4)}, ("TS_ctf.txt", "5 images", "4 lines")),
        # relion#1309: 'found 0 entries in tlt file ..., but expected 33 entries'
        ({"tlt": ""}, ("TS.tlt", "empty")),
        ({"xf": ""}, ("TS.xf", "empty")),
        # warp#225, #255, #268: the message named the .xf where the .tlt was missing
        ({"tlt": None}, ("TS.tlt",)),
        ({"xf": None}, ("TS.xf",)),
        # warp#191, AreTomo2#21: 'all tilt angles are zero in ..._st.tlt'
        ({"tlt": "0\n0\n0\n0\n0\n"}, ("TS.tlt", "all tilt angles are 0")),
        # AreTomo3#54: '-End of file before all values gotten from file of X-axis tilt angles'
        ({"tilt": TILT_COM + "XTILTFILE TS.xtilt\n", "xtilt": "0\n0\n"}, ("TS.xtilt", "found 2")),
        # AreTomo2#11
        ({"tlt": "-40\n1567301525373690323140608.00\n0\n20\n40\n"}, ("TS.tlt", "±180")),
        ({"tlt": "-40,0\n-20,0\n0,0\n20,0\n40,0\n"}, ("TS.tlt:1", "point")),
    ],
)
def test_what_is_wrong_is_said_with_its_file(
    capsys: pytest.CaptureFixture[str], texts: dict[str, str | None], said: tuple[str, ...]
) -> None:
    make_folder(Path("TS"), **texts)
    code, errors = imports(capsys)
    assert code == 1
    for word in said:
        assert word in errors, errors
    assert "Traceback" not in errors
    assert not Path("set.star").exists()


def test_one_image_and_images_of_other_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    """relion: out of range for a fractional dose with one tilt; 'unequal image dimensions'."""
    make_folder(Path("TS"), [0.0], xf=transforms(1), tlt="0\n", ctf=ctffind(1), order="1,0\n")
    code, errors = imports(capsys)
    assert code == 0, errors
    for name, size in (("a_1", (8, 8)), ("a_2", (8, 9))):
        write_stack(Path(f"{name}.mrc"), 1, size, 2.0)
    code, _, errors = run(
        capsys, "import", "images", "a_1.mrc", "a_2.mrc", "--angles", "0,3", "-o", "x.star"
    )
    assert code == 1
    assert "differ in size" in errors


def test_nothing_that_fits_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """relion#1187: 'Wrote STAR files for 0 tilt-series.' with success."""
    Path("empty").mkdir()
    for package in ("imod", "aretomo", "warp", "images", "mdoc", "eman2", "cets", "portal"):
        code, _, errors = run(capsys, "import", package, "empty", "-o", "x.star")
        assert code != 0, package
        assert errors
        assert not Path("x.star").exists()
