"""How a map, or its mirror image, lies best in what particles say: all rotations and shifts.

The mirror image is searched for exactly as the map: its transform is that of the map with x
reversed, so that a matrix that mirrors is all the difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.geometry import rotation_about
from tomoset.particles.geometric.sums import Complex, Sums
from tomoset.particles.slices import MapTransform
from tomoset.run import one_thread

Array = npt.NDArray[np.float64]
Volume = npt.NDArray[np.float32]

#: About voxel n // 2, where x is reversed.
MIRROR = np.diag([-1.0, 1.0, 1.0])
#: Rotations that are tried first; they are about 12 degrees apart.
_ROTATIONS = 9000
#: Fineness that suits them, over the radius of gyration [radians]; and in steps of the box.
_PHASE, _COARSE = 2.3, (5.0, 9.0)
#: Rotations that are worked on at once.
_AT_ONCE = 64
#: Candidates that are refined, fewer at each finer step, and how far they are apart [degrees].
_CANDIDATES, _FEWEST, _APART = 20, 4, 15.0
#: Of known poses, so many are refined.
_PROMISING = 2
#: From one step of refinement to the next the radius grows by this.
_FINER = 1.7
#: Width of the rings of frequencies with an amplitude of their own [steps].
_RING = 2.0
#: A map may be shifted by this part of the box.
_SHIFT, _TOO_FAR = 0.25, 0.3
#: So much of a map's square must be within the box.
_INSIDE = 0.9
#: A band counts as at least this part of the strongest.
_LEAST = 1e-5
#: Of numerical derivatives [radians].
_STEP = 0.01


@dataclass(frozen=True, eq=False)
class Pose:
    """How a map lies in the particles' own frame.

    Parameters
    ----------
    matrix : (3, 3) array
        Orthogonal, from the map to the particles; its determinant is -1 for the mirror image.
    shift : (3,) array
        x, y, z [px].
    log_likelihood : float
        Against no map at all, natural logarithm.
    """

    matrix: Array
    shift: Array
    log_likelihood: float


@dataclass(frozen=True, eq=False)
class RotatedMap:
    """A map that can be compared with sums.

    Parameters
    ----------
    transform : MapTransform
        Of the map.
    gyration : float
        Its radius of gyration [px].
    extent : float
        Radius of the ball about its origin that holds nearly all of it [px].
    """

    transform: MapTransform
    gyration: float
    extent: float

    @classmethod
    def of(cls, density: Volume, box: int) -> RotatedMap:
        """A cubic map (z, y, x) with its origin at voxel n // 2, within a box [px].

        What lies outside the largest ball in both is faded out: rotated, it would not be there.
        """
        n = len(density)
        distance = np.linalg.norm(np.indices((n, n, n)) - n // 2, axis=0)
        fade = np.clip((min(n, box) / 2 - distance) / 3, 0, 1)
        mass = np.square(density, dtype=np.float64)
        inside = float((mass * fade**2).sum() / mass.sum())
        if inside < _INSIDE:
            raise ModelError(
                f"only {inside:.0%} of the map lies within the box of {box} px (--b) about its "
                "origin: take a larger box, or a --mask"
            )
        kept = density * fade.astype(np.float32)
        mass = np.square(kept, dtype=np.float64)
        by_radius = np.bincount(np.rint(distance).astype(int).ravel(), mass.ravel())
        part = by_radius.cumsum() / by_radius.sum()
        gyration = float(np.sqrt((mass * distance**2).sum() / mass.sum()))
        return cls(MapTransform.of(kept), max(gyration, 1.0), float(np.searchsorted(part, 0.99)))

    def at(self, matrices: Array, sums: Sums) -> Complex:
        """The transform of the map, rotated by (n, 3, 3) matrices, at the sums' points: (n, m)."""
        from tomoset.particles.geometric import _kernels

        out = np.empty((len(matrices), len(sums.points)), np.complex64)
        points = sums.points.astype(np.float32)
        scale = self.transform.padded / sums.box
        _kernels.rotated(self.transform.values, np.ascontiguousarray(matrices), points, scale, out)
        return out


def rotated_directly(density: Volume, matrix: Array, sums: Sums) -> npt.NDArray[np.complex128]:
    """What `RotatedMap.at` gives for one matrix, by the sum over all voxels."""
    locate = np.argwhere(density)[:, ::-1] - len(density) // 2
    values = density[density != 0].astype(np.float64)
    angle = 2 * np.pi / sums.box * (locate @ matrix.T) @ sums.points.T
    return np.asarray(values @ np.exp(-1j * angle))


class Bands:
    """Rings of frequencies, each with an amplitude of its own.

    How fast particles fade with the resolution, by errors of their alignment, is not known.
    """

    def __init__(self, sums: Sums) -> None:
        radii = np.sqrt((sums.points**2).sum(axis=1))
        # The outermost points may lie where next to nothing was put in: they join the last ring.
        last = max(radii[-1] - 2 * _RING, 0)
        rings = (np.minimum(radii, last) / _RING).astype(int)
        self._starts = np.flatnonzero(np.diff(rings, prepend=-1))
        self.of = np.repeat(np.arange(len(self._starts)), np.diff([*self._starts, len(rings)]))

    def sum(self, values: npt.NDArray[np.float32]) -> Array:
        """Over each band: (..., bands) of (..., m)."""
        total = np.add.reduceat(values, self._starts, axis=-1)
        return np.asarray(total, np.float64)


def products(rotated: Complex, shift: Array, sums: Sums) -> tuple[Array, Array]:
    """<num, F> and <F, den F> for one rotated map that is also shifted [px]: (groups, bands)."""
    bands = Bands(sums)
    wave = np.exp(2j * np.pi / sums.box * (sums.points @ shift)).astype(np.complex64)
    first = (sums.numerator * (rotated.conj() * wave)).real
    second = sums.power * (rotated.real**2 + rotated.imag**2)
    return bands.sum(first), bands.sum(second)


def gain(first: npt.ArrayLike, second: npt.ArrayLike) -> Array:
    """Logarithm of the likelihood at the best amplitudes, which are not below 0.

    Parameters
    ----------
    first, second : (..., bands) arrays
        <num, F> and <F, den F>, as `products` gives them.

    Returns
    -------
    (...) array
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return np.asarray((np.maximum(first, 0) ** 2 / (2 * _above_0(second))).sum(axis=-1))


def _above_0(second: Array) -> Array:
    """Of few images, next to nothing in a band can come out below 0."""
    least = np.maximum(_LEAST * second.max(axis=-1, keepdims=True), 1e-30)
    return np.asarray(np.maximum(second, least))


def rotations(number: int = _ROTATIONS) -> Array:
    """Rotations all over, evenly: (n, 3, 3). The first is none.

    By super-Fibonacci spirals (Alexa, CVPR 2022).
    """
    at = np.arange(number) + 0.5
    inner, outer = np.sqrt(at / number), np.sqrt(1 - at / number)
    first, second = 2 * np.pi * at / np.sqrt(2), 2 * np.pi * at / 1.533751168755204288118041413
    a, b = inner * np.sin(first), inner * np.cos(first)
    c, d = outer * np.sin(second), outer * np.cos(second)
    rows = (
        (1 - 2 * (c * c + d * d), 2 * (b * c - a * d), 2 * (b * d + a * c)),
        (2 * (b * c + a * d), 1 - 2 * (b * b + d * d), 2 * (c * d - a * b)),
        (2 * (b * d - a * c), 2 * (c * d + a * b), 1 - 2 * (b * b + c * c)),
    )
    matrices = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    return np.concatenate([np.eye(3)[None], matrices])


def search(sums: Sums, rotated: RotatedMap, *, mirrored: bool, threads: int = 1) -> list[Pose]:
    """The best poses of a map, or of its mirror image: some, the best first.

    Parameters
    ----------
    sums : Sums
        Of one group.
    rotated : RotatedMap
        The map.
    mirrored : bool
        Whether to locate its mirror image.
    threads : int
        That are used.
    """
    finest = float(np.sqrt((sums.points[-1] ** 2).sum()))
    radius = _PHASE / rotated.gyration * sums.box / (2 * np.pi) * 2
    radius = min(float(np.clip(radius, *_COARSE)), finest)
    matrices = rotations() @ MIRROR if mirrored else rotations()
    with one_thread(), ThreadPoolExecutor(threads) as pool:
        poses = _coarse(sums.within(radius), rotated, matrices, pool)
        while True:
            part = sums.within(radius)
            refine = _Refinement(part, rotated)
            poses = sorted(pool.map(refine, poses), key=lambda p: -p.log_likelihood)
            if radius >= finest:
                return _distinct(poses, _FEWEST)
            poses = _distinct(poses, max(_FEWEST, len(poses) // 2))
            radius = min(_FINER * radius, finest)


def refined(poses: Sequence[Pose], sums: Sums, rotated: RotatedMap) -> Pose:
    """The best of some poses; the most promising are refined.

    Parameters
    ----------
    poses : sequence of Pose
        Whose log-likelihoods may be of other sums.
    sums : Sums
        Of one group.
    rotated : RotatedMap
        The map.
    """
    refine = _Refinement(sums, rotated)
    with one_thread():
        seen = rotated.at(np.stack([p.matrix for p in poses]), sums)
        values = [
            float(gain(*products(one, p.shift, sums))[0])
            for one, p in zip(seen, poses, strict=True)
        ]
        best = np.argsort(values)[::-1][:_PROMISING]
        return max((refine(poses[i]) for i in best), key=lambda p: p.log_likelihood)


def _coarse(
    sums: Sums, rotated: RotatedMap, matrices: Array, pool: ThreadPoolExecutor
) -> list[Pose]:
    """Candidates: the first of the matrices as it is, and the best of all."""
    shifts = _Shifts(sums)

    def work(first: int) -> tuple[Array, Array]:
        return shifts.best(rotated.at(matrices[first : first + _AT_ONCE], sums))

    parts = list(pool.map(work, range(0, len(matrices), _AT_ONCE)))
    values = np.concatenate([value for value, _ in parts])
    positions = np.concatenate([locate for _, locate in parts])
    order = np.argsort(-values, kind="stable")
    poses = (Pose(matrices[i], positions[i], float(values[i])) for i in order)
    first = Pose(matrices[0], positions[0], float(values[0]))
    return [first, *_distinct(poses, _CANDIDATES)]


class _Shifts:
    """The best shift of each rotated map, by Fourier transforms."""

    def __init__(self, sums: Sums) -> None:
        import scipy.fft

        self._sums = sums
        reach = int(np.abs(sums.points).max())
        size = int(scipy.fft.next_fast_len(2 * reach + 2, real=True))
        self._size = size + size % 2
        x, y, z = sums.points.T
        self._index = z % self._size, y % self._size, x
        # The real part counts once where x is 0, else for -x too.
        self._factor = np.where(x == 0, 1.0, 0.5).astype(np.float32) * self._size**3
        self._at = np.fft.fftfreq(self._size, 1 / sums.box)
        near = np.abs(self._at) <= _SHIFT * sums.box
        self._near = np.ix_(*[np.flatnonzero(near)] * 3)
        self._points = self._at[near]

    def best(self, rotated: Complex) -> tuple[Array, Array]:
        """Log-likelihoods (n,), and shifts (n, 3) [px]."""
        import scipy.fft

        size = self._size
        grid = np.zeros((len(rotated), size, size, size // 2 + 1), np.complex64)
        grid[:, *self._index] = self._sums.numerator[0] * rotated.conj() * self._factor
        values = scipy.fft.irfftn(grid, s=(size,) * 3, axes=(1, 2, 3))[:, *self._near]
        flat = values.reshape(len(rotated), -1)
        top = flat.argmax(axis=1)
        z, y, x = np.unravel_index(top, values.shape[1:])
        shift = np.stack([self._points[x], self._points[y], self._points[z]], axis=1)
        power = (rotated.real**2 + rotated.imag**2) @ self._sums.power[0]
        best = flat[np.arange(len(flat)), top]
        return gain(best[:, None], power[:, None]), shift


def _distinct(poses: Sequence[Pose] | Iterator[Pose], number: int) -> list[Pose]:
    """The first so many that are rotated differently."""
    kept: list[Pose] = []
    least = 1 + 2 * np.cos(np.deg2rad(_APART))
    for pose in poses:
        if all(np.sum(pose.matrix * other.matrix) < least for other in kept):
            kept.append(pose)
        if len(kept) == number:
            break
    return kept


class _Refinement:
    """Refines the pose of a map."""

    def __init__(self, sums: Sums, rotated: RotatedMap) -> None:
        self._sums, self._turned = sums, rotated
        self._k = 2 * np.pi / sums.box * sums.points
        self._bands = Bands(sums)
        self._reach = _SHIFT * sums.box
        steps = np.concatenate([np.zeros((1, 3)), _STEP * np.eye(3), -_STEP * np.eye(3)])
        self._steps = np.stack([rotation_about(s) for s in steps])

    def __call__(self, pose: Pose) -> Pose:
        from scipy.optimize import minimize

        at, unit = pose, self._turned.gyration

        def shifted(p: Array) -> tuple[Array, Array]:
            return rotation_about(p[:3] / unit) @ at.matrix, at.shift + p[3:]

        # Derivatives are for rotations about the current one, which small ones from the start are.
        for _ in range(2):
            scale = max(at.log_likelihood, 1.0)
            found = minimize(
                lambda p, s=scale: self._value(*shifted(p), s),
                np.zeros(6),
                jac=True,
                method="BFGS",
                options={"maxiter": 25, "gtol": 1e-3},
            )
            matrix, shift = shifted(found.x)
            before, at = at, Pose(matrix, shift, max(0.0, -float(found.fun) * scale))
            if at.log_likelihood - before.log_likelihood < 0.02:
                break
        # Further away it would come in again at the other side of the box.
        if np.abs(at.shift).max() > _TOO_FAR * self._sums.box:
            return Pose(at.matrix, np.clip(at.shift, -self._reach, self._reach), 0.0)
        return at

    def _value(self, matrix: Array, shift: Array, scale: float) -> tuple[float, Array]:
        """Minus the log-likelihood over `scale`, and its derivatives."""
        sums, unit = self._sums, self._turned.gyration
        rotated = self._turned.at(self._steps @ matrix, sums)
        seen = sums.numerator[0] * np.exp(1j * (self._k @ shift)).astype(np.complex64)
        first = np.maximum(self._bands.sum((rotated.conj() * seen).real), 0)
        second = self._bands.sum((rotated.real**2 + rotated.imag**2) * sums.power[0])
        amplitudes = first[0] / _above_0(second[0])
        values = gain(first, second)
        along = (rotated[0].conj() * seen).imag * amplitudes[self._bands.of]
        by_rotation = (values[1:4] - values[4:]) / (2 * _STEP) / unit
        return -float(values[0]) / scale, -np.concatenate([by_rotation, -along @ self._k]) / scale
