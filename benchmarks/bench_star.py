"""Time and memory of reading and writing STAR files, against other Python packages.

Two files: a RELION-4 tomogram set (one `data_global`, and a table with four vectors and five
numbers a tilt for each tomogram) and one table of particles. Every measurement is a process of
its own; the best of some rounds counts, and the packages take turns. Compiled code is loaded
from its cache: one run before the clock starts fills it. Times leave out the import of the
package (and of pandas, where it gives data frames), which has its own column; numba, which
tomoset imports when it meets the first big table, is inside. "+ texts" also makes every text
column a list of str.

    python benchmarks/bench_star.py [--quick] [--rounds N]
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SET_NUMBERS = (
    "rlnDefocusU",
    "rlnDefocusV",
    "rlnDefocusAngle",
    "rlnCtfScalefactor",
    "rlnMicrographPreExposure",
)
PARTICLE_TEXTS = ("rlnTomoName", "rlnTomoParticleName", "rlnImageName")
PARTICLE_NUMBERS = tuple(f"rlnNumber{i}" for i in range(17))


def loop_head(name: str, labels: tuple[str, ...]) -> str:
    lines = "".join(f"_{label} #{i} \n" for i, label in enumerate(labels, 1))
    return f"\n# version 30001\n\ndata_{name}\n\nloop_ \n{lines}"


def make_set(path: Path, tomograms: int, tilts: int = 60) -> None:
    import numpy as np

    rng = np.random.default_rng(4)
    with path.open("w") as f:
        f.write(loop_head("global", ("rlnTomoName", "rlnTomoFrameCount", "rlnTomoHand")))
        f.writelines(f"{f'TS_{t:03d}':>10} {tilts:12d} {-1:12.5f} \n" for t in range(tomograms))
        f.write(" \n")
        labels = (*(f"rlnTomoProj{axis}" for axis in "XYZW"), *SET_NUMBERS)
        for t in range(tomograms):
            f.write(loop_head(f"TS_{t:03d}", labels))
            vectors = rng.normal(size=(tilts, 4, 4))
            numbers = rng.normal(3e4, 1e3, size=(tilts, 5))
            for rows, values in zip(vectors, numbers, strict=True):
                f.writelines(f"[{a:.12g},{b:.12g},{c:.12g},{d:.12g}] " for a, b, c, d in rows)
                f.write("".join(f"{value:12.6f} " for value in values) + "\n")
            f.write(" \n")


def make_particles(path: Path, rows: int) -> None:
    import numpy as np

    rng = np.random.default_rng(5)
    template = "%10s %10s %10s " + "%12.6f " * 15 + "%12d %12d \n"
    with path.open("w") as f:
        f.write(loop_head("optics", ("rlnOpticsGroup", "rlnVoltage")))
        f.write(f"{1:12d} {300:12.6f} \n \n")
        f.write(loop_head("particles", PARTICLE_TEXTS + PARTICLE_NUMBERS))
        for begin in range(0, rows, 50_000):
            reals = rng.normal(scale=1e4, size=(50_000, 15)).tolist()
            whole = rng.integers(0, 1000, size=(50_000, 2)).tolist()
            for i in range(begin, min(begin + 50_000, rows)):
                name = f"TS_{i % 60:02d}"
                texts = (
                    name,
                    f"{name}/{i}",
                    f"Extract/job010/Subtomograms/{name}/{i}_stack2d.mrcs",
                )
                f.write(template % (*texts, *reals[i - begin], *whole[i - begin]))
        f.write(" \n")


def tomoset_read(path: str, kind: str) -> Any:
    from tomoset import star

    file = star.read(path)
    tables = file.tables[1:]
    labels = SET_NUMBERS if kind == "set" else PARTICLE_NUMBERS
    numbers = [[table.floats(label) for label in labels] for table in tables]
    return file, numbers


def tomoset_read_texts(path: str, kind: str) -> Any:
    file, numbers = tomoset_read(path, kind)
    return file, numbers, [list(file["particles"][label]) for label in PARTICLE_TEXTS]


def tomoset_write(read: Any, path: str) -> None:
    from tomoset import star

    star.write(read[0], path)


def pandas_read(package: str) -> Callable[[str, str], Any]:
    def read(path: str, kind: str) -> Any:
        tables = importlib.import_module(package).read(path)
        labels = list(SET_NUMBERS if kind == "set" else PARTICLE_NUMBERS)
        # The first table is left out: starfile-rs reads a table when it is asked for.
        numbers = [
            [tables[name][label].to_numpy() for label in labels] for name in list(tables)[1:]
        ]
        return tables, numbers

    return read


def pandas_write(package: str) -> Callable[[Any, str], None]:
    def write(read: Any, path: str) -> None:
        tables = {name: read[0][name] for name in read[0]}  # not what is kept of the file read
        importlib.import_module(package).write(tables, path)

    return write


READERS: dict[str, tuple[str, Callable[..., Any], Callable[..., Any]]] = {
    "tomoset": ("tomoset.star", tomoset_read, tomoset_write),
    "tomoset + texts": ("tomoset.star", tomoset_read_texts, tomoset_write),
    "starfile": ("starfile", pandas_read("starfile"), pandas_write("starfile")),
    "starfile-rs": (
        "starfile_rs.compat pandas",
        pandas_read("starfile_rs.compat"),
        pandas_write("starfile_rs.compat"),
    ),
}


def child(reader: str, kind: str, verb: str, path: str) -> None:
    """Do one measurement in this process and print it."""
    modules, read, write = READERS[reader]
    begin = time.perf_counter()
    for module in modules.split():
        importlib.import_module(module)
    imported = time.perf_counter()
    cpu = time.process_time()
    result = read(path, kind)
    if verb == "write":
        imported, cpu = time.perf_counter(), time.process_time()
        write(result, path + ".out")
    figures = {
        "import": imported - begin,
        "wall": time.perf_counter() - imported,
        "cpu": time.process_time() - cpu,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(figures))


def measure(reader: str, kind: str, verb: str, path: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", reader, kind, verb, str(path)]
    # The threads of a linear algebra that no one uses would count as processor time.
    alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=alone)
    figures: dict[str, float] = json.loads(answer.stdout)
    return figures


def compare(title: str, kind: str, verb: str, path: Path, rounds: int) -> None:
    readers = [name for name in READERS if "texts" not in name or (kind, verb) == ("big", "read")]
    best: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for name in readers:
            figures = measure(name, kind, verb, path)
            best[name] = {
                key: min(value, best.get(name, figures)[key]) for key, value in figures.items()
            }
    ours = best["tomoset"]
    print(f"\n{verb} {title}")
    print(f"{'':16} {'wall s':>8} {'cpu s':>8} {'peak MB':>8} {'import s':>8}   ours / theirs")
    for name, figures in best.items():
        ratios = ", ".join(
            f"{key} {ours[key] / figures[key]:.3f}" for key in ("wall", "cpu", "peak")
        )
        imported = f"{figures['import']:8.2f}" if verb == "read" else " " * 8
        print(
            f"{name:16} {figures['wall']:8.3f} {figures['cpu']:8.3f} {figures['peak']:8.0f} "
            f"{imported}   {ratios}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="smaller files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    tomograms, rows = (50, 150_000) if options.quick else (500, 1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        tomogram_set, particles = Path(folder) / "set.star", Path(folder) / "particles.star"
        # In processes of their own: a child starts with the peak memory of its parent.
        for make, path, size in (
            (make_set, tomogram_set, tomograms),
            (make_particles, particles, rows),
        ):
            process = multiprocessing.get_context("spawn").Process(target=make, args=(path, size))
            process.start()
            process.join()
        measure("tomoset + texts", "big", "read", particles)  # compiles, once
        for title, kind, path in (
            (f"{tomograms} tomograms of 60 tilts", "set", tomogram_set),
            (f"{rows} particles of 20 columns", "big", particles),
        ):
            title += f", {path.stat().st_size / 1e6:.0f} MB"
            for verb in ("read", "write"):
                compare(title, kind, verb, path, options.rounds)


if __name__ == "__main__":
    main()
