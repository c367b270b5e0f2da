"""What the model asks of values, once, when a tomogram is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import ImpossibleValueError, ModelError
from tomoset.model.quantities import refuse_impossible

Array = npt.NDArray[np.float64]


class Checks:
    """Checks that name the tomogram and the field; all pass None on."""

    def __init__(self, tomogram: str) -> None:
        self.place = f"tomogram {tomogram!r}"

    def error(self, message: str) -> ModelError:
        """An error of this tomogram."""
        return ModelError(f"{self.place}: {message}")

    def array(self, field: str, value: Any, shape: tuple[int, ...]) -> Array | None:
        """A read-only array of numbers of this shape."""
        return None if value is None else self._frozen(field, np.asarray(value, np.float64), shape)

    def quantity(self, field: str, value: Any, shape: tuple[int, ...]) -> Array | None:
        """The same of a quantity with a value per tilt image, NaN where it is not known."""
        array = self.array(field, value, shape)
        refuse_impossible(field, array, self.place, unknown=True)
        return array

    def indices(self, field: str, value: Any, shape: tuple[int, ...]) -> Any:
        """A read-only array of whole numbers of this shape."""
        if value is None:
            return None
        whole = np.asarray(value, dtype=np.int64)
        if not np.array_equal(whole, np.asarray(value)):
            raise self.error(f"{field} must be whole numbers")
        refuse_impossible(field, whole, self.place)
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
        refuse_impossible(field, value, self.place, each="")
        whole = tuple(int(n) for n in value)
        if len(whole) != dimensions or whole != tuple(value):
            raise self.error(f"impossible {field} {tuple(value)}")
        return whole

    def matrices(self, field: str, value: Any, n: int) -> Array | None:
        """4x4 matrices that take volumes to volumes, without perspective."""
        matrices = self.array(field, value, (n, 4, 4))
        if matrices is None:
            return None
        refuse_impossible(field, matrices, self.place)
        flat = (matrices[:, 3] == (0.0, 0.0, 0.0, 1.0)).all(axis=1)
        if not flat.all():
            row = int(np.argmin(flat))
            raise self._impossible(
                field,
                row,
                "the fourth row of a projection is 0, 0, 0, 1, not "
                f"{matrices[row, 3].tolist()}; no program divides by it",
            )
        linear = matrices[:, :3, :3]
        # How much of a volume is left, of rows that are as long as these.
        lengths = np.linalg.norm(linear, axis=2).prod(axis=1)
        singular = np.abs(np.linalg.det(linear)) <= 1e-9 * lengths
        if singular.any():
            raise self._impossible(
                field,
                int(np.argmax(singular)),
                "the projection matrix is no map of space: expected three rows in different "
                "directions, found one that is zero or a sum of the others; check the alignment "
                "of this image",
            )
        return matrices

    def _impossible(self, field: str, row: int, message: str) -> ImpossibleValueError:
        where = f"{self.place}, tilt image {row + 1}"
        return ImpossibleValueError(f"{where}: {message}", field=field, row=row)
