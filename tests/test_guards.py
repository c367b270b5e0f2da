"""What must never be lost: inputs, devices, culled stacks, the old set; and clean ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tomoset
from tests.builders.command import Run
from tests.builders.image_stacks import write_stack
from tests.builders.imod_folder import NEWST_COM, ORDER, TILT_COM, ctffind, make_folder, transforms
from tests.builders.imported_folder import COMMON, import_table, imported
from tests.builders.relion_texts import tilt_table, tomograms_text
from tomoset.cli import main
from tomoset.files import Transaction, atomic_write, together
from tomoset.formats.imod import batch
from tomoset.images import mrc


@pytest.mark.parametrize("target", ["TS/TS.st", "TS/tilt.com", "in.star", "/dev/null", ""])
def test_outputs_do_not_replace_what_is_no_set(run: Run, tmp_path: Path, target: str) -> None:
    make_folder(tmp_path / "TS")
    import_table(tmp_path, "x TS/TS.st TS TS/TS_ctf.txt TS/TS_order.csv")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert main(["import", "imod", "--i", "in.star", *COMMON, "-o", target]) in (1, 2)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert Path("/dev/null").is_char_device()


def test_a_culled_stack_never_replaces_a_stack(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS", tilt=TILT_COM + "EXCLUDELIST 2\n")
    make_folder(tmp_path / "TT", tilt=TILT_COM + "EXCLUDELIST 2\n")
    labels = (
        "TomoName TomoTiltSeriesName TomoImportImodDir TomoImportOrderList TomoImportCulledFile"
    )
    raw = (tmp_path / "TT/TS.st").read_bytes()
    for culled in (("TT/TS.st", "c/b.mrc"), ("c/a.mrc", "c/a.mrc"), ("TS/TS.st:mrc", "c/b.mrc")):
        rows = [
            f"{n} {d}/TS.st {d} {d}/TS_order.csv {c}"
            for n, d, c in zip("ab", ("TS", "TT"), culled, strict=True)
        ]
        import_table(tmp_path, "\n".join(rows), labels)
        code, _, errors = run("--i", "in.star", *COMMON)
        assert code == 1
        assert "a path of its own" in errors
        assert (tmp_path / "TT/TS.st").read_bytes() == raw
    rows = [
        f"{n} {d}/TS.st {d} {d}/TS_order.csv c/{n}.st:mrc" for n, d in (("a", "TS"), ("b", "TT"))
    ]
    import_table(tmp_path, "\n".join(rows), labels)
    assert run("--i", "in.star", *COMMON)[0] == 0
    assert (tmp_path / "c/a.st").exists()
    assert tomoset.read("out.star")["b"].image_size == (64, 48)


def test_culled_stacks_wait_for_the_set(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_folder(tmp_path / "TS", tilt=TILT_COM + "EXCLUDELIST 2\n")
    assert run("TS", *COMMON)[0] == 0
    before = (tmp_path / "culled/TS.mrc").read_bytes()
    make_folder(tmp_path / "TS", tilt=TILT_COM + "EXCLUDELIST 2,3\n")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "out.star")

    monkeypatch.setattr("tomoset.star.write", full)
    code, _, errors = run("TS", *COMMON, "--overwrite")
    assert code == 1
    assert "out.star: No space left on device" in errors
    assert (tmp_path / "culled/TS.mrc").read_bytes() == before
    assert tomoset.read("out.star")["TS"].n_tilts == 4
    assert [p.name for p in (tmp_path / "culled").iterdir()] == ["TS.mrc"]


def half(files: Transaction, path: Path) -> None:
    with files.open(path) as stream:
        stream.write(b"half")
        raise OSError(28, "the disk is full")


def test_temporary_files_go_when_a_block_fails(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    def one() -> None:
        with atomic_write(tmp_path / "a") as stream:
            stream.write(b"new")
            raise RuntimeError

    def several() -> None:
        with together() as files:
            files.write(tmp_path / "a", b"new")
            files.write(tmp_path / "deep/b", b"new")
            raise RuntimeError

    def one_of_several() -> None:
        with together() as files:
            with pytest.raises(OSError, match="full"):
                half(files, tmp_path / "a")
            raise RuntimeError

    for fails in (one, several, one_of_several):
        with pytest.raises(RuntimeError):
            fails()
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_file_that_failed_does_not_come_with_the_others(tmp_path: Path) -> None:
    with together() as files:
        with pytest.raises(OSError, match="full"):
            half(files, tmp_path / "half")
        files.write(tmp_path / "whole", b"whole")
    assert [p.name for p in tmp_path.iterdir()] == ["whole"]


def test_a_full_disk_leaves_no_half_stack_beside_the_rest(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("A", "B"):
        make_folder(tmp_path / name, tilt=TILT_COM + "EXCLUDELIST 2\n")
    header = mrc.header_like
    calls = []

    def full(*arguments: Any, **named: Any) -> bytes:
        calls.append(arguments)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")
        return header(*arguments, **named)

    monkeypatch.setattr(mrc, "header_like", full)
    code, _, errors = run("A", "B", *COMMON)
    assert code == 1
    assert "No space left on device" in errors
    assert list(tomoset.read("out.star")) == ["B"]
    assert [p.name for p in (tmp_path / "culled").iterdir()] == ["B.mrc"]


def test_ctrl_c_in_the_middle_of_an_import_leaves_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("A", "B"):
        make_folder(tmp_path / name, tilt=TILT_COM + "EXCLUDELIST 2\n")
    before = sorted(tmp_path.rglob("*"))
    first = batch.import_series

    def stopped(series: Any, *arguments: Any) -> Any:
        if series.name == "B":
            raise KeyboardInterrupt
        return first(series, *arguments)

    monkeypatch.setattr(batch, "import_series", stopped)
    assert run("A", "B", *COMMON)[0] != 0
    assert [p for p in sorted(tmp_path.rglob("*")) if p not in before and p.is_file()] == []


def test_what_import_writes_can_be_read(run: Run, tmp_path: Path) -> None:
    """One series has doses and defocus, the other none."""
    make_folder(tmp_path / "A")
    assert run("A", *COMMON)[0] == 0
    os.rename("out.star", "a.star")
    make_folder(tmp_path / "B", order=None, ctf=None)
    assert run("B", "--t", "a.star", "--angpix", "2")[0] == 0
    s = tomoset.read("out.star")
    assert (s["A"].fractional_dose, s["B"].fractional_dose) == (3.0, None)
    assert main(["check", "out.star"]) == 0


def test_a_binned_stack_is_noticed(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folder(tmp_path / "TS")
    write_stack(folder / "TS.st", 5, (16, 12))
    code, _, errors = run("TS", *COMMON)
    assert code == 0
    assert "is that stack binned" in errors
    main(["check", "out.star"])
    assert "G11" in capsys.readouterr().out


def test_aligned_stacks_of_folders(run: Run, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "TS")
    code, _, errors = run("TS", "--ali", *COMMON)
    assert code == 1
    assert "TS.ali is not there" in errors
    write_stack(folder / "TS.ali", 5)
    t = imported(run, "--ali")
    assert t.stack == "TS/TS.ali:mrc"
    np.testing.assert_allclose(t.project([[31.5, 23.5, 13.0]])[:, 0], 5 * [[31.5, 23.5]], atol=1e-9)


def test_defocus_of_the_kept_views_by_their_angles(run: Run, tmp_path: Path) -> None:
    angles = (-40, 0, 20, 40)
    rows = [f"{i + 1} {i + 1} {a} {a} {2000 + i}" + " 2" * (i == 0) for i, a in enumerate(angles)]
    make_folder(
        tmp_path / "TS", tilt=TILT_COM + "EXCLUDELIST 2\n", ctf=None, defocus="\n".join(rows)
    )
    t = imported(run)
    assert t.defocus_u is not None
    assert t.defocus_u.tolist() == [20000, 20010, 20020, 20030]
    rows = [
        f"{i + 1} {i + 1} {a} {a} {2000 + i}" + " 2" * (i == 0)
        for i, a in enumerate((10, 50, 22, 15, 60))
    ]
    make_folder(tmp_path / "TS", ctf=None, defocus="\n".join(rows))
    code, _, errors = run("TS", *COMMON)
    assert code == 1
    assert "defocus of another one" in errors


def test_a_table_of_defocus_in_the_wrong_column(run: Run, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "TS")
    (folder / "x.defocus").write_text("1 1 -40 -40 2000 2\n2 2 -20 -20 2000\n")
    import_table(tmp_path, "x TS/TS.st TS TS/x.defocus TS/TS_order.csv")
    code, _, errors = run("--i", "in.star", *COMMON)
    assert code == 1
    assert "rlnTomoImportCtfPlotterFile" in errors


@pytest.mark.parametrize(
    ("newst", "says"),
    [
        (NEWST_COM + "UseTransformLines 4,3,2,1,0\n", "picks or reorders"),
        (NEWST_COM + "SectionsToRead 0-3\n", "picks or reorders"),
        (NEWST_COM + "BinByFactor inf\n", "takes 1 number"),
        (NEWST_COM + NEWST_COM, "called a second time"),
    ],
)
def test_command_files_that_are_refused(run: Run, tmp_path: Path, newst: str, says: str) -> None:
    make_folder(tmp_path / "TS", newst=newst)
    code, _, errors = run("TS", *COMMON)
    assert code == 1
    assert says in errors
    make_folder(tmp_path / "TS", newst=NEWST_COM + "SectionsToRead 0-4\n")
    assert run("TS", *COMMON)[0] == 0


def test_only_the_program_itself_is_read(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "TS")
    plain = imported(run)
    more = TILT_COM + "DONE\n$trimvol\nTHICKNESS 99\nFULLIMAGE 1 1\n"
    make_folder(tmp_path / "TS", tilt="$setenv X 1\n$echo\n" + more)
    assert imported(run).size == plain.size


def test_the_numbers_of_kept_views_decide_their_doses(run: Run, tmp_path: Path) -> None:
    """31 kept views of 41, levelled by three steps: only their numbers tell which they are."""
    nominal = np.arange(-60.0, 61, 3)
    order = nominal[np.argsort(np.abs(nominal), kind="stable")]
    make_folder(
        tmp_path / "TS",
        tilts=nominal.tolist(),
        tilt=TILT_COM + "EXCLUDELIST 1-5,37-41\n",
        order="".join(f"{i + 1},{a}\n" for i, a in enumerate(order)),
        tlt="".join(f"{a + 9}\n" for a in nominal[5:36]),
        xf=transforms(41),
        ctf=ctffind(41),
    )
    t = imported(run)
    expected = [3 * order.tolist().index(a) for a in nominal[5:36]]
    assert t.pre_exposure is not None
    assert t.pre_exposure.tolist() == expected


def test_decimal_commas_in_an_order_list(run: Run, tmp_path: Path) -> None:
    make_folder(
        tmp_path / "TS",
        order="".join(f"{i + 1};{a:.1f}\n".replace(".", ",") for i, a in enumerate(ORDER)),
    )
    code, _, errors = run("TS", *COMMON)
    assert code == 1
    assert "decimals are written with a point" in errors


@pytest.mark.parametrize("option", ["--angpix", "--fd", "--Cs", "--voltage", "--thick", "--offx"])
@pytest.mark.parametrize("value", ["inf", "nan", "1_0", "x"])
def test_text_where_numbers_belong_is_refused(
    run: Run, tmp_path: Path, option: str, value: str
) -> None:
    make_folder(tmp_path / "TS")
    code, _, errors = run("TS", *COMMON, option, value)
    assert code == 2
    assert "is not a number" in errors


def test_warnings_that_name_what_is_assumed(run: Run, tmp_path: Path) -> None:
    cases = (
        (NEWST_COM.replace("0.0,0.0", "5,5"), TILT_COM, (), "OffsetsInXandY"),
        (NEWST_COM + "DistortionField x.idf\n", TILT_COM, (), "a distortion field"),
        (NEWST_COM, TILT_COM.replace("IMAGEBINNED 1", "IMAGEBINNED 2"), (), "IMAGEBINNED 2"),
        (NEWST_COM.replace("64,48", "60,40"), TILT_COM, (), "--ali_size takes the other"),
        (NEWST_COM, TILT_COM, ("--angpix", "4"), "headers say another pixel size"),
        (NEWST_COM, TILT_COM + "EXCLUDELIST 1\n", ("--no-cull",), "row i for image i"),
    )
    for newst, tilt, options, says in cases:
        make_folder(tmp_path / "TS", newst=newst, tilt=tilt)
        code, _, errors = run("TS", *COMMON, *options, "--overwrite")
        assert code == 0
        assert says in errors
        assert run("TS", *COMMON, *options, "--strict")[0] == 1


def test_an_unreadable_file_fails_its_series_only(run: Run, tmp_path: Path) -> None:
    make_folder(tmp_path / "A")
    make_folder(tmp_path / "B")
    (tmp_path / "A/TS.tlt").unlink()
    (tmp_path / "A/TS.tlt").symlink_to("TS.tlt")  # a loop: an OSError that is no missing file
    (tmp_path / "stray").write_text("")
    code, _, errors = run("A", "B", "stray", *COMMON)
    assert code == 1
    assert list(tomoset.read("out.star")) == ["B"]
    assert "error: A:" in errors
    assert "error: stray" in errors


def test_sigterm_leaves_nothing_behind(tmp_path: Path) -> None:
    code = (
        "import sys, time; from tomoset.cli import _main\n"
        "_main._be_a_good_process()\n"
        "from tomoset.files import atomic_write\n"
        "with atomic_write('out') as s:\n"
        "    s.write(b'x'); print('ready', flush=True); time.sleep(30)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    process.stdout.close()
    assert time.monotonic() - started < 20
    assert list(tmp_path.iterdir()) == []


def test_an_internal_error_shows_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("tomoset.formats.open_parts", broken)
    (tmp_path / "a.star").write_text("data_\n")
    assert main(["info", "a.star"]) == 1
    assert "mistake in tomoset" in capsys.readouterr().err


def test_culling_keeps_odd_stacks(tmp_path: Path) -> None:
    """Big-endian, an extended header, and packed half bytes."""
    import struct

    from tomoset.images.stack import join_images, open_stack

    header = bytearray(1024)
    struct.pack_into(">10i", header, 0, 5, 3, 4, 101, 0, 0, 0, 5, 3, 4)
    struct.pack_into(">3f", header, 40, 10.0, 6.0, 8.0)
    struct.pack_into(">i", header, 92, 128)
    images = [bytes([i] * 9) for i in range(4)]  # 3 bytes a row of five half bytes
    (tmp_path / "a.mrc").write_bytes(bytes(header) + b"e" * 128 + b"".join(images))
    join_images([(tmp_path / "a.mrc", 3), (tmp_path / "a.mrc", 1)], tmp_path / "b.mrc")
    out = open_stack(tmp_path / "b.mrc").header
    assert (out.size, out.n_images, out.mode, out.pixel_size) == ((5, 3), 2, 101, 2.0)
    assert (out.data_offset, out.byte_order) == (1024, ">")
    assert (tmp_path / "b.mrc").read_bytes()[1024:] == images[3] + images[1]


def test_unknown_tables_called_tomo_stay(tmp_path: Path) -> None:

    tables = tilt_table("TS_01") + tilt_table("nan") + tilt_table("tomo_0")
    (tmp_path / "in.star").write_text(tomograms_text(tables=tables))
    s = tomoset.read(tmp_path / "in.star")
    s.write(tmp_path / "out.star")
    assert "tomo_0" in [t.name for t in tomoset.star.read(tmp_path / "out.star").tables]
