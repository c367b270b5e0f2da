"""How much work something is, counted: whether it grows with what it works on, or faster."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import tomoset
from tomoset.star import _numbers
from tomoset.star._packed import PackedColumn

_OURS = str(Path(tomoset.__file__).parent)


def lines_run(function: Callable[[], object]) -> int:
    """Lines of ours that were run, each turn of a loop by itself, and numbers that were read."""
    count = 0

    def traced(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(_OURS):
            return None
        count += event == "line"
        return traced

    def read(values: Any, *more: Any, of: Callable[..., Any]) -> Any:
        nonlocal count
        count += len(values)
        return of(values, *more)

    with pytest.MonkeyPatch.context() as patch:
        for home in (_numbers, PackedColumn):
            for name in ("to_floats", "to_ints", "to_vectors"):
                if own := getattr(home, name, None):
                    patch.setattr(home, name, lambda *a, own=own: read(*a, of=own))
        before = sys.gettrace()
        sys.settrace(traced)
        try:
            function()
        finally:
            sys.settrace(before)
    return count


def files_looked_at(function: Callable[[], object]) -> int:
    """How often the file system was asked whether something is there."""
    count, own = 0, os.stat

    def stat(*given: Any, **more: Any) -> os.stat_result:
        nonlocal count
        count += 1
        return own(*given, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "stat", stat)
        function()
    return count
