"""The rigid motion that best carries points to where images have them."""

from __future__ import annotations

import numpy as np

from tomoset.geometry._basic import Array, rotation_about, translation
from tomoset.geometry._rigid import nearest_rotation

#: Steps of the fit; from the start that is found in closed form it needs about five.
_STEPS = 50
#: A step that is smaller ends it [rad, and of the extent of the points].
_SMALL = 1e-13


def rigid_motion(points: Array, there: Array, weights: Array, *, mirrored: bool = False) -> Array:
    """The rigid motion G with the least sum of (G v - w)ᵀ W (G v - w).

    With w triangulated from image points q by projections with rows A, and W the sum of their AᵀA,
    this is the sum of squares of all distances between the projections of G v and q, up to what
    no motion changes: the directions that images fix badly count little.

    Parameters
    ----------
    points, there : (n, 3) arrays
        v and w; not all v on one line.
    weights : (n, 3, 3) array
        W of each, symmetric.
    mirrored : bool
        Whether G is to turn space into its mirror image.

    Returns
    -------
    (4, 4) float64 array

    Examples
    --------
    >>> from tomoset.geometry import apply, rotation_y
    >>> v = np.array([[0.0, 0, 0], [5, 0, 0], [0, 7, 0], [1, 2, 3]])
    >>> G = rigid_motion(v, apply(rotation_y(30), v), np.tile(np.eye(3), (4, 1, 1)))
    >>> bool(np.allclose(G, rotation_y(30)))
    True
    """
    middle = points.mean(axis=0)
    arms = points - middle
    rotation = _start(arms, there, mirrored=mirrored)
    shift = there.mean(axis=0)
    scale, damping = max(float(np.abs(arms).max(initial=0.0)), 1.0), 0.0
    cost = _cost(arms @ rotation.T + shift - there, weights)
    for _ in range(_STEPS):
        carried = arms @ rotation.T
        slopes = np.zeros((len(points), 3, 6))
        slopes[:, :, :3] = _cross(carried) / scale
        slopes[:, :, 3:] = np.eye(3)
        weighted = (weights @ slopes).reshape(-1, 6)
        normal = slopes.reshape(-1, 6).T @ weighted
        downhill = (there - carried - shift).ravel() @ weighted
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), downhill)
        turned = rotation_about(step[:3] / scale) @ rotation
        new = _cost(arms @ turned.T + shift + step[3:] - there, weights)
        if new <= cost:
            rotation, shift, cost, damping = turned, shift + step[3:], new, damping / 10
        else:
            damping = max(10 * damping, 1e-6)
        if np.abs(step).max() < _SMALL * scale:
            break
    motion = translation(shift)
    motion[:3, :3] = nearest_rotation(rotation)  # to the last bits
    return np.asarray(motion @ translation(-middle))


def _start(arms: Array, there: Array, *, mirrored: bool) -> Array:
    """The best rotation where all directions count the same (Kabsch)."""
    left, _, right = np.linalg.svd((there - there.mean(axis=0)).T @ arms)
    sign = np.sign(np.linalg.det(left @ right)) * (-1 if mirrored else 1)
    return np.asarray(left @ np.diag([1.0, 1.0, sign]) @ right)


def _cost(apart: Array, weights: Array) -> float:
    return float(((weights @ apart[..., None])[..., 0] * apart).sum())


def _cross(carried: Array) -> Array:
    """How each point moves with a rotation about x, y and z: (n, 3, 3)."""
    x, y, z = carried.T
    none = np.zeros_like(x)
    rows = ((none, z, -y), (-z, none, x), (y, -x, none))
    return np.moveaxis(np.array(rows), -1, 0)
