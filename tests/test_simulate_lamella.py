"""Simulated lamellae: what breaks the assumptions of an alignment is where the truth says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

import tomoset
from tomoset import simulate as sim
from tomoset.cli import main
from tomoset.errors import ModelError
from tomoset.simulate import crowd, field, imaging, surfaces, transfer
from tomoset.simulate.ice import ice, ice_of
from tomoset.simulate.membranes import Membranes
from tomoset.simulate.preset import lamella
from tomoset.simulate.signal import working_binning

PX = 20.0
SMALL: dict[str, Any] = {
    **{"n_series": 1, "tilts": 9, "size": (96, 90, 60), "pixel_size": PX},
    "format": "relion4",
}


def acquisition(**changes: Any) -> sim.Acquisition:
    nominal, rank = sim.dose_symmetric(5, 50)
    given = {"image_size": (96, 90), "noise": 0.0, "pixel_size": PX, **changes}
    return sim.Acquisition(nominal=nominal, rank=rank, **given)


def specimen_of(taken: sim.Acquisition, **changes: Any) -> sim.Specimen:
    """A slab with this in it, turned about both axes, and nothing else."""
    contents = sim.Contents(
        beads=0,
        thickness=600.0,
        pretilt=8.0,
        x_tilt=5.0,
        lamella=sim.LamellaContents(**changes),
    )
    return sim.Specimen.random((*taken.aligned_size, 60), taken.pixel_size, contents, seed=1)


def one_point(specimen: sim.Specimen, at: tuple[float, float, float]) -> sim.Specimen:
    """The only matter is at this place of the slab [Å]."""
    only = sim.Lamella(
        points=np.array([at]),
        weights=np.array([1e7]),
        width=40.0,
        membranes=Membranes.random(np.random.default_rng(1), 0, np.ones(3)),
    )
    return replace(specimen, lamella=only, slab=0.0, waves=np.empty((0, 5)))


def domed(taken: sim.Acquisition, rms: float = 60.0) -> sim.Views:
    views = sim.Views.random(taken, 3)
    doming = sim.Doming.random(taken.aligned_size, taken.pre_exposure, rms=rms, seed=4)
    return replace(views, doming=doming)


def test_very_many_points_are_spread_as_few_are() -> None:
    taken = acquisition()
    views, rng = sim.Views.random(taken, 3), np.random.default_rng(1)
    made = field.Field(taken.image_size, 20)
    points, depth = rng.uniform(-60, 160, (4000, 2)), rng.uniform(-60, 80, 4000)
    weights = rng.uniform(0, 1, 4000)
    optics = transfer.Transfer(taken, views, 2)
    assert 5 < len(optics.planes(depth * 8)) < 64
    for spread in (1.0, 8.0):  # few planes, and more than are taken at once
        few, many = (
            made.image(transfer.imaged(made, points, depth * spread, weights, optics, way))
            for way in (transfer.one_by_one, transfer.at_once)
        )
        assert np.abs(many - few).max() < 2e-3 * np.abs(few).std()


def test_matter_of_a_lamella_is_where_the_truth_says() -> None:
    """Turned about both axes, and domed: to a hundredth of a pixel."""
    taken = acquisition(ctf=False)
    views = domed(taken)
    specimen = one_point(specimen_of(taken, crowd=1), (300.0, 250.0, -200.0))
    # First about x, then about the axis, by hand; z runs against depth.
    x, depth, y = 300.0, 250.0, -200.0
    a, b = np.deg2rad(5.0), np.deg2rad(8.0)
    depth, y = np.cos(a) * depth - np.sin(a) * y, np.sin(a) * depth + np.cos(a) * y
    x, depth = np.cos(b) * x - np.sin(b) * depth, np.sin(b) * x + np.cos(b) * depth
    width, height = taken.aligned_size
    at = [x / PX + (width - 1) / 2, y / PX + (height - 1) / 2, 28 - depth / PX]
    voxels = specimen.lamella_voxels(PX)
    np.testing.assert_allclose(voxels, [at], atol=1e-9)
    moved = sim.moving(specimen, taken, views, voxels)
    assert np.linalg.norm(moved - voxels, axis=-1).max() * PX > 20
    expected = sim.project(specimen, taken, views, moved)[:, 0]
    rows, columns = np.indices(taken.image_size[::-1])
    for image, seen in zip(sim.transmitted(specimen, taken, views), expected, strict=True):
        dark = np.where(np.hypot(columns - seen[0], rows - seen[1]) < 14, 1 - image, 0)
        centre = [(dark * axis).sum() / dark.sum() for axis in (columns, rows)]
        np.testing.assert_allclose(centre, seen, rtol=0, atol=0.01)


def test_doming_fades_and_moves_no_image_as_a_whole() -> None:
    taken = replace(acquisition(), rank=np.array([4, 2, 0, 1, 3]), dose=15.0)
    doming = domed(taken, rms=20.0).doming
    assert doming is not None
    steps = [((np.arange(40) + 0.5) / 40 - 0.5) * n for n in taken.aligned_size]
    grid = np.stack(np.meshgrid(*steps), -1)
    moved = np.stack([doming.displacement(i, grid.reshape(-1, 2)) for i in range(5)])
    assert np.abs(moved.mean(axis=1)).max() < 0.1
    rms = np.sqrt(np.square(moved).sum(axis=2).mean(axis=1))
    assert rms[2] == pytest.approx(20.0, rel=0.05)
    assert rms[3] == pytest.approx(20.0 * np.exp(-1.5), abs=3)
    assert 1 < rms[[0, 1, 4]].min() < rms[[0, 1, 4]].max() < 4
    assert np.sqrt(np.square(moved[2, :, 1]).mean()) > 10  # most of it is up and down


def test_ice_and_streaks_of_a_turned_slab_are_summed_along_beams() -> None:
    """Step by step through the slab, with what its surfaces have more or less."""
    taken = acquisition()
    specimen = specimen_of(taken, curtains=80.0)
    views = sim.Views.random(taken, 2)
    assert specimen.lamella is not None
    thickness = specimen.slab / PX
    for i, tilt in enumerate(views.tilts):
        drawn = ice(specimen, taken, tilt, views.xf[i])
        sin, cos = np.sin(np.deg2rad(tilt)), np.cos(np.deg2rad(tilt))
        for x, y in [(10, 15), (70, 60)]:
            p = np.array([x, y]) - (np.array(taken.image_size) - 1) / 2
            across, up = views.xf[i][:, :2] @ p + views.xf[i][:, 2]
            along = np.linspace(-120, 120, 240_001)
            beam = [cos * across + sin * along, cos * along - sin * across]
            inside = specimen.orientation.T @ np.stack([*beam, np.full_like(along, up)])
            phase = specimen.waves[:, :3] @ inside[:, ::40] + specimen.waves[:, 4:]
            density = 1 + specimen.waves[:, 3] @ np.cos(phase)
            there = np.abs(inside[1, ::40]) < thickness / 2
            path = density[there].sum() * 240 / 6000
            for streaks in specimen.lamella.streaks:
                meets = inside[:, np.argmin(np.abs(inside[1] - streaks.depth / PX))] * PX
                height = streaks.height(meets[0], meets[2])
                path += height / PX / (specimen.orientation.T @ [sin, cos, 0])[1]
            assert drawn[y, x] == pytest.approx(path, abs=0.05)


def test_ice_domes_with_the_slab() -> None:
    taken = acquisition()
    specimen, views = specimen_of(taken, curtains=80.0), domed(acquisition())
    from scipy.ndimage import map_coordinates

    middle = np.random.default_rng(1).uniform(-300, 300, (20, 3)) / PX * [1, 0, 1]
    voxels = specimen.voxels(middle @ specimen.orientation.T)
    still = sim.project(specimen, taken, views, voxels)
    moved = sim.project(specimen, taken, views, sim.moving(specimen, taken, views, voxels))
    differences = []
    for i in range(5):
        before = ice(specimen, taken, views.tilts[i], views.xf[i])
        after = ice_of(specimen, taken, views, i)
        expected, found, wrong = (
            map_coordinates(image, at[i].T[::-1], order=1)
            for image, at in ((before, still), (after, moved), (before, moved))
        )
        assert np.abs(found - expected).mean() < 0.04 * before.std()
        differences.append(np.abs(wrong - expected).mean() / before.std())
    assert max(differences) > 0.15


def test_streaks_are_as_high_as_asked_and_run_across_the_axis() -> None:
    streaks = surfaces.Streaks.random(np.random.default_rng(1), 300.0, 4000.0, 50.0)
    y = np.linspace(-3000, 3000, 2001)
    heights = streaks.height(np.zeros_like(y), y)
    assert heights.std() == pytest.approx(50.0, rel=0.5)
    along = streaks.across[::-1] * [1, -1] * np.linspace(-1000, 1000, 50)[:, None]
    np.testing.assert_allclose(streaks.height(*along.T), streaks.height(0.0, 0.0), atol=1e-6)
    assert abs(streaks.across[1]) > 0.98


def test_dirt_is_as_thick_as_asked_and_lies_on_the_surfaces() -> None:
    half = np.array([3000.0, 500.0, 3000.0])
    points, weights = surfaces.dirt(np.random.default_rng(1), half, 15.0, 5.0)
    assert np.abs(np.abs(points[:, 1]) - 500.0).max() < 2 * 110
    edges = np.linspace(-3000, 3000, 601)
    mass = np.histogram2d(points[:, 0], points[:, 2], bins=(edges, edges), weights=weights)[0]
    thickness = mass / 100 / 1.8  # of ice, on squares of 10 Å
    assert thickness.std() == pytest.approx(15.0, rel=0.2)


def test_a_crowd_is_packed_in_its_layers_and_nothing_overlaps() -> None:
    rng = np.random.default_rng(1)
    box = crowd.Box(half=np.array([2000.0, 700.0, 2000.0]), layers=2)
    centre, radius = np.array([100.0, 0.0, -50.0]), 600.0
    radii = rng.choice([30.0, 50.0, 110.0], 2000, p=[0.6, 0.3, 0.1])

    def reject(at: np.ndarray, radii: np.ndarray) -> np.ndarray:
        return np.linalg.norm(at - centre, axis=1) < radius + radii

    at = crowd._packed(rng, radii, box, reject)
    apart = np.linalg.norm(at[:, None] - at, axis=2) - 0.85 * (radii[:, None] + radii)
    np.fill_diagonal(apart, np.inf)
    assert apart.min() > 0
    assert not reject(at, radii).any()
    assert (np.abs(at[:, 1]) + radii <= 700.0 + 1e-9).all()
    assert (np.abs(np.abs(at[:, 1]) - 350) < 200).mean() > 0.75  # most in two layers
    small = crowd.Box(half=np.array([300.0, 300.0, 300.0]))
    with pytest.raises(ModelError, match=r"have no room.*--crowd"):
        crowd.crowd(rng, 3000, small, 20.0, lambda at, _: np.zeros(len(at), bool))


def test_membranes_are_two_leaflets_within_the_slab() -> None:
    half = np.array([2000.0, 600.0, 2000.0])
    made = Membranes.random(np.random.default_rng(2), 6, half)
    lean = np.rad2deg(np.arccos(made.frames[:, 2, 1]))
    assert (lean[::2] < 8.001).all()
    assert (lean[1::2] > 44.9).all()
    np.testing.assert_allclose(
        made.frames @ made.frames.swapaxes(1, 2), np.tile(np.eye(3), (6, 1, 1)), atol=1e-12
    )
    points, weights = made.cloud(12.0, 600.0)
    assert np.abs(points[:, 1]).max() < 600
    assert (weights == 8.0 * 144).all()
    off = np.abs(np.einsum("npi,ni->np", points - made.centres[:, None], made.frames[:, 2]))
    assert np.abs(off - 20.0).min(axis=0).max() < 1e-6
    assert made.hit(points[::50], np.full(len(points[::50]), 5.0)).all()
    assert not made.hit(made.centres + 200 * made.frames[:, 2], np.full(6, 5.0))[::2].all()


def test_what_is_fixed_in_the_camera_does_not_move() -> None:
    camera = sim.Camera.random((96, 90), pattern=0.02, beam_edge=0.1, seed=1)
    taken = acquisition(camera=camera)
    specimen = one_point(specimen_of(taken, crowd=1), (0.0, 0.0, 0.0))
    empty = replace(specimen, lamella=None)
    images = sim.simulate(empty, taken, sim.Views.random(taken, 1), seed=1).images
    expected = imaging.FULL_COUNTS * camera.gain * camera.lit
    assert np.abs(images - expected).max() <= 0.51
    assert camera.gain.std() == pytest.approx(0.02)
    assert (camera.lit < 0.5).mean() == pytest.approx(0.1, abs=0.01)
    # Noise is that of the electrons that arrive, seen through the same gain.
    noisy = sim.simulate(empty, replace(taken, noise=1.0), sim.Views.random(taken, 1), seed=1)
    off = (noisy.images - expected) / np.sqrt(camera.lit) / camera.gain / imaging.FULL_COUNTS
    assert off.std() == pytest.approx(1 / np.sqrt(taken.dose * PX**2), rel=0.05)


def test_stage_and_focus_are_off_as_asked() -> None:
    nominal, rank = sim.dose_symmetric(201)
    taken = sim.Acquisition(nominal=nominal, rank=rank, pixel_size=10.0)
    views = sim.Views.random(taken, 1)
    off = sim.handled(views, taken, sim.Handling(field_motion=300.0, defocus_jitter=0.3), 1)
    moved = (off.xf - views.xf)[:, :, 2]
    np.testing.assert_allclose(moved.std(axis=0), 30.0, rtol=0.01)
    in_time = moved[np.argsort(rank)]
    assert np.corrcoef(in_time[:-1, 0], in_time[1:, 0])[0, 1] > 0.3  # it drifts
    focus = off.defocus_u - views.defocus_u
    assert 2900 < np.abs(focus).max() <= 3000
    np.testing.assert_allclose(off.defocus_v - views.defocus_v, focus, atol=1e-5)
    assert sim.handled(views, taken, sim.Handling(), 1) is views


def test_some_starts_are_far_off() -> None:
    nominal, rank = sim.dose_symmetric(101)
    true = sim.Views.random(sim.Acquisition(nominal=nominal, rank=rank), 1)
    errors = sim.AlignmentErrors(shift=1.0, outliers=0.2, farthest=50.0)
    off = np.linalg.norm((sim.misaligned(true, errors, 1).xf - true.xf)[:, :, 2], axis=1)
    usual = sim.misaligned(true, replace(errors, outliers=0.0), 1).xf
    changed = np.linalg.norm((sim.misaligned(true, errors, 1).xf - usual)[:, :, 2], axis=1)
    assert np.count_nonzero(changed) == 20
    assert 4.99 < changed[changed > 0].min() < changed.max() < 50.01
    assert np.median(off) == pytest.approx(1.18, abs=0.4)


def binned(images: np.ndarray, times: int) -> np.ndarray:
    """Fourier-binned, and without waves of more than 50 pixels."""
    height, width = images.shape[1:]
    spectrum = np.fft.fft2(images - images.mean(axis=(1, 2), keepdims=True))
    ky, kx = np.fft.fftfreq(height)[:, None] * times, np.fft.fftfreq(width) * times
    length = np.hypot(kx, ky)
    kept = spectrum * ((length > 0.02) & (length < 0.5))
    return np.fft.ifft2(kept).real


@pytest.mark.parametrize("pixel_size", [5.0, 10.0])
def test_noise_gives_the_ratio_that_is_asked(tmp_path: Path, pixel_size: float) -> None:
    """Signal and noise are told apart by a series without noise."""
    made = dict(SMALL, pixel_size=pixel_size, size=(160, 150, 100), crowd=60, beads=0, defocus=4.0)
    assert working_binning(pixel_size) == 10 / pixel_size
    for name, more in (("clean", {"noise": 0.0}), ("noisy", {"snr": 0.1})):
        tomoset.simulate_project(tmp_path / name, **{**made, **more})
    stacks = [
        mrcfile.read(tmp_path / n / "TS_01/TS_01.mrc").astype(float) for n in ("clean", "noisy")
    ]
    clean, noise = (binned(s, round(10 / pixel_size)) for s in (stacks[0], stacks[1] - stacks[0]))
    inside = np.s_[:, 30:-30, 30:-30]
    assert clean[inside].var() / noise[inside].var() == pytest.approx(0.1, rel=0.25)
    truth = json.loads((tmp_path / "noisy/truth/TS_01.json").read_text())
    assert truth["snr"] == pytest.approx(0.1, abs=1e-4)
    assert truth["working_pixel_size"] == 10.0
    across, along = truth["shift_bound_px"]
    assert 0.02 < along < across < 1
    silent = json.loads((tmp_path / "clean/truth/TS_01.json").read_text())
    assert silent["snr"] is silent["shift_bound_px"] is None


def test_a_lamella_is_as_usual_where_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--series", "1", "--tilts", "9", "--size", "96", "90", "60", "--format", "relion4"]
    assert main(["simulate", str(tmp_path / "p"), "--lamella", *given, "--doming", "30"]) == 0
    said = capsys.readouterr().out
    assert "signal to noise 0.1 at 10 Å/px; shifts can be known to" in said
    truth = json.loads((tmp_path / "p/truth/TS_01.json").read_text())
    wanted = lamella(tilts=9, size=(96, 90, 60), doming=30.0)
    assert (wanted.pixel_size, wanted.thickness, wanted.pretilt) == (10.0, 420.0, 9.0)
    assert truth["nominal_tilts"][4] == -9.0
    assert truth["nominal_tilts"][8] == pytest.approx(45.0)
    assert truth["slab"] == 420.0
    assert len(truth["membrane_normals"]) == wanted.membranes
    # The true set projects the probes; where they are in the images, the motion says.
    true = tomoset.read(tmp_path / "p/truth/tomograms.star")["TS_01"]
    probes, seen = np.array(truth["probes_px"]), np.array(truth["probe_images_px"])
    off = np.linalg.norm(true.project(probes) - seen, axis=2) * 10.0
    rms = np.sqrt(np.square(off).mean(axis=1))
    assert rms.argmax() in np.argsort(truth["pre_exposure"])[:2]
    assert 5 < rms.max() < 30
    assert rms[np.argsort(truth["pre_exposure"])[4:]].max() < 6
    more = lamella(snr=0.05, crowd=7, noise=1.0)
    assert (more.snr, more.crowd, lamella(noise=2.0).snr) == (0.05, 7, None)


def test_the_bound_is_that_of_tilts_about_the_normal() -> None:
    """A slab that is turned, and tilted about its normal, is known as well as a level one."""
    known = []
    for pretilt in (0.0, 20.0):
        nominal, rank = sim.dose_symmetric(11, 50)
        taken = acquisition(magnification_error=0.0)
        taken = replace(taken, nominal=nominal - pretilt, rank=rank)
        views = sim.Views.random(taken, 1)
        contents = sim.Contents(beads=0, thickness=600.0, pretilt=pretilt)
        specimen = sim.Specimen.random((90, 96, 60), PX, contents, seed=1)
        rings = np.ones((11, 50)) * 0.3
        spectra = sim.signal.Spectra(
            frequencies=(np.arange(50) + 0.5) / 100, signal=rings, noise=np.ones(11)
        )
        known.append(sim.seen(specimen, taken, views, spectra).shift_bound)
    np.testing.assert_allclose(known[0], known[1], rtol=1e-3)


def test_molecules_dome_as_their_trajectories_say(tmp_path: Path) -> None:
    tomoset.simulate_project(
        tmp_path / "p", **SMALL, beads=2, molecules=3, doming=40.0, bead_radius=60.0
    )
    truth = json.loads((tmp_path / "p/truth/TS_01.json").read_text())
    true = tomoset.read(tmp_path / "p/truth/tomograms.star")["TS_01"]
    moved = np.array(truth["molecules_px"])[:, None] + np.array(truth["trajectories"]) / PX
    seen = np.stack([true.project(moved[:, i])[i] for i in range(9)])
    np.testing.assert_allclose(seen, truth["molecule_images_px"], atol=1e-5)
    still = true.project(np.array(truth["beads_px"]))
    assert 0.5 < np.abs(still - truth["bead_images_px"]).max() < 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 2}, "say how many molecules, by --crowd"),
        ({"snr": 0.1, "noise": 2.0}, "both say how much noise"),
        ({"crowd": 5, "inclined": 10.0}, "take --pretilt"),
        ({"crowd": 50_000}, r"have no room.*--crowd"),
    ],
)
def test_contradictions_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        tomoset.simulate_project(tmp_path / "p", **{**SMALL, "beads": 0, **options})
