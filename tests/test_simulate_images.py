"""Simulated images against the model, the CTF of `tomoset.images` and sums written out by hand.

The simulator shares no geometry and no CTF with the rest of the package: here they meet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from tests.builders.simulated_series import true_tomogram
from tomoset import geometry
from tomoset import simulate as sim
from tomoset.errors import ModelError
from tomoset.images.ctf import Ctf, dose_weight
from tomoset.model import Deformation, Tomogram
from tomoset.simulate import _kernels, field, imaging

PX = 5.4


def acquisition(**changes: object) -> sim.Acquisition:
    nominal, rank = sim.dose_symmetric(5)
    given = {"image_size": (144, 132), "noise": 0.0, **changes}
    return sim.Acquisition(nominal=nominal, rank=rank, pixel_size=PX, **given)


def specimen_of(
    taken: sim.Acquisition, molecule: sim.Molecule, positions: np.ndarray, angles: np.ndarray
) -> sim.Specimen:
    """Molecules in nothing: no beads, no ice."""
    return sim.Specimen(
        size=(*taken.aligned_size, 60),
        beads=np.empty((0, 3)),
        slab=0.0,
        waves=np.empty((0, 5)),
        molecules=sim.Molecules(molecule=molecule, positions=positions, angles=angles),
    )


def one_point(width: float) -> sim.Molecule:
    return sim.Molecule(points=np.zeros((1, 3)), weights=np.array([30000.0]), width=width)


def contrasts(
    specimen: sim.Specimen, taken: sim.Acquisition, views: sim.Views
) -> Iterator[np.ndarray]:
    """What the images lack of 1, as Å of protein."""
    for passed in sim.transmitted(specimen, taken, views):
        yield (1 - passed.astype(np.float64)) * imaging.PROTEIN_PATH


def model_of(specimen: sim.Specimen, taken: sim.Acquisition, views: sim.Views) -> Tomogram:
    series = sim.SimulatedSeries(
        images=np.empty((0, 0, 0), np.int16),
        specimen=specimen,
        acquisition=taken,
        views=views,
        bead_images=np.empty((0, 0, 2)),
        molecule_images=np.empty((0, 0, 2)),
    )
    return true_tomogram("TS_01", series, views)


def test_the_kernel_is_as_the_slow_one() -> None:
    rng = np.random.default_rng(1)
    points, weights = rng.uniform(-5, 45, (500, 2)), rng.normal(size=500)
    points[:3] = [[3, 7], [20.5, 11], [8, 30.25]]
    slow, fast = np.zeros((38, 42), np.float32), np.zeros((38, 42), np.float32)
    field.spread_slowly(slow, points, weights)
    _kernels.spread(fast, points, weights, field.REACH, field.BETA)
    np.testing.assert_allclose(fast, slow, rtol=0, atol=2e-6)
    assert np.abs(slow).max() > 0.5


def test_the_transform_is_a_sum_over_points() -> None:
    rng = np.random.default_rng(2)
    made = field.Field((50, 41), 9)
    points, weights = rng.uniform(0, 40, (30, 2)), rng.normal(size=30)
    x, y = made.frequencies(1.0)
    far = points + made.first
    phase = x[..., None] * far[:, 0] + y[..., None] * far[:, 1]
    expected = np.exp(-2j * np.pi * phase) @ weights
    expected[made.size[1] // 2] = expected[:, -1] = 0
    found = made.transform(points, weights)
    error = np.abs(found - expected) / np.sqrt(30)
    assert error.max() < 2e-3
    assert np.sqrt(np.mean(error**2)) < 4e-4
    # Back in pixels: points on pixels are what was put there.
    whole = made.image(made.transform(np.array([[7.0, 9.0]]), np.array([2.0])))
    assert whole.shape == (41, 50)
    assert np.unravel_index(whole.argmax(), whole.shape) == (9, 7)
    assert whole.max() == pytest.approx(2.0, rel=0.05)  # less the finest wave


def directly(
    taken: sim.Acquisition, model: Tomogram, points: np.ndarray, weight: float, width: float, i: int
) -> np.ndarray:
    """One image as a sum over points, each with the CTF of its depth, on a field of its own."""
    margin = 60
    size = tuple(n + 2 * margin for n in taken.image_size)
    at = model.project(points)[i] + margin
    x = np.fft.rfftfreq(size[0])[None]
    y = np.fft.fftfreq(size[1])[:, None]
    total = np.zeros((size[1], size[0] // 2 + 1), complex)
    for (u, v), (px, py) in zip(model.defocus(points)[i], at, strict=True):
        ctf = Ctf(
            defocus_u=u,
            defocus_v=v,
            defocus_angle=float(model.defocus_angle[i]),
            voltage=model.optics.voltage,
            spherical_aberration=model.optics.spherical_aberration,
            amplitude_contrast=model.optics.amplitude_contrast,
        )
        total += weight * ctf.at(x / PX, y / PX) * np.exp(-2j * np.pi * (x * px + y * py))
    k = np.hypot(x, y) / PX
    damped = dose_weight(k, taken.pre_exposure[i] + taken.dose / 2)
    total *= damped * np.exp(-2 * (np.pi * width * k) ** 2)
    image = np.fft.irfft2(total, s=size[::-1]) / PX**2
    return image[margin:-margin, margin:-margin]


@pytest.mark.parametrize("hand", [-1, 1])
def test_images_are_sums_of_points_with_the_ctf_of_their_depth(hand: int) -> None:
    """Projection, defocus, hand, Euler angles and dose: as the model and `images.ctf` have them."""
    taken = acquisition(hand=hand)
    views = sim.Views.random(taken, 3)
    molecule = sim.Molecule(
        points=np.array([[0.0, 0, 0], [60, 10, -20], [-15, 70, 30]]),
        weights=np.full(3, 5000.0),
        width=8.0,
    )
    positions = np.array([[30.0, 60, 5], [66, 80, 30], [95, 100, 55], [50, 20, 45]])
    angles = np.array([[10.0, 20, 30], [-100, 80, 170], [0, 0, 0], [77, 120, -33]])
    specimen = specimen_of(taken, molecule, positions, angles)
    model = model_of(specimen, taken, views)
    rotated = geometry.euler_matrix(*angles.T) @ molecule.points.T / PX
    points = (positions[:, :, None] + rotated).swapaxes(1, 2).reshape(-1, 3)
    other, differences = replace(model, hand=-hand), []
    for i, image in enumerate(contrasts(specimen, taken, views)):
        expected = directly(taken, model, points, 5000.0, 8.0, i)
        error = np.linalg.norm(image - expected) / np.linalg.norm(expected)
        assert error < 1e-3
        wrong = directly(taken, other, points, 5000.0, 8.0, i)
        differences.append(np.linalg.norm(image - wrong) / np.linalg.norm(expected))
    assert np.mean(differences) > 0.005


def test_one_point_is_where_the_truth_says() -> None:
    """With bent images and a moving molecule: to a hundredth of a pixel."""
    taken = acquisition(ctf=False)
    bent = sim.random_deformation(5, taken.image_size, rms=2.0, seed=1)
    moved = sim.random_motion(np.ones((1, 3)), taken.progress, rms=30.0, seed=1)
    views = replace(sim.Views.random(taken, 3), deformation=bent, trajectories=moved)
    specimen = specimen_of(taken, one_point(8.0), np.array([[60.3, 77.7, 41.2]]), np.zeros((1, 3)))
    expected = sim.project(specimen, taken, views, sim.molecule_voxels(specimen, taken, views))[
        :, 0
    ]
    y, x = np.indices(taken.image_size[::-1])
    for image, at in zip(contrasts(specimen, taken, views), expected, strict=True):
        near = np.where(np.hypot(x - at[0], y - at[1]) < 12, image, 0)
        centre = np.array([(near * x).sum(), (near * y).sum()]) / near.sum()
        np.testing.assert_allclose(centre, at, rtol=0, atol=0.01)
        assert image.sum() * PX**2 == pytest.approx(30000.0, rel=1e-3)


def test_images_are_bent_as_the_model_bends_them() -> None:
    taken = acquisition()
    straight = sim.Views.random(taken, 3)
    bent = sim.random_deformation(5, taken.image_size, rms=2.5, seed=7)
    views = replace(straight, deformation=bent)
    specimen = sim.Specimen.random((132, 144, 60), PX, sim.Contents(beads=0), seed=1)
    voxels = np.random.default_rng(5).uniform(-20, 160, (300, 3))
    p = sim.project(specimen, taken, straight, voxels)
    field_of = Deformation(kind="spline", grid=(3, 3), coefficients=bent)
    expected = p + field_of.displacement(p, image_size=taken.image_size)
    found = sim.project(specimen, taken, views, voxels)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    model = model_of(specimen, taken, views)
    np.testing.assert_allclose(model.project(voxels), expected, rtol=0, atol=1e-6)
    inside = np.stack(np.meshgrid(*(np.linspace(0, n - 1, 40) for n in taken.image_size)), -1)
    moved = field_of.displacement(
        np.broadcast_to(inside.reshape(1, -1, 2), (5, 1600, 2)), image_size=taken.image_size
    )
    assert np.sqrt(np.square(moved).sum(-1).mean()) == pytest.approx(2.5, rel=0.03)


def test_motion_starts_with_nothing_and_neighbours_go_together() -> None:
    _, rank = sim.dose_symmetric(11)
    progress = rank / 10
    rng = np.random.default_rng(3)
    positions = rng.uniform(0, 6000, (200, 3))
    positions[1] = positions[0] + 50
    trajectories = sim.random_motion(positions, progress, rms=12.0, seed=4)
    assert trajectories.shape == (200, 11, 3)
    assert not trajectories[:, rank == 0].any()
    assert np.sqrt(np.square(trajectories[:, rank == 10]).sum(-1).mean()) == pytest.approx(12.0)
    in_time = trajectories[:, np.argsort(rank)]
    assert np.linalg.norm(np.diff(in_time, axis=1), axis=-1).max() < 12.0
    apart = np.linalg.norm(trajectories[:, rank == 10] - trajectories[:1, rank == 10], axis=-1)[
        :, 0
    ]
    assert apart[1] < 1.5
    assert np.median(apart) > 8


def test_brownian_motion_has_the_covariance_that_it_says():
    dose = np.array([6.0, 0.0, 3.0, 12.0])
    at = np.array([[0.0, 0, 0], [0, 3000, 0]])
    trajectories = np.stack(
        [sim.random_brownian(at, dose, velocity=0.5, seed=s) for s in range(3000)]
    )
    assert not trajectories[:, :, 1].any()
    steps = np.stack(
        [
            trajectories[:, :, 2],
            trajectories[:, :, 0] - trajectories[:, :, 2],
            trajectories[:, :, 3] - trajectories[:, :, 0],
        ]
    )
    spread = np.square(steps).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(spread, [1.5**2, 1.5**2, 3**2], rtol=0.05)
    alike = (steps[:, :, 0] * steps[:, :, 1]).mean(axis=(1, 2)) / spread
    np.testing.assert_allclose(alike, np.exp(-1), atol=0.05)
    assert abs((steps[0] * steps[1]).mean()) < 0.1


def test_errors_are_as_large_as_asked() -> None:
    nominal, rank = sim.dose_symmetric(2001)
    taken = sim.Acquisition(nominal=nominal, rank=rank)
    true = sim.Views.random(taken, 1)
    errors = sim.AlignmentErrors(
        shift=2.0, rotation=0.5, tilt=0.3, magnification=0.01, tilt_offset=3.0
    )
    wrong = sim.misaligned(true, errors, 5)
    for difference, rms in (
        (wrong.tilts - true.tilts - 3.0, 0.3),
        (wrong.axes - true.axes, 0.5),
        (true.magnification / wrong.magnification - 1, 0.01),
        ((wrong.xf - true.xf)[:, 0, 2], 2.0),
        ((wrong.xf - true.xf)[:, 1, 2], 2.0),
    ):
        assert difference.std() == pytest.approx(rms, rel=0.06)
        assert abs(difference.mean()) < 0.1 * rms
    np.testing.assert_array_equal(wrong.defocus_u, true.defocus_u)
    same = sim.misaligned(true, sim.AlignmentErrors(), 5)
    np.testing.assert_array_equal(same.xf, true.xf)


def test_dose_damps_protein_but_not_gold() -> None:
    """The same image, early and late: fine structure of protein goes, beads stay."""
    for matter in ("gold", "protein"):
        seen = []
        for rank in ([0, 1], [1, 0]):
            taken = sim.Acquisition(
                nominal=np.zeros(2), rank=np.array(rank), image_size=(96, 96), pixel_size=PX,
                dose=60.0, noise=0.0,
            )  # fmt: skip
            views = replace(sim.Views.random(taken, 1), xf=np.tile(np.eye(2, 3), (2, 1, 1)))
            views = replace(views, tilts=np.zeros(2))
            specimen = specimen_of(taken, one_point(4.0), np.full((1, 3), 48.0), np.zeros((1, 3)))
            if matter == "gold":
                specimen = replace(specimen, molecules=None, beads=np.full((1, 3), 48.0))
            seen.append(next(iter(sim.transmitted(specimen, taken, views))))
        first, second = (np.abs(np.fft.rfft2(1 - image)) for image in seen)
        if matter == "gold":
            np.testing.assert_array_equal(first, second)
            continue
        k = np.hypot(np.fft.rfftfreq(96)[None], np.fft.fftfreq(96)[:, None]) / PX
        strong = first > 0.05 * first.max()
        expected = dose_weight(k, 60.0)[strong]
        np.testing.assert_allclose((second / first)[strong], expected, rtol=0.02)


def test_density_is_where_things_are() -> None:
    specimen = specimen_of(
        acquisition(),
        one_point(8.0),
        np.array([[30.4, 40.6, 20.3], [90.2, 77.1, 41.0]]),
        np.zeros((2, 3)),
    )
    fine, coarse = sim.density(specimen, PX), sim.density(specimen, PX, 3)
    assert fine.shape == (60, 144, 132)
    assert coarse.shape == (20, 48, 44)
    assert fine.sum() * PX**3 == pytest.approx(2 * 30000.0, rel=1e-3)
    cubes = fine[2:-1, 2:-1, 2:-1].reshape(19, 3, 47, 3, 43, 3).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(coarse[1:, 1:, 1:], cubes, rtol=0, atol=1e-5)
    z, y, x = np.indices(fine.shape)
    near = np.where(x < 60, fine, 0)
    centre = [(near * axis).sum() / near.sum() for axis in (x, y, z)]
    np.testing.assert_allclose(centre, [30.4, 40.6, 20.3], atol=2e-3)


def test_gold_beads_have_their_density() -> None:
    specimen = sim.Specimen(
        size=(60, 50, 40), beads=np.array([[29.5, 25, 18]]), slab=0.0, waves=np.empty((0, 5))
    )
    whole = 4 / 3 * np.pi * 50**3 * imaging.PROTEIN_PATH / imaging.GOLD_PATH
    for binning in (1, 2, 5):
        made = sim.density(specimen, PX, binning)
        assert made.sum() * (binning * PX) ** 3 == pytest.approx(whole, rel=0.03)
        z, y, x = np.indices(made.shape) * binning
        centre = [(made * axis).sum() / made.sum() for axis in (x, y, z)]
        np.testing.assert_allclose(centre, [29.5, 25, 18], atol=0.05)


def test_contents_of_a_specimen_do_not_overlap() -> None:
    contents = sim.Contents(beads=10, vesicles=3, molecules=20, bead_radius=40.0)
    specimen = sim.Specimen.random((420, 400, 160), PX, contents, seed=1)
    molecules, vesicles = specimen.molecules, specimen.vesicles
    assert molecules is not None
    assert vesicles is not None
    centres = np.concatenate([specimen.beads, vesicles.centres, molecules.positions]) * PX
    radii = np.concatenate([[40.0] * 10, vesicles.radii + 20, [molecules.molecule.radius] * 20])
    apart = np.linalg.norm(centres[:, None] - centres, axis=-1) - radii[:, None] - radii
    np.fill_diagonal(apart, np.inf)
    assert apart.min() > 0
    depth = specimen.from_axis(molecules.positions)[:, 1] * PX
    assert (np.abs(depth) + molecules.molecule.radius <= specimen.slab / 2).all()
    assert np.ptp(depth) > 0.6 * (specimen.slab - 2 * molecules.molecule.radius)


def test_a_leaflet_is_a_smooth_shell() -> None:
    made = sim.Vesicles(centres=np.array([[30.0, 30, 30]]), radii=np.array([90.0]))
    specimen = sim.Specimen(
        size=(60, 60, 60), beads=np.empty((0, 3)), slab=0.0, waves=np.empty((0, 5)), vesicles=made
    )
    volume = sim.density(specimen, PX)
    radius = np.linalg.norm(np.indices(volume.shape) - 30.0, axis=0) * PX
    for leaflet in (70.0, 110.0):
        on = volume[np.abs(radius - leaflet) < 1]
        assert on.std() < 0.05 * on.mean()
    assert volume[np.abs(radius - 90) < 2].mean() < 0.3 * volume[np.abs(radius - 70) < 2].mean()
    area = 4 * np.pi * (70.0**2 + 110.0**2)
    assert volume.sum() * PX**3 == pytest.approx(8.0 * area, rel=0.01)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Of two clouds, at a resolution of some 40 Å."""
    squared = np.square(one[:, None] - other).sum(axis=-1)
    return float(np.exp(-squared / 400).sum())


def test_our_molecule_is_neither_symmetric_nor_its_own_mirror_image() -> None:
    molecule = sim.Molecule.made()
    assert 120 < np.ptp(molecule.points, axis=0).max() < 200
    at = molecule.points[::4]
    angles = np.random.default_rng(1).uniform([-180, 0, -180], [180, 180, 180], (600, 3))
    turns = geometry.euler_matrix(*angles.T)
    far = turns[np.trace(turns, axis1=1, axis2=2) < 2]  # by more than 60 degrees
    whole = overlap(at, at)
    assert max(overlap(at, at @ turn) for turn in far) < 0.85 * whole
    assert max(overlap(at, at * [1, 1, -1] @ turn) for turn in turns) < 0.85 * whole


def test_a_map_becomes_the_same_density() -> None:
    molecule = sim.Molecule.made()
    fine = sim.molecule_map(molecule, 2.5)
    again = sim.Molecule.from_map(fine, 2.5, pixel_size=PX)
    assert again.weights.sum() == pytest.approx(
        (fine > fine.mean() + 2 * fine.std()).sum() * 2.5**3
    )
    one, other = (sim.molecule_map(m, 8.0) for m in (molecule, again))
    side = min(len(one), len(other))
    one, other = (v[(slice((len(v) - side) // 2, (len(v) + side) // 2),) * 3] for v in (one, other))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.95
    flipped = np.corrcoef(one.ravel(), other[:, :, ::-1].ravel())[0, 1]
    assert flipped < 0.8


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (sim.Contents(beads=0, molecules=500), "room for [0-9]+ molecules, not for 500"),
        (sim.Contents(beads=0, vesicles=50), "room for [0-9]+ vesicles, not for 50"),
    ],
)
def test_a_specimen_too_small_for_its_contents_is_refused(
    contents: sim.Contents, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        sim.Specimen.random((120, 110, 80), PX, contents, seed=1)
    with pytest.raises(ModelError, match="has no room for vesicles"):
        sim.Specimen.random((120, 110, 10), PX, sim.Contents(vesicles=1), seed=1)


def test_empty_maps_are_refused() -> None:
    with pytest.raises(ModelError, match="nothing stands out"):
        sim.Molecule.from_map(np.zeros((8, 8, 8)), 2.0, pixel_size=2.0)
    with pytest.raises(ModelError, match="three axes"):
        sim.Molecule.from_map(np.zeros((8, 8)), 2.0, pixel_size=2.0)
