"""Where IMOD's ``tilt`` looks for a voxel, computed as its source does: one number after another.

By tilt.f90 and xfapply, with pixels and slices counted from 1; independent of what is tested.
"""

from __future__ import annotations

from math import cos, radians, sin
from pathlib import Path

import numpy as np


class Tilt:
    """A folder with a tilt command file and what it names."""

    def __init__(self, folder: Path, commands: str = "tilt.com") -> None:
        self.options: dict[str, list[str]] = {}
        for line in (folder / commands).read_text().splitlines():
            words = line.split()
            if words and words[0][0] not in "#$":
                self.options[words[0]] = words[1:]
        self.angles = np.loadtxt(folder / self.options["TILTFILE"][0])
        self.alpha = np.full(len(self.angles), -float(self.options.get("XAXISTILT", ["0"])[0]))
        if "XTILTFILE" in self.options:
            self.alpha = self.alpha + np.loadtxt(folder / self.options["XTILTFILE"][0])
        self.factors = np.zeros((len(self.angles), 2))
        self.with_factors = "ZFACTORFILE" in self.options
        if self.with_factors:
            self.factors = np.loadtxt(folder / self.options["ZFACTORFILE"][0])
        full = [int(v) for v in self.options["FULLIMAGE"]]
        self.start = [int(v) for v in self.options.get("SUBSETSTART", ["0", "0"])]
        self.width, self.height = (f - 2 * s for f, s in zip(full, self.start, strict=True))
        self.thickness = int(self.options["THICKNESS"][0])
        self.axis = float(self.options.get("OFFSET", ["0", "0"])[-1])
        self.local = None
        if "LOCALFILE" in self.options:
            self._read_local(folder / self.options["LOCALFILE"][0])

    def _read_local(self, path: Path) -> None:
        head, _, rest = path.read_text().partition("\n")
        sizes = [float(v) for v in head.split()]
        numbers = iter(float(v) for v in rest.split())
        n = len(self.angles)
        self.sizes = [round(v) for v in sizes[:6]]
        self.local = []
        for _ in range(self.sizes[0] * self.sizes[1]):
            beta = [next(numbers) for _ in range(n)]
            turned = len(sizes) > 6 and sizes[6] > 0
            alpha = [next(numbers) for _ in range(n)] if turned else [0.0] * n
            factors = np.zeros((n, 2))
            if len(sizes) > 8 and sizes[8] > 0:
                factors = np.array([[next(numbers), next(numbers)] for _ in range(n)])
            xf = [[next(numbers) for _ in range(6)] for _ in range(n)]
            self.local.append((beta, alpha, factors, xf))
        assert next(numbers, None) is None

    def aligned(self, view: int, i: float, j: float, k: float) -> tuple[float, float]:
        """Where column i, slice j along the axis and depth k, from 1, are in the aligned image."""
        xcen, ycen = self.width / 2 + 0.5, self.height / 2 + 0.5
        xx, yy, zz = i - xcen - self.axis, j - ycen, k - (self.thickness / 2 + 0.5)
        if self.local is None:
            x, y = self._projected(view, xx, yy, zz, (0.0, 0.0), self.factors[view])
            return x + xcen + self.axis, y + ycen
        nx, ny, x0, y0, dx, dy = self.sizes
        x0, y0 = x0 - self.start[0], y0 - self.start[1]
        xt = min(max(i - x0, 0), (nx - 1) * dx)
        xpos = int(min(xt // dx + 1, nx - 1))
        fx = (xt - (xpos - 1) * dx) / dx
        yt = min(max(j - y0, 0), (ny - 1) * dy)
        ypos = int(min(yt // dy + 1, ny - 1))
        fy = (yt - (ypos - 1) * dy) / dy
        corner = nx * (ypos - 1) + xpos - 1
        sum_x = sum_y = 0.0
        for index, weight in (
            (corner, (1 - fy) * (1 - fx)),
            (corner + 1, (1 - fy) * fx),
            (corner + nx, fy * (1 - fx)),
            (corner + nx + 1, fy * fx),
        ):
            beta, alpha, factors, xf = self.local[index]
            own = factors[view] if self.with_factors else (0.0, 0.0)
            x, y = self._projected(view, xx, yy, zz, (beta[view], alpha[view]), own)
            a11, a12, a21, a22, d1, d2 = xf[view]
            x += self.axis
            sum_x += weight * (a11 * x + a12 * y + d1 + xcen)
            sum_y += weight * (a21 * x + a22 * y + d2 + ycen)
        return sum_x, sum_y

    def _projected(
        self, view: int, xx: float, yy: float, zz: float, change: tuple[float, float], factors
    ) -> tuple[float, float]:  # type: ignore[no-untyped-def]
        beta = -radians(self.angles[view] + change[0])
        alpha = radians(self.alpha[view] + change[1])
        cbeta, sbeta, calf, salf = cos(beta), sin(beta), cos(alpha), -sin(alpha)
        xzfac, yzfac = -factors[0], -factors[1]
        x = xx * cbeta + yy * salf * sbeta + zz * (calf * sbeta + xzfac)
        return x, yy * calf - zz * (salf - yzfac)

    def raw(self, xf: np.ndarray, size: tuple[int, int], at: tuple[float, float]) -> np.ndarray:
        """From pixels of the aligned image, from 1, to those of the raw one, from 0."""
        centred = np.array(at) - 0.5 - np.array([self.width, self.height]) / 2
        return np.linalg.solve(xf[:, :2], centred - xf[:, 2]) + np.array(size) / 2 - 0.5
