"""Linear algebra in one thread: for many small matrices more threads only wait for each other."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    """A block in which products and inverses of matrices keep to one thread.

    Where other programs have the cores, two threads of BLAS that wait for each other made a fit of
    0.3 s take 12.
    """
    import threadpoolctl

    limits: AbstractContextManager[Any] = threadpoolctl.threadpool_limits(1, user_api="blas")
    return limits
