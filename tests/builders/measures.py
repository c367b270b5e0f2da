"""How far apart things are, in one number."""

from __future__ import annotations

import numpy as np

from tomoset import geometry
from tomoset.model import Tomogram


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def rms_length(vectors: np.ndarray) -> float:
    """Of vectors along the last axis."""
    return float(np.sqrt((vectors**2).sum(axis=-1).mean()))


def reprojection_error(t: Tomogram, seen: np.ndarray) -> float:
    """Rms distance [px] to places in images, (n_tilts, n, 2), of the best place for each in space."""
    return rms_length(t.project(t.triangulate(seen)) - seen)


def affine_errors(found: np.ndarray, true: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Rms distance [px] in each image between projections, after the best affine map of space."""
    target = geometry.apply(true, points)[..., :2] - found[:, None, :2, 3]
    X = np.c_[points - points.mean(axis=0), np.ones(len(points))]
    A = found[:, :2, :3]
    side = np.einsum("ika,ipk,ph->ah", A, target, X)
    best = np.linalg.solve(np.einsum("ika,ikb->ab", A, A), side) @ np.linalg.inv(X.T @ X)
    off = np.einsum("ika,ah,ph->ipk", A, best, X) - target
    return np.sqrt((off**2).sum(axis=2).mean(axis=1))


def turn_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The rotation R with b = R a + t, least squares (Kabsch), as a rotation vector [deg]."""
    u, _, vt = np.linalg.svd((a - a.mean(0)).T @ (b - b.mean(0)))
    d = np.diag([1, 1, np.sign(np.linalg.det(vt.T @ u.T))])
    r = vt.T @ d @ u.T
    skew = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]]) / 2
    return np.rad2deg(np.arcsin(np.linalg.norm(skew)) * skew / np.linalg.norm(skew))
