"""Small IMOD folders for tests, each file replaceable by a text of the test's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.builders.image_stacks import write_stack

TILTS = [-40.0, -20.0, 0.0, 20.0, 40.0]
ORDER = [0.0, 20.0, -20.0, 40.0, -40.0]
SIZE = (64, 48)


def transforms(n: int, angle: float = 85.0) -> str:
    """Lines of an .xf file: a turn and a shift that differs from view to view."""
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return "".join(
        f"{c:12.7f}{s:12.7f}{-s:12.7f}{c:12.7f}{i - 3:12.3f}{4 - 2 * i:12.3f}\n" for i in range(n)
    )


def ctffind(n: int, phase: float = 0.0) -> str:
    """A table of CTFFIND."""
    lines = [f"{i + 1}.000000 {20000 + i} {19000 + i} 30.0 {phase} 0.1 8.0" for i in range(n)]
    return "# Output from CTFFind\n# Columns: ...\n" + "\n".join(lines) + "\n"


TILT_COM = """# a comment
$tilt -StandardInput
InputProjections TS.ali
IMAGEBINNED 1
TILTFILE TS.tlt
THICKNESS 30
XAXISTILT 0.0
FULLIMAGE 64 48
SHIFT 0.0 0.0
$if (-e ./savework) ./savework
"""
NEWST_COM = """$newstack -StandardInput
InputFile\tTS.st
OutputFile\tTS.ali
TransformFile\tTS.xf
SizeToOutputInXandY\t64,48
OffsetsInXandY\t0.0,0.0
BinByFactor\t1
"""


def make_folder(folder: Path, tilts: list[float] | None = None, **texts: str | None) -> Path:
    """An IMOD folder of five views; `texts` replace files by their kind, None leaves one out.

    Kinds: tilt, newst, xf, tlt, ctf, order, rawtlt, xtilt, defocus.
    """
    tilts = TILTS if tilts is None else tilts
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, str | None] = {
        "tilt": TILT_COM,
        "newst": NEWST_COM,
        "xf": transforms(len(tilts)),
        "tlt": "".join(f"{t:8.2f}\n" for t in tilts),
        "ctf": ctffind(len(tilts)),
        "order": "".join(f"{i + 1},{a}\n" for i, a in enumerate(ORDER)),
        "rawtlt": None,
        "xtilt": None,
        "defocus": None,
    }
    names = {"tilt": "tilt.com", "newst": "newst.com", "ctf": "TS_ctf.txt", "order": "TS_order.csv"}
    for kind, text in {**files, **texts}.items():
        if text is not None:
            target = folder / names.get(kind, f"TS.{kind}")
            target.write_bytes(text.encode())
    write_stack(folder / "TS.st", len(tilts))
    return folder
