"""Where an alignment by images begins, and how a specimen is laid flat after it."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

import tomoset
from tests.builders.image_fits import image_fit
from tests.builders.tomograms import rigid_tomogram
from tomoset import geometry
from tomoset.align.images.level import inclination, levelled
from tomoset.align.images.result import UNKNOWN, ImageOptions
from tomoset.align.images.start_projections import along, known_axis, started
from tomoset.cli import main
from tomoset.errors import AssumptionWarning, ModelError
from tomoset.model import Optics, Tomogram

TILTS = np.linspace(-40.0, 40.0, 5)
IMAGE = (64, 48)


def nominal(**changes: object) -> Tomogram:
    """Images with angles, and no alignment."""
    fields = {"nominal_tilts": TILTS, "size": (64, 48, 30), "optics": Optics(pixel_size=2.0)}
    return Tomogram(name="a", n_tilts=5, **{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("axis", [0.0, 84.0, -7.5, 175.0])
def test_nominal_tilts_are_those_that_aligned_images_are_imported_with(
    here: object, capsys: pytest.CaptureFixture[str], axis: float
) -> None:
    """The same directions as `import images --aligned`, which goes through IMOD's own formula."""
    command = ["import", "images", "a.mrc", "-o", "out.star", "--angles", "-40:40:20"]
    options = ["--aligned", "--axis", str(axis), "--thick", "30", "--angpix", "2"]
    assert main([*command, *options]) == 0
    imported = tomoset.read("out.star")["a"]
    start = started(nominal(size=imported.size), (65, 47), ImageOptions(axis=axis))
    of_import, of_start = (t.need_projections()[:, :3, :3] for t in (imported, start))
    np.testing.assert_allclose(of_start, of_import, atol=1e-6)
    np.testing.assert_allclose(start.tilt_angles, TILTS)
    # The middle of the tomogram lies in that of the images, but for how formats round it.
    middle = (np.array(start.need_size()) - 1) / 2
    assert np.abs(start.project(middle[None])[:, 0] - np.array([32, 23])).max() <= 1.0


def test_the_axis_is_what_is_given_or_what_the_set_says() -> None:
    t = nominal(nominal_axis=np.full(5, 84.0))
    assert known_axis(t) == pytest.approx(84.0)
    assert known_axis(nominal()) is None
    assert known_axis(nominal(nominal_axis=np.full(5, np.nan))) is None
    for options, axis in ((ImageOptions(), 84.0), (ImageOptions(axis=20.0), 20.0)):
        np.testing.assert_allclose(started(t, IMAGE, options).tilt_axis_angles, axis)
    of_set = started(t, IMAGE, ImageOptions(axis=UNKNOWN))
    np.testing.assert_allclose(of_set.tilt_axis_angles, 84.0)
    np.testing.assert_allclose(
        started(nominal(), IMAGE, ImageOptions(axis=UNKNOWN)).tilt_axis_angles, 0.0
    )


def test_an_alignment_is_begun_from_and_its_axis_replaced_if_one_is_given() -> None:
    t = rigid_tomogram()
    shifted = t.need_projections().copy()
    shifted[:, :2, 3] += np.random.default_rng(1).uniform(-5, 5, (5, 2))
    t = replace(t, projections=shifted)
    np.testing.assert_array_equal(
        started(t, (65, 47), ImageOptions()).need_projections(), t.need_projections()
    )
    with pytest.warns(AssumptionWarning, match="particles of before do not fit"):
        other = started(t, (65, 47), ImageOptions(axis=-60.0))
    np.testing.assert_allclose(other.tilt_axis_angles, -60.0)
    np.testing.assert_allclose(other.tilt_angles, t.tilt_angles)
    # As RELION's angles and shifts say it: with another z_rot, and nothing else.
    sizes = {"size": t.need_size(), "image_size": t.need_image_size()}
    angles, shifts = geometry.rigid_parameters(t.need_projections(), **sizes)
    angles[:, 2] = -60.0
    expected = geometry.rigid_projections(angles, shifts, **sizes)
    np.testing.assert_allclose(other.need_projections(), expected, atol=1e-9)
    assert along(other, -60.0) is other.need_projections()


def test_a_size_that_is_not_known_is_guessed_and_said() -> None:
    cases = {
        0.0: (64, 48, 1500),
        85.0: (48, 64, 1500),
        UNKNOWN: (64, 64, 1500),
    }
    for axis, size in cases.items():
        with pytest.warns(AssumptionWarning, match="'a': its size is not known, and taken to be"):
            t = started(nominal(size=None), IMAGE, ImageOptions(axis=axis))
        assert t.size == size
    with pytest.warns(AssumptionWarning):
        assert started(nominal(size=None), IMAGE, ImageOptions(thickness=1000)).size[2] == 800  # type: ignore[index]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert started(nominal(), IMAGE, ImageOptions()).size == (64, 48, 30)


@pytest.mark.parametrize(
    ("tomogram", "says"),
    [
        (nominal(nominal_tilts=None), "has no nominal tilts for every image"),
        (nominal(nominal_tilts=[0, 1, np.nan, 2, 3]), "has no nominal tilts for every image"),
        (nominal(nominal_tilts=np.full(5, 3.0)), "all tilt angles are 3 degrees"),
        (nominal(optics=Optics(pixel_size=None)), "does not say the pixel size"),
        (rigid_tomogram().select([0]), "has 1 tilt images"),
    ],
)
def test_what_cannot_be_begun_is_refused(tomogram: Tomogram, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        started(tomogram, tomogram.image_size or IMAGE, ImageOptions())


@pytest.mark.parametrize("plane", [(20.0, 0.1, -0.05), (3.0, -0.3, 0.2), (15.0, 0.0, 0.0)])
def test_a_plane_lies_flat_in_the_middle_after_its_motion(plane: tuple[float, ...]) -> None:
    t = rigid_tomogram()
    middle = (np.array(t.need_size()) - 1) / 2
    fit = image_fit(t, plane=np.array(plane), inclination_error=(0.01, 0.01))
    motion = levelled(fit, middle)
    if plane == (15.0, 0.0, 0.0):
        assert motion is None
        return
    assert motion is not None
    at = np.random.default_rng(1).uniform(0, 60, (20, 2))
    points = np.column_stack([at, plane[0] + at @ plane[1:]])
    np.testing.assert_allclose(geometry.apply(motion, points)[:, 2], middle[2], atol=1e-9)
    np.testing.assert_allclose(motion[:3, :3] @ motion[:3, :3].T, np.eye(3), atol=1e-12)
    angle, error = inclination(fit)
    assert np.cos(np.deg2rad(angle)) == pytest.approx(motion[2, 2])
    assert error == pytest.approx(0.01 * np.sqrt(2))


def test_an_inclination_that_is_not_known_is_left_and_the_specimen_centred() -> None:
    t = rigid_tomogram()
    middle = (np.array(t.need_size()) - 1) / 2
    motion = levelled(
        image_fit(t, plane=np.array([20.0, 0.01, 0.0]), inclination_error=(0.5, 0.5)), middle
    )
    assert motion is not None
    np.testing.assert_array_equal(motion[:3, :3], np.eye(3))
    assert motion[2, 3] == pytest.approx(middle[2] - (20.0 + 0.01 * middle[0]))
