"""What the model asks of values, once, when a tomogram is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError

Array = npt.NDArray[np.float64]


class Checks:
    """Checks that name the tomogram and the field; all pass None on."""

    def __init__(self, tomogram: str) -> None:
        self.tomogram = tomogram

    def error(self, message: str) -> ModelError:
        """An error of this tomogram."""
        return ModelError(f"tomogram {self.tomogram!r}: {message}")

    def array(self, field: str, value: Any, shape: tuple[int, ...]) -> Array | None:
        """A read-only array of numbers of this shape."""
        return None if value is None else self._frozen(field, np.asarray(value, np.float64), shape)

    def indices(self, field: str, value: Any, shape: tuple[int, ...]) -> Any:
        """A read-only array of whole numbers of this shape."""
        if value is None:
            return None
        whole = np.asarray(value, dtype=np.int64)
        if not np.array_equal(whole, np.asarray(value)):
            raise self.error(f"{field} must be whole numbers")
        return self._frozen(field, whole, shape)

    def _frozen(self, field: str, array: Any, shape: tuple[int, ...]) -> Any:
        if array.shape != shape:
            raise self.error(f"{field} must have shape {shape}, not {array.shape}")
        if array.flags.writeable:
            array = array.copy()
            array.flags.writeable = False
        return array

    def size(self, field: str, value: Sequence[int] | None, dimensions: int) -> Any:
        """Whole numbers of pixels above 0."""
        if value is None:
            return None
        whole = tuple(int(n) for n in value)
        if len(whole) != dimensions or min(whole) < 1 or whole != tuple(value):
            raise self.error(f"impossible {field} {tuple(value)}")
        return whole

    def matrices(self, field: str, value: Any, n: int) -> Array | None:
        """Finite 4x4 matrices without perspective."""
        matrices = self.array(field, value, (n, 4, 4))
        if matrices is None:
            return None
        finite = np.isfinite(matrices).all(axis=(1, 2))
        if not finite.all():
            raise self.error(
                f"tilt image {int(np.argmin(finite)) + 1}: the projection matrix has a value that "
                "is not a finite number"
            )
        flat = (matrices[:, 3] == (0.0, 0.0, 0.0, 1.0)).all(axis=1)
        if not flat.all():
            row = int(np.argmin(flat))
            raise self.error(
                f"tilt image {row + 1}: the fourth row of a projection is 0, 0, 0, 1, not "
                f"{matrices[row, 3].tolist()}; no program divides by it"
            )
        return matrices
