"""What goes wrong with images of a simulated series, on purpose."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from twins_images import Floats
from twins_recipes import Recipe

Array = npt.NDArray[np.float64]


def jumps(recipe: Recipe, rng: np.random.Generator) -> Array:
    """What is off by much of the field: (n, 2) [px]."""
    n, size = recipe.course.tilts, np.array(recipe.optics.size)
    shifts = np.zeros((n, 2))
    angle = rng.uniform(0, 2 * np.pi)
    way = np.array([np.cos(angle), np.sin(angle)]) * size
    if "jump" in recipe.faults:
        shifts[int(rng.integers(n // 5, n - n // 5))] = 0.5 * way
    if "pieces" in recipe.faults:
        shifts[int(rng.integers(n // 3, n - n // 3)) :] = 0.33 * way
    return shifts


def bad_images(recipe: Recipe, n: int, rng: np.random.Generator) -> dict[int, str]:
    """Which images are spoiled, and how."""
    whats = [f for f in recipe.faults if f in ("dark", "blank", "blocked")]
    return dict(zip(sorted(rng.permutation(n)[: len(whats)].tolist()), whats, strict=True))


def spoiled(clean: Floats, bad: dict[int, str]) -> Floats:
    """Dark: hardly any beam; blank: nothing in it; blocked: a bar of the grid in most of it."""
    made = clean.copy() if bad else clean
    x = np.linspace(0, 1, clean.shape[2], dtype=np.float32)
    for i, what in bad.items():
        if what == "dark":
            made[i] *= 0.01
        elif what == "blank":
            made[i] = clean[i].mean()
        else:
            made[i] *= 0.01 + 0.99 / (1 + np.exp((0.4 - x) * 200))
    return made


def gradients(shape: tuple[int, ...], seed: int) -> Floats:
    """A beam that is not even, and not in the same way in every image: (n, h, w)."""
    rng = np.random.default_rng([seed, 9])
    n, height, width = shape
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    fixed, own = rng.normal(0, 0.15, 2), rng.normal(0, 0.05, (n, 2))
    slope = np.clip(fixed + own, -0.4, 0.4)
    return np.asarray(1 + slope[:, 0, None, None] * x + slope[:, 1, None, None] * y, np.float32)


def heat(images: Floats, seed: int) -> None:
    """Some pixels of the camera are hot in all images, some in one."""
    rng = np.random.default_rng([seed, 13])
    height, width = images.shape[1:]
    always = rng.random((height, width)) < 5e-5
    for image in images:
        hot = always | (rng.random((height, width)) < 1e-4)
        image[hot] *= rng.uniform(3, 40, hot.sum()).astype(np.float32)
