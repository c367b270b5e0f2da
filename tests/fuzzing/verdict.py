"""What must never happen, whatever a file holds."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import tomoset
from tests.fuzzing.subjects import Subject, Work
from tomoset.cli import main
from tomoset.errors import TomosetError, TomosetWarning

#: The longest that anything may take, of the processor: other work on the machine does not count [s].
LONGEST = 5.0


class Slow(BaseException):
    """It took too long; nobody catches it but us."""


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Slow

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _last(error: BaseException) -> str:
    """Where in our code it happened."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f"{os.sep}tomoset{os.sep}" in f.filename] or frames
    place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
    return f"{type(error).__name__} at {place}: {str(error)[:200]}"


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _of_command(words: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with a command line's end."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = main(list(words))
    said = errors.getvalue()
    if code not in (0, 1, 2):
        yield f"exit code {code}"
    if "\x1b" in said + out.getvalue() or "\x07" in said + out.getvalue():
        yield "control characters reach the terminal"
    if re.search(r"(?m)^\w+Warning: ", said):
        yield f"raw warning: {said[:200]}"
    text = out.getvalue()
    if "--json" in words and text:
        try:
            json.loads(text, parse_constant=_no_constant)
        except ValueError as problem:
            yield f"no JSON: {problem}"
    if code == 0 and not text:
        yield "nothing said, exit code 0"
    if code != 0 and not said and words[0] != "check":
        yield f"exit code {code}, and nothing said"
    if code == 0 and words[0] == "convert":
        target = Path(words[3])
        if not (target.is_file() or any(target.glob("*.star"))):
            yield "nothing made, exit code 0"


def _texts(files: list[Path]) -> Counter[str]:
    """The words of STAR files, in whatever quotes; numbers of columns and paths aside."""
    found: Counter[str] = Counter()
    for file in files:
        text = re.sub(r"#[ \t]*\d+", " ", file.read_bytes().decode(errors="replace"))
        words = (word.strip("'\"\ufeff") for word in re.split(r"[\s#\0]+", text))
        found.update(
            word
            for word in words
            if word and not word.startswith("data_") and not word.endswith(".star")
        )
    return found


def _of_keeping(path: str) -> Iterator[str]:
    """What was lost in silence by reading and writing."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        project = tomoset.open_project(path)
        project.write("again")
    if any(issubclass(warning.category, TomosetWarning) for warning in told):
        return
    named = {str(project.tomograms.path), *(os.fspath(f) for f in project.tomograms.files)}
    sets = (project.particles, project.manifolds, project.trajectories)
    named |= {os.fspath(s.path) for s in sets if s is not None and s.path is not None}
    lost = _texts([Path(name) for name in sorted(named)])
    lost -= _texts(sorted(Path("again").rglob("*.star")))
    if lost:
        yield f"lost in silence: {sorted(lost)[:8]}"


def _checked(work: Work | str) -> Iterator[str]:
    if isinstance(work, tuple):
        yield from _of_command(work)
        return
    try:
        if isinstance(work, str):
            yield from _of_keeping(work)
        else:
            work()
    except (TomosetError, OSError):
        pass


def _name(work: Work | str) -> str:
    if isinstance(work, tuple):
        return " ".join(word for word in work[:4])
    return f"read and write {work}" if isinstance(work, str) else "read beads"


def _stray(folder: Path) -> Iterator[str]:
    left = sorted(str(path) for path in folder.rglob(".tomoset-*"))
    if left:
        yield f"left behind: {left[:3]}"


def faults(subject: Subject) -> list[str]:
    """What went wrong in the working folder, a copy of a subject's that was damaged."""
    found = []
    works: list[Work | str] = [*subject.works, *([subject.kept] if subject.kept else [])]
    for work in works:
        begin = time.monotonic()
        wrong: list[str] = []
        with warnings.catch_warnings(), mock.patch.dict(os.environ, TOMOSET_DEBUG="1"):
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", TomosetWarning)
            try:
                with _alarm():
                    wrong += _checked(work)
            except Slow as slow:
                wrong.append(f"over {LONGEST:g} s; {_last(slow)}")
            except Exception as error:
                wrong.append(_last(error))
        seconds = time.monotonic() - begin
        found += [f"{_name(work)}: {what} ({seconds:.1f} s)" for what in wrong]
    found += _stray(Path())
    sys.stdout.flush()
    return found
