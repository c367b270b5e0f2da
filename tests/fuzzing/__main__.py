"""``python -m tests.fuzzing [N] [SEED] [FIRST]``: N damaged files, one after another, and what went wrong.

Damage i of a seed is always the same, so that ``1 SEED i`` repeats one of them; it is kept then.
"""

from __future__ import annotations

import gc
import json
import os
import random
import resource
import select
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

# GNU OpenMP ends a process that forks after it has been used.
os.environ["NUMBA_THREADING_LAYER"] = "workqueue"

from tests.fuzzing.damage import damage
from tests.fuzzing.subjects import Subject, make
from tests.fuzzing.verdict import faults

#: Where the one damaged folder that was asked for stays.
KEPT = Path(tempfile.gettempdir()) / "tomoset_damaged"
#: More than this of memory, above what the libraries take, and allocation fails [bytes].
MEMORY = 2**30
#: So long may a damage be silent before it is ended, where even an alarm is not heard [s].
SILENT = 40.0


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def damaged(subjects: list[Subject], seed: int, i: int, folder: Path) -> tuple[Subject, str]:
    """Copy a subject and damage it."""
    chance = random.Random(f"{seed}/{i}")
    subject = subjects[i % len(subjects)]
    shutil.copytree(subject.folder, folder, copy_function=os.link)
    files = sorted({f for pattern in subject.damaged for f in folder.glob(pattern) if f.is_file()})
    path = chance.choice(files)
    damage(chance, path)
    return subject, str(path.relative_to(folder))


def _child(subjects: list[Subject], seed: int, numbers: range, pipe: int) -> None:
    """Work through numbers; say each before and after."""
    _limit_memory()
    folder = Path(tempfile.mkdtemp(prefix="tomoset_fuzz_"))
    for i in numbers:
        os.write(pipe, json.dumps({"begin": i}).encode() + b"\n")
        os.chdir("/")
        shutil.rmtree(folder, ignore_errors=True)
        begin = time.monotonic()
        try:
            subject, file = damaged(subjects, seed, i, folder)
            os.chdir(folder)
            wrong = faults(subject)
        except MemoryError as error:
            file, wrong = "", [f"memory: {error}"]
        seconds = time.monotonic() - begin
        report = {"i": i, "file": file, "wrong": wrong, "seconds": seconds}
        os.write(pipe, json.dumps(report).encode() + b"\n")
        if i % 20 == 0:
            gc.collect()
    os.chdir("/")
    shutil.rmtree(folder, ignore_errors=True)


def _reports(subjects: list[Subject], seed: int, numbers: range) -> Iterator[dict[str, object]]:
    """What a child says; another one goes on where one has died."""
    while numbers:
        out, into = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(out)
                _child(subjects, seed, numbers, into)
                code = 0
            finally:
                os._exit(code)
        os.close(into)
        at, end = numbers.start, "died"
        with os.fdopen(out, "rb", buffering=0) as pipe:
            left = b""
            while True:
                if not select.select([pipe], [], [], SILENT)[0]:
                    os.kill(child, 9)
                    end = f"silent for {SILENT:g} s"
                    break
                more = pipe.read(1 << 16)
                if not more:
                    break
                *lines, left = (left + more).split(b"\n")
                for line in lines:
                    report = json.loads(line)
                    at = report.get("begin", report.get("i", 0) + 1)
                    if "i" in report:
                        yield report
        _, status = os.waitpid(child, 0)
        if status == 0:
            return
        yield {
            "i": at,
            "file": "?",
            "wrong": [f"the process {end} (status {status})"],
            "seconds": 0.0,
        }
        numbers = range(at + 1, numbers.stop)


def fuzz(count: int, seed: int, first: int = 0) -> int:
    """Damage files and print what goes wrong; how many went wrong."""
    root = Path(tempfile.mkdtemp(prefix="tomoset_fuzzed_"))
    begin, slowest, bad = time.monotonic(), (0.0, 0), 0
    try:
        subjects = make(root)
        for k, subject in enumerate(subjects):  # also loads and compiles what is needed
            shutil.copytree(subject.folder, root / f"whole{k}")
            os.chdir(root / f"whole{k}")
            wrong = faults(subject)
            if wrong:
                raise SystemExit(f"undamaged, subject {k}: {wrong}")
        if count == 1:
            shutil.rmtree(KEPT, ignore_errors=True)
            damaged(subjects, seed, first, KEPT)
        for report in _reports(subjects, seed, range(first, first + count)):
            slowest = max(slowest, (float(str(report["seconds"])), int(str(report["i"]))))
            if report["wrong"]:
                bad += 1
                print(f"{report['i']} {report['file']}: {report['wrong']}", flush=True)
    finally:
        os.chdir("/")
        shutil.rmtree(root, ignore_errors=True)
    print(
        f"{count} damaged files, seed {seed}: {bad} went wrong; "
        f"{time.monotonic() - begin:.0f} s in all, the slowest {slowest[0]:.1f} s (number {slowest[1]})"
    )
    return bad


if __name__ == "__main__":
    given = [*map(int, sys.argv[1:]), *(10_000, 1, 0)[len(sys.argv) - 1 :]]
    sys.exit(fuzz(*given) > 0)
