"""IMOD folders imported from the command line."""

from __future__ import annotations

from pathlib import Path

import tomoset
from tests.builders.command import Run

COMMON = ("--angpix", "2", "--fd", "3")


def imported(run: Run, *arguments: str) -> tomoset.Tomogram:
    code, _, errors = run("TS", *COMMON, "--overwrite", *arguments)
    assert code == 0, errors
    (tomogram,) = tomoset.read("out.star").values()
    return tomogram


def import_table(tmp_path: Path, row: str, labels: str | None = None) -> None:
    names = (
        labels
        or "TomoName TomoTiltSeriesName TomoImportImodDir TomoImportCtfFindFile TomoImportOrderList"
    )
    head = "".join(f"_rln{name} #{i}\n" for i, name in enumerate(names.split(), 1))
    (tmp_path / "in.star").write_text(f"data_\n\nloop_\n{head}{row}\n")
