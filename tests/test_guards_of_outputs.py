"""No file is replaced that a command reads, or that it did not make of this set."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

import tomoset
import tomoset.formats
from tests.builders.command import Run, convert
from tests.builders.imod_folder import TILT_COM, make_folder
from tests.builders.imported_folder import import_table
from tests.builders.relion_project import small_project
from tests.builders.whole_project import NAME, whole_project, write_files
from tomoset.cli import main
from tomoset.errors import FileAccessError

pytestmark = pytest.mark.filterwarnings("ignore::tomoset.TomosetWarning")
COARSE = ("--bin", "8", "--figures", "none")


@pytest.fixture
def made(here: Path) -> Path:
    write_files(here)
    tomograms = whole_project().tomograms
    tomograms.write("tomograms.star", "relion5")
    tomograms.write("other.star", "relion4")
    return here


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(list(arguments)) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_the_images_are_never_replaced_by_the_volume(
    made: Path, capsys: pytest.CaptureFixture[str], link: object
) -> None:
    volume = Path(f"W/tomograms/rec_{NAME}.mrc")
    stack = Path(str(tomoset.read("other.star")[NAME].stack))
    volume.parent.mkdir(parents=True)
    if link is None:
        shutil.move(stack, volume)
        text = Path("other.star").read_text().replace(str(stack), str(volume))
        Path("other.star").write_text(text)
    else:
        link(stack.absolute(), volume)  # type: ignore[operator]
    before = volume.read_bytes()
    for more in ((), ("--overwrite",)):
        assert "is read by this command" in refused(
            capsys, "reconstruct", "other.star", "--o", "W", *COARSE, *more
        )
    assert volume.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "command"),
    [
        (f"tomograms/rec_{NAME}.mrc", ("reconstruct", *COARSE)),
        (f"tomograms/rec_{NAME}.pdf", ("reconstruct", "--bin", "8", "--figures", "pdf")),
        (f"{NAME}.fid", ("find-fiducials", "--r", "60", "--fid", "--figures", "none")),
        (f"fiducials_{NAME}.star", ("find-fiducials", "--r", "60", "--figures", "none")),
        ("tilt_series/" + NAME + ".star", ("reconstruct", *COARSE)),
        ("tomograms.star", ("reconstruct", *COARSE)),
    ],
)
def test_what_others_made_is_replaced_on_demand_only(
    made: Path, capsys: pytest.CaptureFixture[str], name: str, command: tuple[str, ...]
) -> None:
    precious, arguments = Path("N", name), (command[0], "tomograms.star", "--o", "N", *command[1:])
    precious.parent.mkdir(parents=True)
    content = Path("other.star").read_text() if name.endswith("star") else "precious"
    precious.write_text(content)
    assert f"{precious} is there, and was not made by this command" in refused(capsys, *arguments)
    assert precious.read_text() == content
    assert [p.name for p in Path("N").rglob("*") if p.is_file()] == [precious.name]
    assert main([*arguments, "--overwrite"]) == 0
    assert precious.read_bytes() != content.encode()
    assert main(list(arguments)) == 0  # now it is its own


def test_a_link_in_the_place_of_an_output_is_not_followed(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = Path(f"N/tomograms/rec_{NAME}.mrc")
    volume.parent.mkdir(parents=True)
    Path("elsewhere.mrc").write_text("precious")
    volume.symlink_to(Path("elsewhere.mrc").absolute())
    command = ("reconstruct", "tomograms.star", "--o", "N", *COARSE)
    assert "is a link to" in refused(capsys, *command)
    assert main([*command, "--overwrite"]) == 0
    assert not volume.is_symlink()
    assert Path("elsewhere.mrc").read_text() == "precious"


def test_beads_that_are_given_are_never_replaced(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("find-fiducials", "tomograms.star", "--fid", "--figures", "none")
    assert main([*arguments, "--o", "N", "--r", "60"]) == 0
    beads = shutil.copy(f"N/{NAME}.fid", f"{NAME}.fid")
    before = Path(beads).read_bytes()
    (made / "B").mkdir()
    os.link(beads, f"B/{NAME}.fid")
    again = (*arguments, "--beads", "{name}.fid", "--o", "B", "--overwrite")
    assert "is read by this command" in refused(capsys, *again)
    assert Path(beads).read_bytes() == before


def test_a_folder_is_of_one_set(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconstruct", "tomograms.star", "--o", "N", *COARSE]) == 0
    before = Path(f"N/tomograms/rec_{NAME}.mrc").read_bytes()
    assert "was not made by this command of this set" in refused(
        capsys, "reconstruct", "other.star", "--o", "N", "--bin", "4", "--figures", "none"
    )
    assert Path(f"N/tomograms/rec_{NAME}.mrc").read_bytes() == before


def test_a_set_that_was_edited_is_not_replaced(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("reconstruct", "tomograms.star", "--o", "N", *COARSE)
    assert main(list(command)) == 0
    with Path("N/tomograms.star").open("a") as stream:
        stream.write("# mine\n")
    assert "N/tomograms.star was changed after tomoset had written it" in refused(capsys, *command)
    assert Path("N/tomograms.star").read_text().endswith("# mine\n")


def test_a_set_that_changed_since_it_was_read_is_not_replaced(made: Path) -> None:
    mine = tomoset.read("tomograms.star")
    mine.write("tomograms.star")
    mine.write("tomograms.star")
    mine = tomoset.read("tomograms.star")
    Path("tomograms.star").write_text(Path("tomograms.star").read_text() + "# somebody else\n")
    with pytest.raises(FileAccessError, match=r"tomograms.star has changed since it was read"):
        mine.write("tomograms.star")
    assert Path("tomograms.star").read_text().endswith("# somebody else\n")


def test_imports_do_not_share_culled_stacks(run: Run, tmp_path: Path) -> None:
    for folder, excluded in (("a", "2"), ("b", "3")):
        make_folder(tmp_path / folder / "TS", tilt=TILT_COM + f"EXCLUDELIST {excluded}\n")
    assert run("a/TS", "--angpix", "2", "--fd", "3")[0] == 0
    shutil.move("out.star", "first.star")
    before = Path("culled/TS.mrc").read_bytes()
    code, _, errors = run("b/TS", "--angpix", "2", "--fd", "3")
    assert code == 1
    assert "culled/TS.mrc is there, and was not made by this command of this set" in errors
    assert Path("culled/TS.mrc").read_bytes() == before
    assert not Path("out.star").exists()


def test_an_import_does_not_replace_an_edited_set(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS")
    common = ("TS", "--angpix", "2", "--fd", "3")
    assert run(*common)[0] == 0
    assert run(*common)[0] == 0  # the same again changes nothing
    text = Path("out.star").read_text()
    assert "  -1 " in text
    Path("out.star").write_text(text.replace("  -1 ", "   1 "))
    code, _, errors = run(*common)
    assert code == 1
    assert "out.star is there" in errors
    assert tomoset.read("out.star")["TS"].hand == 1
    assert run(*common, "--overwrite")[0] == 0
    assert tomoset.read("out.star")["TS"].hand == -1


def test_an_import_never_replaces_its_table(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS")
    import_table(tmp_path, "TS TS/TS.st:mrc TS", "TomoName TomoTiltSeriesName TomoImportImodDir")
    os.link("in.star", "out.star")
    before = Path("in.star").read_bytes()
    code, _, errors = run("--i", "in.star", "--flipYZ", "--angpix", "2", "--overwrite")
    assert code == 1
    assert "out.star is" in errors
    assert Path("in.star").read_bytes() == before


def test_a_conversion_whose_verification_fails_leaves_what_was_there(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_project(here)
    arguments = ("optimisation_set.star", "o", "--to")
    assert convert(capsys, *arguments, "relion4")[0] == 0
    before = {path: path.read_bytes() for path in Path("o").rglob("*") if path.is_file()}
    monkeypatch.setattr("tomoset.project.verify.Verification.holds", lambda *_: False)
    code, _, errors = convert(capsys, *arguments, "relion5", "--overwrite")
    assert code == 1
    assert "nothing was written" in errors
    after = {path: path.read_bytes() for path in Path("o").rglob("*") if path.is_file()}
    assert after == before


def test_losses_of_defocus_are_announced(
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(shared / "cases/nearest_proof_fails", tmp_path / "case")
    monkeypatch.chdir(tmp_path / "case")
    size = ("--to", "relion5", "--image-size", "152", "160")
    code, out, errors = convert(capsys, "tomograms.star", "out/t.star", *size, "--nearest")
    assert code == 0
    assert re.search(r"8\.43 px, and by 10[67]\.\d Å in depth, which is defocus", errors)
    assert "defocus within 1.1e+02 Å" in out
    assert convert(capsys, "tomograms.star", "out2/t.star", *size)[0] == 1
    assert not Path("out2").exists()


@pytest.mark.parametrize("what", ["stack", "volume"])
def test_other_content_of_the_same_size_and_time_is_seen(
    made: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    command = ("reconstruct", "tomograms.star", "--o", "N", *COARSE)
    assert main(list(command)) == 0
    volume = Path(f"N/tomograms/rec_{NAME}.mrc")
    before = volume.read_bytes()
    changed = volume if what == "volume" else Path(str(tomoset.read("other.star")[NAME].stack))
    status, content = changed.stat(), bytearray(changed.read_bytes())
    content[4096:8192] = content[8192:12288]
    changed.write_bytes(content)
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))
    capsys.readouterr()
    assert main([*command, "--continue"]) == 0
    assert "1/1" in capsys.readouterr().err
    assert (volume.read_bytes() == before) == (what == "volume")
    assert main([*command, "--continue"]) == 0
    assert "1 of 1 are there already" in capsys.readouterr().err
