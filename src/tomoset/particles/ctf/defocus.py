"""A table's defocus, changed: U, V and their angle, or mean and astigmatism."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]


def mean_and_astigmatism(tomogram: Tomogram) -> tuple[Array, Array]:
    """The mean of U and V, and the vector of half their difference at twice the angle [Å].

    Returns
    -------
    mean : (n_tilts,) array
    astigmatism : (n_tilts, 2) array
        Defocus along a direction t from image x is mean + a1 cos 2t + a2 sin 2t.

    Raises
    ------
    ModelError
        If there is no defocus.
    """
    u, v, angle = defocus_of(tomogram)
    twice = 2 * np.deg2rad(angle)
    half = (u - v) / 2
    return (u + v) / 2, np.stack([half * np.cos(twice), half * np.sin(twice)], axis=1)


def strength(astigmatism: Array) -> Array:
    """U - V of an astigmatism as `mean_and_astigmatism` has it, (n, 2): (n,) [Å]."""
    return np.asarray(2 * np.hypot(astigmatism[:, 0], astigmatism[:, 1]))


def defocus_of(tomogram: Tomogram) -> tuple[Array, Array, Array]:
    """U, V and their angle."""
    (u, v), angle = tomogram.need_defocus(), tomogram.defocus_angle
    return u, v, np.zeros(len(u)) if angle is None else angle


def with_changes(tomogram: Tomogram, changes: npt.ArrayLike) -> Tomogram:
    """The tomogram with another defocus; hand and depth stay what they are.

    Parameters
    ----------
    tomogram : Tomogram
        With a defocus.
    changes : (n_tilts, 3) array
        dz, a1, a2 [Å]: defocus along a direction t changes by dz + a1 cos 2t + a2 sin 2t.

    Examples
    --------
    >>> from tomoset import Optics
    >>> t = Tomogram(name="a", n_tilts=2, optics=Optics(pixel_size=2.0), defocus_u=[20000, 20000.0],
    ...              defocus_v=[19000, 19000.0], defocus_angle=[30.0, 0.0])
    >>> new = with_changes(t, [[100, 0, 0], [0, 0, 1200]])
    >>> new.defocus_u.tolist(), new.defocus_v.tolist(), new.defocus_angle.round(2).tolist()
    ([20100.0, 20800.0], [19100.0, 18200.0], [30.0, 33.69])
    """
    change = np.asarray(changes, np.float64)
    mean, before = mean_and_astigmatism(tomogram)
    u, v, angle = defocus_of(tomogram)
    after = before + change[:, 1:]
    astigmatic = change[:, 1:].any(axis=1)
    length = np.hypot(after[:, 0], after[:, 1])
    angles = np.rad2deg(np.arctan2(after[:, 1], after[:, 0])) / 2
    # As U and V were written where they only change together: U may be the smaller one.
    new_u = np.where(astigmatic, mean + change[:, 0] + length, u + change[:, 0])
    new_v = np.where(astigmatic, mean + change[:, 0] - length, v + change[:, 0])
    return replace(
        tomogram,
        defocus_u=new_u,
        defocus_v=new_v,
        defocus_angle=np.where(astigmatic, angles % 180.0, angle),
    )


def angle_errors(astigmatism: Array, errors: Array) -> Array:
    """Standard deviation of the angle of an astigmatism, (n, 2) and (n, 2), at most 52°: (n,)."""
    length = np.hypot(astigmatism[:, 0], astigmatism[:, 1])
    error = np.hypot(errors[:, 0], errors[:, 1]) / np.sqrt(2)
    # That of an angle which may be any.
    any_angle = 180 / np.sqrt(12)
    found = np.rad2deg(error / np.maximum(2 * length, 1e-9))
    return np.asarray(np.minimum(found, any_angle))
