"""Damage to a file, by chance: to its text, to its bytes, or to what stands in its place."""

from __future__ import annotations

import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

#: What no writer would write, and readers must expect.
WORDS = (
    *("nan", "inf", "-inf", "-999", "-999.0", "1e308", "-1e308", "1e-320", "1e999", "0", "-0.0"),
    *("-1", "1", "2147483648", "-9223372036854775809", "9" * 400, "0x10", "1_000", "1,5", "１２"),
    *("", '""', "''", "'", '"', "'a b", '"a b"', ";", "#", "# 1", "_", "_rln", "data_", "data_a"),
    *("loop_", "save_", "stop_", "global_", "[]", "[1", "1]", "[1,2,3]", "[,]", "[[1]]", "[a,b]"),
    *("None", "empty", "null", "true", "ü", "名", "\x1b[31m", "\x07", "\t", "\u2028", "\ufeff", "\x00"),
    *("../..", "/", "//", "~", "/dev/null", "/proc/self/mem", ".", "a" * 300, "a" * 70000, "*", "%s"),
    *("{}", "$HOME", "1@", "@a.mrc", "0@a.mrc", "-1@a.mrc", "99999999@a.mrc", "1e3@a.mrc", "a.mrc:mrcs"),
)  # fmt: skip
LABELS = (
    *("rlnTomoName", "rlnTomoTiltSeriesName", "rlnTomoTiltSeriesStarFile", "rlnTomoFrameCount"),
    *("rlnTomoSizeX", "rlnTomoSizeZ", "rlnTomoHand", "rlnVoltage", "rlnTomoProjX", "rlnTomoProjW"),
    *("rlnTomoXTilt", "rlnTomoYTilt", "rlnTomoZRot", "rlnTomoXShiftAngst", "rlnDefocusU", "rlnDefocusV"),
    *("rlnDefocusAngle", "rlnMicrographName", "rlnMicrographPreExposure", "rlnPhaseShift"),
    *("rlnCoordinateX", "rlnCenteredCoordinateXAngst", "rlnOriginXAngst", "rlnAngleRot"),
    *("rlnTomoSubtomogramRot", "rlnOpticsGroup", "rlnTomoVisibleFrames", "rlnTomoParticleName"),
    *("rlnOriginX", "rlnEvenZernike", "rlnTomoDefocusSlope", "rlnTomoManifoldParams", "rlnTomoIceNormalX"),
    *("rlnTomoDeformationCoefficients", "rlnTomoDeformationType", "rlnTomoFiducialsStarFile"),
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 255, 65536, 2**31 - 1, -(2**31), 10**6)


def _line(chance: random.Random, text: str) -> str:
    lines = text.split("\n")
    i, j = (chance.randrange(len(lines)) for _ in range(2))
    what = chance.randrange(6)
    if what == 0:
        del lines[i]
    elif what == 1:
        lines.insert(j, lines[i])
    elif what == 2:
        lines[i], lines[j] = lines[j], lines[i]
    elif what == 3:
        lines[i:j] = []
    elif what == 4:
        lines[i] += lines[j]
    else:
        lines[i:i] = lines[min(i, j) : max(i, j)] * chance.choice([1, 3, 40])
    return "\n".join(lines)


def _words(chance: random.Random, text: str) -> tuple[list[str], list[int]]:
    """All pieces of a text, and which of them are words."""
    pieces, last = [], 0
    for k in range(1, len(text)):
        if text[k].isspace() != text[k - 1].isspace():
            pieces.append(text[last:k])
            last = k
    pieces.append(text[last:])
    return pieces, [k for k, piece in enumerate(pieces) if piece.strip()]


def _word(chance: random.Random, text: str) -> str:
    pieces, words = _words(chance, text)
    if not words:
        return chance.choice(WORDS)
    i, j = chance.choice(words), chance.choice(words)
    what = chance.randrange(8)
    if what == 0:
        pieces[i] = ""
    elif what == 1:
        pieces[i], pieces[j] = pieces[j], pieces[i]
    elif what == 2:
        pieces[i] = pieces[j]
    elif what == 3:
        pieces[i] += f" {chance.choice(WORDS)}"
    else:
        pieces[i] = chance.choice(WORDS)
    return "".join(pieces)


def _label(chance: random.Random, text: str) -> str:
    """Another name for a column, or one column more."""
    pieces, words = _words(chance, text)
    labels = [i for i in words if pieces[i].startswith("_") and pieces[i] != "_"]
    if not labels:
        return _word(chance, text)
    i, new = chance.choice(labels), f"_{chance.choice(LABELS)}"
    pieces[i] = chance.choice([new, f"{pieces[i]}\n{new}", pieces[i].swapcase(), pieces[i] + "x"])
    return "".join(pieces)


def _letters(chance: random.Random, text: str) -> str:
    i, j = sorted(chance.randrange(len(text) + 1) for _ in range(2))
    j = min(j, i + chance.choice([1, 1, 3, 20]))
    new = chance.choice(
        ["", "-", ".", "e", "9", " ", "\n", '"', "'", "#", "_", "[", ",", "\0", "\r"]
    )
    return text[:i] + new + text[j:]


def _whole(chance: random.Random, text: str) -> str:
    """All of a text another way: cut, other line ends, other letters, twice, nothing."""
    i = chance.randrange(len(text) + 1)
    ways: list[Callable[[], str]] = [
        lambda: text[:i],
        lambda: text[i:],
        lambda: text + text[:i],
        lambda: text + text,
        lambda: text.replace("\n", "\r\n"),
        lambda: text.replace("\n", "\r"),
        lambda: text.replace(" ", "\t"),
        lambda: text.replace("#", ""),
        lambda: "\ufeff" + text,
        lambda: text.upper(),
        lambda: "",
        lambda: "\n" * 1000,
        lambda: text + '"' * 5000,
        lambda: text + "'a " * 5000,
    ]
    return chance.choice(ways)()


def _bytes(chance: random.Random, data: bytes) -> bytes:
    """Damage to what is no text; headers are hit more than pixels."""
    changed = bytearray(data)
    reach = len(data) if chance.random() < 0.2 else min(len(data), 256)
    for _ in range(chance.choice([1, 1, 2, 8])):
        i = chance.randrange(max(1, reach))
        what = chance.randrange(5)
        if what == 0:
            changed[i : i + 1] = bytes([chance.randrange(256)])
        elif what == 1:
            form, i = chance.choice("<>"), i // 4 * 4
            changed[i : i + 4] = struct.pack(f"{form}i", chance.choice(NUMBERS))
        elif what == 2:
            i = i // 4 * 4
            changed[i : i + 4] = struct.pack(
                "<f", chance.choice([float("nan"), float("inf"), -1e38, 1e-40])
            )
        elif what == 3 and chance.random() < 0.3:
            del changed[chance.randrange(len(changed) + 1) :]
        elif what == 4:
            changed[i:i] = chance.randbytes(chance.choice([1, 4, 100]))
    return bytes(changed)


def _place(chance: random.Random, path: Path) -> None:
    """Something else in the place of a file."""
    path.unlink()
    what = chance.randrange(5)
    if what == 0:
        path.mkdir()
    elif what == 1:
        path.symlink_to(path.name)
    elif what == 2:
        path.symlink_to("/dev/null")
    elif what == 3:
        others = sorted(other for other in path.parent.iterdir() if other.is_file())
        if others:
            shutil.copy(chance.choice(others), path)


def damage(chance: random.Random, path: Path) -> None:
    """Damage a file, or put something else in its place."""
    if chance.random() < 0.03:
        return _place(chance, path)
    data = path.read_bytes()
    if b"\0" in data[:4096] or chance.random() < 0.05:
        path.unlink()  # another name of the file that others still have
        path.write_bytes(_bytes(chance, data))
        return None
    text = data.decode(errors="surrogateescape")
    ways = [_line, _word, _word, _word, _label, _letters, _whole]
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        text = chance.choice(ways)(chance, text)
    path.unlink()
    encoding = "utf-16" if chance.random() < 0.005 else "utf-8"
    path.write_bytes(
        text.encode(encoding, errors="surrogateescape" if encoding == "utf-8" else "ignore")
    )
    return None
