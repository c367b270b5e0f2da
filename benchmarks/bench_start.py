"""How long the command line takes to answer: ``tomoset --help`` against bare Python.

``python benchmarks/bench_start.py``. Best of 15 runs each, wall time.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Time both, and print the difference."""
    bare = best([sys.executable, "-c", "pass"])
    ours = best([str(Path(sys.executable).parent / "tomoset"), "--help"])
    print(f"bare Python     {bare * 1000:6.1f} ms")
    print(f"tomoset --help  {ours * 1000:6.1f} ms")
    print(f"difference      {(ours - bare) * 1000:6.1f} ms   (at most 100)")


def best(command: list[str]) -> float:
    """Wall seconds of a command, best of 15 runs."""
    times = []
    for _ in range(15):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
