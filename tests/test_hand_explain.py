"""What is said of hands, verified by the geometry that everything else uses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tomoset import geometry
from tomoset.hand.explain import EXPLANATION
from tomoset.model import Optics, Tomogram

SIZE, IMAGES = (400, 380, 120), (400, 380)
TILTS = np.arange(-60.0, 61.0, 15.0)
AXIS = 85.0
MIRROR_X = np.diag([-1.0, 1.0, 1.0, 1.0])
MIRROR_Z = np.diag([1.0, 1.0, -1.0, 1.0])


def projections(tilts: np.ndarray = TILTS, axis: float = AXIS) -> np.ndarray:
    angles = np.stack([np.zeros_like(tilts), tilts, np.full_like(tilts, axis)], axis=1)
    shifts = np.zeros((len(tilts), 2))
    return geometry.rigid_projections(angles, shifts, size=SIZE, image_size=IMAGES)


def imod(**flips: bool) -> np.ndarray:
    volume = geometry.ImodVolume(aligned_size=IMAGES, thickness=120, **flips)
    turn = np.deg2rad(AXIS)
    rows = [[np.cos(turn), np.sin(turn), 3.0], [-np.sin(turn), np.cos(turn), -4.0]]
    xf = np.broadcast_to(rows, (len(TILTS), 2, 3))
    return geometry.imod_projections(
        xf, TILTS, np.zeros_like(TILTS), volume=volume, raw_size=IMAGES
    )


def tomogram(matrices: np.ndarray, hand: int = 1) -> Tomogram:
    defocus = np.full(len(matrices), 30000.0)
    return Tomogram(
        name="a", n_tilts=len(matrices), optics=Optics(pixel_size=2.0), hand=hand,
        size=SIZE, projections=matrices, defocus_u=defocus, defocus_v=defocus,
        depth_origin=np.zeros(3),
    )  # fmt: skip


def flips(before: Tomogram, after: Tomogram, images: np.ndarray | None = None) -> tuple[str, str]:
    """What becomes of both hands if `images` of the specimen are interpreted by `after`."""
    assert before.projections is not None
    assert after.projections is not None
    points = np.random.default_rng(3).uniform(0, 100, (20, 3))
    old, new = points @ before.projections[:, :2, :3].mT, after.projections[:, :2, :3]
    seen = old if images is None else old @ images[:2, :2].T
    # Where the specimen's points are now, so that every image shows them where it does.
    moved = np.linalg.lstsq(np.concatenate(new), np.concatenate(seen.mT), rcond=None)[0].T
    np.testing.assert_allclose(moved @ new.mT, seen, atol=1e-6)
    linear = np.linalg.lstsq(points, moved, rcond=None)[0]
    determinant = np.linalg.det(linear)
    assert abs(abs(determinant) - 1) < 1e-9
    change = [
        t.defocus(p)[..., 0] - t.defocus(np.zeros((1, 3)))[..., 0]
        for t, p in ((before, points), (after, moved))
    ]
    same, opposite = (np.abs(change[0] - sign * change[1]).max() < 1e-6 for sign in (1, -1))
    assert same != opposite
    return "flipped" if determinant < 0 else "stays", "flipped" if opposite else "stays"


BEFORE = tomogram(projections())
TURNED = tomogram(projections(axis=AXIS + 180))
NEGATED = tomogram(projections(-TILTS))
BOTH = tomogram(projections(-TILTS, AXIS + 180))
AS_IMOD = tomogram(imod(flip_yz=False, flip_z=False))
CASES: dict[str, Callable[[], tuple[str, str]]] = {
    "rlnTomoHand x -1": lambda: flips(BEFORE, tomogram(projections(), hand=-1)),
    "row z of all matrices x -1": lambda: flips(BEFORE, tomogram(MIRROR_Z @ projections())),
    "tilt axis + 180 degrees": lambda: flips(BEFORE, TURNED),
    "tilt angles x -1": lambda: flips(BEFORE, NEGATED),
    "tilt axis + 180 degrees and tilt angles x -1": lambda: flips(BEFORE, BOTH),
    "--flipYZ --flipZ instead of neither (RELION 4)": lambda: flips(
        AS_IMOD, tomogram(imod(flip_yz=True, flip_z=True))
    ),
    "--flipYZ instead of neither (RELION 4)": lambda: flips(
        AS_IMOD, tomogram(imod(flip_yz=True, flip_z=False))
    ),
    "volume and its coordinates mirrored, z to -z": lambda: flips(
        BEFORE, tomogram(projections() @ MIRROR_Z)
    ),
    "images mirrored in x, tilt axis a to -a": lambda: flips(
        BEFORE, tomogram(projections(axis=-AXIS)), MIRROR_X
    ),
    "images mirrored in x, tilt axis a to 180 - a": lambda: flips(
        BEFORE, tomogram(projections(axis=180 - AXIS)), MIRROR_X
    ),
}


@pytest.mark.parametrize("operation", CASES)
def test_each_operation_flips_the_hands_that_the_table_says(operation: str) -> None:
    rows = {tuple(line.strip().split("  ")[:1]): line.split() for line in EXPLANATION.splitlines()}
    assert tuple(rows[(operation,)][-2:]) == CASES[operation]()


def test_every_line_of_the_table_has_its_test() -> None:
    lines = [line for line in EXPLANATION.splitlines() if line.endswith(("flipped", "stays"))]
    assert len(lines) == len(CASES)


@pytest.mark.parametrize("flip_yz", [False, True])
@pytest.mark.parametrize("flip_z", [False, True])
def test_rule_of_imod_is_minus_one(flip_yz: bool, flip_z: bool) -> None:
    """However RELION 4 turns the volume: at positive tilt, more underfocus to the right."""
    volume = geometry.ImodVolume(aligned_size=IMAGES, thickness=120, flip_yz=flip_yz, flip_z=flip_z)
    tilts = np.array([-40.0, 40.0])
    matrices = geometry.imod_projections(None, tilts, np.zeros(2), volume=volume, raw_size=IMAGES)
    change = rise_to_the_right(matrices, hand=-1, axis=0.0)
    assert change[0] < 0 < change[1]


@pytest.mark.parametrize("axis", [-95.0, 0.0, 85.0, 178.0])
def test_formulas_of_imod_and_aretomo_in_angles_of_relion_5(axis: float) -> None:
    tilts = np.array([-40.0, 40.0])
    slope = np.tan(np.deg2rad(tilts))
    for hand in (1, -1):
        change = rise_to_the_right(projections(tilts, axis), hand, axis)
        np.testing.assert_allclose(change, -hand * slope, atol=1e-9)


def rise_to_the_right(matrices: np.ndarray, hand: int, axis: float) -> np.ndarray:
    """Change of defocus with distance from the tilt axis in each image, of a flat specimen [1]."""
    there = tomogram(matrices, hand)
    # The plane of a specimen: perpendicular to the beam at no tilt, halfway between both images.
    beam = matrices[:, 2, :3].mean(axis=0)
    plane = np.linalg.svd(beam[None])[2][1:]
    points = np.random.default_rng(1).uniform(-80, 80, (30, 2)) @ plane
    x, y, _ = np.moveaxis(points @ matrices[:, :3, :3].mT, -1, 0)
    turn = np.deg2rad(axis)
    right = x * np.cos(turn) + y * np.sin(turn)
    defocus = there.defocus(points)[..., 0] / 2.0
    defocus -= defocus.mean(axis=1, keepdims=True)
    right -= right.mean(axis=1, keepdims=True)
    return np.asarray((right * defocus).sum(axis=1) / (right**2).sum(axis=1))


def test_the_explanation_is_short_and_ascii() -> None:
    lines = EXPLANATION.splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 79
    assert EXPLANATION.isascii()
