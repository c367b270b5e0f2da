"""The cropped transforms of all images, read and made while others get ready for them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, overload

from tomoset.images.device import Device, DeviceArray
from tomoset.images.tilt_series import TiltSeries
from tomoset.reconstruct.plan import Plan


class Transforms(Sequence[DeviceArray]):
    """The cropped transforms of all images, in the order of the table.

    Threads read and transform them from the start, each one image at a time; whoever asks for
    one waits for it, and gets what went wrong with it. Leaving the ``with`` block ends that.

    Parameters
    ----------
    plan : Plan
        Says how images are cropped, and how many threads there are.
    series : TiltSeries
        The images, open.
    device : Device
        Where they are transformed.
    """

    def __init__(self, plan: Plan, series: TiltSeries, device: Device) -> None:
        # One for a GPU: each thread has its own plans of transforms there, and their memory.
        self._pool = ThreadPoolExecutor(plan.threads if device.name == "cpu" else 1)

        def make(i: int) -> DeviceArray:
            return plan.cropping.transform(series.read(i), device)

        self._made: list[Future[Any]] = [self._pool.submit(make, i) for i in range(len(series))]

    def __len__(self) -> int:
        return len(self._made)

    @overload
    def __getitem__(self, i: int) -> DeviceArray: ...

    @overload
    def __getitem__(self, i: slice) -> list[DeviceArray]: ...

    def __getitem__(self, i: int | slice) -> DeviceArray | list[DeviceArray]:
        if isinstance(i, slice):
            return [future.result() for future in self._made[i]]
        return self._made[i].result()

    def __enter__(self) -> Transforms:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
