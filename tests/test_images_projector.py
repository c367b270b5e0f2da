"""The projectors: against plain NumPy, as adjoints, and where a bead comes back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.projectors import CPU, make_projector
from tomoset.errors import ModelError, UnsupportedError
from tomoset.images import projector, reference
from tomoset.images.device import open_device
from tomoset.images.projector import Projector


@pytest.mark.parametrize("axis", [3.0, 45.0, 85.0, 181.0, -95.0])
def test_projectors_agree_with_plain_numpy(axis: float) -> None:
    rng = np.random.default_rng(1)
    size, image = (23, 19, 8), (21, 26)
    fast = make_projector(5, axis, size, image)
    images = rng.standard_normal((5, 26, 21)).astype(np.float32)
    slow = reference.back_project(images, fast.matrices, size)
    np.testing.assert_allclose(fast.back(images), slow, atol=2e-4)
    volume = rng.standard_normal(size[::-1]).astype(np.float32)
    slow = reference.project(volume, fast.matrices, image)
    np.testing.assert_allclose(fast.forward(volume), slow, atol=2e-4)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 20),
    st.floats(-180, 180),
    st.tuples(st.integers(1, 24), st.integers(1, 24), st.integers(1, 9)),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
)
def test_back_projection_is_the_adjoint_of_projection(
    n: int, axis: float, size: tuple[int, int, int], image: tuple[int, int]
) -> None:
    rng = np.random.default_rng(n)
    p = make_projector(n, axis, size, image)
    x = rng.standard_normal(size[::-1]).astype(np.float32)
    y = rng.standard_normal((n, *image[::-1])).astype(np.float32)
    there = np.vdot(p.forward(x).astype(float), y)
    back = np.vdot(x, p.back(y).astype(float))
    scale = np.linalg.norm(p.forward(x)) * np.linalg.norm(y) + 1e-6
    assert abs(there - back) <= 1e-5 * scale


def test_parts_of_a_volume_are_the_volume() -> None:
    p = make_projector(4, 80.0, (20, 22, 9), (24, 18))
    images = np.random.default_rng(2).standard_normal((4, 18, 24)).astype(np.float32)
    whole, prepared = p.back(images), p.prepared(images)
    parts = [p.part(a, b).back_prepared(prepared) for a, b in ((0, 4), (4, 5), (5, 9))]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)
    some = p.of([1, 3]).back(images[[1, 3]]) + p.of([0, 2]).back(images[[0, 2]])
    np.testing.assert_allclose(some, whole, atol=1e-5)


def test_each_voxel_takes_the_image_of_its_own_depth() -> None:
    size, image = (16, 12, 10), (16, 12)
    p = make_projector(3, 0.0, size, image)
    matrices = p.matrices.copy()
    matrices[:, 2] = [0.0, 0.0, 0.3, -0.7]  # the level is the slice: -0.7 ... 2.0
    p = Projector(matrices=matrices, image_size=image, size=size, device=CPU)
    images = np.random.default_rng(3).standard_normal((3, 3, 12, 16)).astype(np.float32)
    level = np.clip(0.3 * np.arange(10) - 0.7 + 0.5, 0, 2.5).astype(int)
    got = p.back(images)
    assert set(level) == {0, 1, 2}
    for z, chosen in enumerate(level):
        one = p.part(z, z + 1).of(slice(None)).back(images[:, [chosen]])
        np.testing.assert_allclose(got[z : z + 1], one, atol=1e-6)


def test_projectors_follow_deformed_images() -> None:
    rng = np.random.default_rng(4)
    size, image = (12, 11, 5), (14, 13)
    straight = make_projector(3, 80.0, size, image)
    bend = rng.normal(0, 2, (3, 2, 13, 14)).astype(np.float32)
    p = Projector(
        matrices=straight.matrices, image_size=image, size=size, device=CPU, displacements=bend
    )
    images = rng.standard_normal((3, 13, 14)).astype(np.float32)
    volume = rng.standard_normal(size[::-1]).astype(np.float32)
    y, x = np.indices((13, 14)).reshape(2, -1)
    at = np.stack([x, y], axis=1) + bend.reshape(3, 2, -1).transpose(0, 2, 1)
    flat = [reference.sample(i, a).reshape(13, 14) for i, a in zip(images, at, strict=True)]
    slow = reference.back_project(flat, p.matrices, size)
    np.testing.assert_allclose(p.back(images), slow, atol=2e-4)
    there, back = np.vdot(p.forward(volume), images), np.vdot(volume, p.back(images))
    assert there == pytest.approx(back, rel=1e-4, abs=1e-3)
    np.testing.assert_allclose(
        p.of([2]).back(images[[2]]) + p.of([0, 1]).back(images[:2]), slow, atol=3e-4
    )
    with pytest.raises(ModelError, match="displacements must have shape"):
        Projector(
            matrices=p.matrices, image_size=image, size=size, device=CPU, displacements=bend[:2]
        )


def test_wrong_shapes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    p = make_projector(2, 0.0, (4, 4, 4), (5, 6))
    with pytest.raises(ModelError, match=r"images must have shape \(2, 6, 5\)"):
        p.back(np.zeros((2, 5, 6)))
    with pytest.raises(ModelError, match="volume must have shape"):
        p.forward(np.zeros((4, 4, 5)))
    with pytest.raises(ModelError, match=r"\(n, 3, 4\)"):
        Projector(matrices=np.eye(4), image_size=(4, 4), size=(4, 4, 4), device=CPU)
    with pytest.raises(ModelError, match="impossible sizes"):
        make_projector(2, 0.0, (0, 4, 4), (5, 6))
    monkeypatch.setattr(projector, "_MOST_PIXELS", 100)
    with pytest.raises(ModelError, match=r"2 images of .* take larger voxels"):
        p.back(np.zeros((2, 6, 5)))
    with pytest.raises(UnsupportedError, match="there are cpu, cuda"):
        open_device("tpu")
