"""Whether values of the model are the same, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from tomoset.model import Deformation


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, np.ndarray):
        return other is not None and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, Deformation):
        return other is not None and equal(one.__dict__, other.__dict__)
    return bool(one == other)
