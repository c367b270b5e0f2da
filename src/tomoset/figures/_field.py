"""A tomogram's box from above and from the side, and what images see of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.figures._style import FAINT, GREY, INK, Sheet
from tomoset.model import Tomogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = npt.NDArray[np.float64]

#: Room about the box, as a part of its largest side.
_MARGIN = 0.04


class Box:
    """A tomogram's box in nm, and where its views go on a sheet.

    Parameters
    ----------
    tomogram : Tomogram
        With size, projections and pixel size.
    """

    def __init__(self, tomogram: Tomogram) -> None:
        self._tomogram = tomogram
        #: nm in a voxel.
        self.unit = (tomogram.optics.pixel_size or 1.0) / 10
        self._size = np.array(tomogram.size or (1, 1, 1), np.float64) * self.unit

    def nm(self, points: Array) -> Array:
        """Where voxels are [nm]."""
        return np.asarray(points) * self.unit

    def field_of_view(self, image: int) -> Array | None:
        """Corners of an image in the middle plane of the tomogram: (4, 2) [nm]."""
        t = self._tomogram
        if t.projections is None or t.image_size is None:
            return None
        width, height = t.image_size
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
        camera, z = t.projections[image], (self._size[2] / self.unit - 1) / 2
        seen = corners - camera[:2, 2] * z - camera[:2, 3]
        if abs(np.linalg.det(camera[:2, :2])) < 1e-3:
            return None  # seen from the side
        return self.nm(np.linalg.solve(camera[:2, :2], seen.T).T)

    def above(
        self, sheet: Sheet, at: tuple[float, float], width: float, title: str, foot: float = 0.0
    ) -> Axes:
        """Axes x and y, with the field of view of the least and of the most tilted image.

        At the foot is so much more room, as a part of the largest side.
        """
        angles = np.abs(geometry.tilt_angles(np.asarray(self._tomogram.projections)))
        seen = {"least tilted": int(angles.argmin()), "most tilted": int(angles.argmax())}
        fields = {name: self.field_of_view(i) for name, i in seen.items()}
        least = fields["least tilted"]
        known = np.zeros((0, 2)) if least is None else least
        low = np.minimum(known.min(axis=0, initial=0.0), 0.0)
        high = np.maximum(known.max(axis=0, initial=0.0), self._size[:2])
        room = _MARGIN * float(self._size.max())
        below = room + foot * float(self._size.max())
        limits = (low[0] - room, high[0] + room), (low[1] - below, high[1] + room)
        ax = self._axes(sheet, at, width, limits, title)
        self._outline(ax, self._size[:2])
        styles: dict[str, Any] = {
            "least tilted": {"linestyle": "--", "color": INK},
            "most tilted": {"linestyle": ":", "color": GREY},
        }
        for name, corners in fields.items():
            if corners is not None and not (name == "most tilted" and len(angles) == 1):
                label = f"field of view, {name}"
                closed = np.vstack([corners, corners[:1]])
                ax.plot(*closed.T, linewidth=0.7, label=label, **styles[name])
        return ax

    def beside(self, sheet: Sheet, at: tuple[float, float], width: float, like: Axes) -> Axes:
        """Axes x and z, at the scale of the view from above."""
        room = _MARGIN * float(self._size.max())
        limits = like.get_xlim(), (-room, self._size[2] + room)
        ax = self._axes(sheet, at, width, limits, "")
        self._outline(ax, self._size[[0, 2]])
        ax.set_ylabel("z (nm)")
        return ax

    def _axes(
        self,
        sheet: Sheet,
        at: tuple[float, float],
        width: float,
        limits: tuple[tuple[float, float], tuple[float, float]],
        title: str,
    ) -> Axes:
        from matplotlib.ticker import MaxNLocator

        (left, right), (bottom, top) = limits
        ax = sheet.axes(*at, width, width * (top - bottom) / (right - left), title)
        ax.set(xlim=limits[0], ylim=limits[1], xlabel="x (nm)", ylabel="y (nm)")
        ax.xaxis.set_major_locator(MaxNLocator(4))
        few = max(2, round(5 * (top - bottom) / (right - left)))
        ax.yaxis.set_major_locator(MaxNLocator(min(few, 5)))
        return ax

    def _outline(self, ax: Axes, size: Array) -> None:
        from matplotlib.patches import Rectangle

        at = -0.5 * self.unit
        box = Rectangle((at, at), *size, facecolor="#F4F4F4", edgecolor=FAINT, label="tomogram")
        ax.add_patch(box)
