"""The model: what it computes, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.builders.tomograms import tomogram
from tomoset import Deformation, ModelError, Optics, Tomogram, TomogramSet, UnsupportedError
from tomoset import geometry as g


def test_depth_and_defocus_of_the_worked_example() -> None:
    """docs/conventions.md, 'Depth, defocus and the hand': hand -1, 2 Å, m = (11, 21, 9): 1.5443 px,
    -3.09 Å."""
    P = np.array(
        [
            [0.0818995684483, -0.996194703636, 0.0298090051144, 57.0739541084],
            [0.936116811872, 0.0871557003181, 0.340718655318, -11.1892109085],
            [-0.342020143326, 0, 0.939692620786, -2.04004203292],
            [0, 0, 0, 1],
        ]
    )
    t = tomogram(
        n_tilts=1, projections=g.from_one_based(P[None]), depth_origin=np.array([31.0, 23.0, 14.0]),
        defocus_u=[20000.0], defocus_v=[19000.0], pre_exposure=[0.0],
    )  # fmt: skip
    point = np.array([[11.0, 21.0, 9.0]]) - 1
    assert t.depth(point)[0, 0] == pytest.approx(1.5443, abs=5e-5)
    assert t.defocus(point)[0, 0] - (20000, 19000) == pytest.approx([-3.09, -3.09], abs=0.005)
    slope = replace(t, hand=1, defocus_slope=2.0)
    assert slope.defocus(point)[0, 0, 0] - 20000 == pytest.approx(6.18, abs=0.005)


def test_the_ctf_of_a_place_is_that_of_its_defocus_and_its_image() -> None:
    n = np.arange(5.0)
    t = tomogram(phase_shift=30 * n, ctf_scale=1 - 0.1 * n, b_factor=100 * n, defocus_angle=10 * n)
    points = np.array([[10.0, 40.0, 3.0]])
    ctf = t.ctf(4, float(t.depth(points)[4, 0]))
    assert (ctf.defocus_u, ctf.defocus_v) == pytest.approx(tuple(t.defocus(points)[4, 0]))
    assert (ctf.defocus_angle, ctf.phase_shift, ctf.b_factor) == (40, 120, 400)
    assert (ctf.scale, ctf.voltage, ctf.amplitude_contrast) == (0.6, 300, 0.1)
    bare = tomogram().ctf(2)
    assert (bare.defocus_angle, bare.phase_shift, bare.b_factor, bare.scale) == (0, 0, 0, 1)


def test_projecting_and_triangulating_with_a_deformation() -> None:
    bent = Deformation(
        kind="spline", grid=(3, 3), coefficients=np.random.default_rng(1).normal(0, 0.5, (5, 72))
    )
    t = tomogram(deformation=bent, image_size=(64, 48))
    points = np.random.default_rng(2).uniform(0, 30, (4, 3))
    straight = g.apply(t.projections, points)[..., :2]  # type: ignore[arg-type]
    moved = t.project(points) - straight
    np.testing.assert_allclose(moved, bent.displacement(straight, image_size=(64, 48)))
    np.testing.assert_allclose(t.triangulate(t.project(points)), points, atol=1e-6)
    with pytest.raises(ModelError, match="size of the tilt images"):
        replace(t, image_size=None).project(points)


def test_acquisition_order_and_select() -> None:
    t = tomogram()
    assert t.acquisition_order.tolist() == [2, 3, 1, 0, 4]
    some = t.select([3, 1])
    assert some.n_tilts == 2
    assert some.image_index is not None
    assert some.image_index.tolist() == [3, 1]
    assert some.select([1]).image_index.tolist() == [1]  # type: ignore[union-attr]
    np.testing.assert_array_equal(some.projections, t.projections[[3, 1]])  # type: ignore[index]


def test_arrays_cannot_be_changed_in_place() -> None:
    values = np.zeros(5)
    t = tomogram(pre_exposure=values)
    values[0] = 7  # the caller's own array is not the tomogram's
    assert t.pre_exposure is not None
    assert t.pre_exposure[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        t.pre_exposure[0] = 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"hand": 0}, r"hand must be \+1 or -1"),
        ({"hand": 2}, r"hand must be \+1 or -1"),
        ({"name": ""}, "needs a name"),
        ({"size": (0, 1, 1)}, r"size: expected from 1 to .* px, found 0"),
        ({"projections": np.zeros((4, 4, 4))}, r"shape \(5, 4, 4\)"),
        ({"defocus_u": np.zeros(4)}, r"defocus_u must have shape \(5,\)"),
        ({"projections": np.full((5, 4, 4), np.nan)}, "projections: expected a finite number"),
        ({"projections": np.zeros((5, 4, 4))}, "fourth row"),
        ({"deformation": Deformation(kind="linear", grid=(3, 3), coefficients=np.zeros((2, 3)))},
         "for 2"),
    ],
)  # fmt: skip
def test_impossible_tomograms_are_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        tomogram(**changes)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"pixel_size": 0.0}, "above 0"),
        ({"pixel_size": float("nan")}, "finite"),
        ({"pixel_size": -999.0}, "above 0"),
        ({"pixel_size": 1.0, "voltage": 0.0}, "voltage"),
        ({"pixel_size": 1.0, "amplitude_contrast": 1.5}, "fraction"),
    ],
)
def test_impossible_optics_are_refused(values: dict[str, float], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        Optics(**values)  # type: ignore[arg-type]


def test_what_is_not_known_is_said() -> None:
    bare = Tomogram(name="a", n_tilts=2, optics=Optics(pixel_size=1.0))
    for ask in (
        lambda: bare.project([[0, 0, 0]]),
        lambda: bare.acquisition_order,
        lambda: bare.defocus([[0, 0, 0]]),
        lambda: bare.ctf(0),
        lambda: bare.tilt_angles,
    ):
        with pytest.raises(ModelError, match="'a'"):
            ask()
    with pytest.raises(ModelError, match=r"shape \(n_points, 3\)"):
        tomogram().project([1, 2, 3])
    with pytest.raises(ModelError, match=r"shape \(5, n_points, 2\)"):
        tomogram().triangulate(np.zeros((4, 1, 2)))


def test_sets_are_mappings_by_name() -> None:
    names = ["001", "1e5", "nan", "None", "TS 1"]
    s = TomogramSet([tomogram(name=name) for name in names])
    assert list(s) == names
    assert s["001"].name == "001"
    with pytest.raises(KeyError, match="no tomogram is called 'x'"):
        s["x"]
    with pytest.raises(ModelError, match="two tomograms are called '001'"):
        TomogramSet([tomogram(name="001"), tomogram(name="001")])
    with pytest.raises(UnsupportedError, match="relion4"):
        s.write("x.star", format="emclarity")
    assert "5" in repr(s)
    assert "aligned" in repr(s["nan"])
