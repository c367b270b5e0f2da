"""Files that are damaged by chance end in an answer or in an error that says what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_a_sample_of_damaged_files_makes_no_internal_error_no_hang_and_loses_nothing() -> None:
    """Of the 10,000 of ``make fuzz``; in a process of its own, whose memory is limited."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzzing", "300", "0"],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "300 damaged files, seed 0: 0 went wrong" in done.stdout
