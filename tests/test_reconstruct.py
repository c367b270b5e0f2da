"""Reconstruction: a bead comes back where the set says it is, in every dialect and size."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest

import tomoset
from tests.builders.bead_stack import PIXEL, N, bead_set, beads_at, made
from tests.builders.image_stacks import read_volume
from tomoset import geometry
from tomoset.errors import FileAccessError, FileFormatError, LossyWarning, ModelError
from tomoset.model import Deformation, TomogramSet
from tomoset.programs.reconstruct import reconstruct
from tomoset.reconstruct import Options, Plan
from tomoset.run import Resources

QUIET = Resources(quiet=True)


def peak_near(v: np.ndarray, at: np.ndarray) -> np.ndarray:
    """x, y, z of the maximum next to a place, between voxels by a spline.

    All axes at once: what a missing wedge leaves of a bead is not a product of three profiles.
    """
    from scipy.ndimage import map_coordinates, spline_filter
    from scipy.optimize import minimize

    first = np.maximum(np.rint(at[::-1]).astype(int) - 6, 0)
    around = spline_filter(v[tuple(slice(k, k + 13) for k in first)], order=5)

    def height(x: np.ndarray) -> float:
        place = (x[::-1] - first)[:, None]
        return -float(map_coordinates(around, place, order=5, prefilter=False, mode="mirror")[0])

    start = np.vstack([at, at + 0.3 * np.eye(3)])
    options = {"xatol": 1e-4, "fatol": 0, "maxiter": 300, "initial_simplex": start}
    return np.asarray(minimize(height, at, method="Nelder-Mead", options=options).x)


SIZES = [((96, 90, 48), (98, 94)), ((97, 91, 49), (99, 93)), ((90, 97, 44), (91, 100))]


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
@pytest.mark.parametrize(("size", "image_size"), SIZES)
@pytest.mark.parametrize("binning", [1, 2, 3.3])
def test_a_bead_comes_back_at_its_voxel(
    tmp_path: Path,
    dialect: str,
    size: tuple[int, int, int],
    image_size: tuple[int, int],
    binning: float,
) -> None:
    s = bead_set(tmp_path, size=size, image_size=image_size, dialect=dialect, width=1.5 * binning)
    done = made(s, tmp_path, binning=binning)
    v = read_volume(done.path)
    assert v.shape == done.voxels[::-1]
    for bead in beads_at(size) / binning:
        np.testing.assert_allclose(peak_near(v, bead), bead, atol=0.05)


@pytest.mark.parametrize("binning", [4, 8])
def test_a_bead_comes_back_in_coarse_voxels(tmp_path: Path, binning: float) -> None:
    size, image_size = (384, 361, 200), (385, 380)
    s = bead_set(tmp_path, size=size, image_size=image_size, width=1.6 * binning)
    v = read_volume(made(s, tmp_path, binning=binning).path)
    for bead in beads_at(size) / binning:
        np.testing.assert_allclose(peak_near(v, bead), bead, atol=0.05)


@pytest.mark.parametrize("method", ["wiener", "sirt"])
def test_other_methods_reconstruct_a_bead_at_its_voxel(tmp_path: Path, method: str) -> None:
    size = (192, 181, 100)
    s = bead_set(tmp_path, size=size, image_size=(193, 190))
    v = read_volume(made(s, tmp_path, binning=2, method=method, iterations=15).path)
    for bead in beads_at(size) / 2:
        np.testing.assert_allclose(peak_near(v, bead), bead, atol=0.05)


def test_deformed_images_are_straightened(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    bent = Deformation(kind="spline", grid=(3, 3), coefficients=rng.normal(0, 2.0, (N, 72)))
    s = bead_set(tmp_path, deformation=bent)
    v = read_volume(made(s, tmp_path, binning=2).path)
    straight = TomogramSet([replace(s["TS_01"], deformation=None)])
    w = read_volume(made(straight, tmp_path, binning=2).path)
    for bead in beads_at((96, 90, 48)) / 2:
        np.testing.assert_allclose(peak_near(v, bead), bead, atol=0.05)
        assert np.abs(peak_near(w, bead) - bead).max() > 0.1


def test_density_is_in_image_units_per_voxel(tmp_path: Path) -> None:
    """Both methods give the density whose sum along the beam is the image."""
    s = bead_set(tmp_path)
    beads = beads_at((96, 90, 48)) / 2
    heights = {}
    for method in ("wbp", "sirt"):
        v = read_volume(made(s, tmp_path, binning=2, method=method).path)
        heights[method] = [v[tuple(np.rint(bead[::-1]).astype(int))] for bead in beads]
    # A ball of width s (voxels) whose shadow is 1 high has the density 1 / (s sqrt(2 pi)) = 0.27;
    # the missing wedge takes a part of it.
    for found in heights.values():
        assert min(found) > 0.1
        assert max(found) < 0.3


def test_halves_add_up_to_the_whole(tmp_path: Path) -> None:
    done = made(bead_set(tmp_path), tmp_path, binning=2, halves=True)
    whole, half1, half2 = (read_volume(getattr(done, k)) for k in ("path", "half1", "half2"))
    for bead in beads_at((96, 90, 48)) / 2:
        for half in (half1, half2):
            np.testing.assert_allclose(peak_near(half, bead), bead, atol=0.06)
    assert np.corrcoef(half1.ravel(), half2.ravel())[0, 1] > 0.5
    assert np.abs(half1 - half2).max() > 0.01 * whole.max()


def test_half_images_make_half_volumes(tmp_path: Path) -> None:
    s = bead_set(tmp_path)
    t = s["TS_01"]
    for name, factor in (("even", 2.0), ("odd", 3.0)):
        with mrcfile.new(tmp_path / f"{name}.mrcs") as file:
            file.set_data(
                np.float32(factor) * read_volume(str(tmp_path / "TS_01.mrcs")).astype("f4")
            )
            file.set_image_stack()
    even, odd = (
        tuple(f"{i + 1:06d}@{tmp_path}/{kind}.mrcs" for i in range(N)) for kind in ("even", "odd")
    )
    of_frames = replace(t, half_images=(even, odd))
    done = made(TomogramSet([of_frames]), tmp_path, binning=2, halves=True)
    whole, half1, half2 = (read_volume(getattr(done, k)) for k in ("path", "half1", "half2"))
    np.testing.assert_allclose(half1, 2 * whole, atol=1e-5)
    np.testing.assert_allclose(half2, 3 * whole, atol=1e-5)
    lame = replace(t, half_images=((), odd))
    with pytest.raises(ValueError, match="one half of the frames only"):
        made(TomogramSet([lame]), tmp_path, binning=2, halves=True)


def test_the_set_names_the_volumes_and_relion_finds_them(tmp_path: Path) -> None:
    s = bead_set(tmp_path, dialect="relion5")
    done = reconstruct(s, tmp_path / "out", Options(binning=2, halves=True), resources=QUIET)
    assert done.report.exit_code == 0
    assert done.path == str(tmp_path / "out/tomograms.star")
    again = tomoset.read(done.path)["TS_01"].reconstruction
    assert again is not None
    assert again.binning == 2
    for path in (again.path, again.half1, again.half2):
        assert path is not None
        assert Path(path).exists()
        assert Path(path).with_suffix(".png").exists()
    with mrcfile.open(str(again.path)) as file:
        assert file.voxel_size.x == pytest.approx(2 * PIXEL)
        assert file.is_volume()
    text = Path(done.path).read_text()
    for label in ("TomogramBinning", "ReconstructedTomogramHalf1", "ReconstructedTomogram"):
        assert f"_rlnTomo{label} " in text
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["done"] == ["TS_01"]


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_another_size_keeps_the_middle(tmp_path: Path, dialect: str) -> None:
    s = bead_set(tmp_path, dialect=dialect)
    options = Options(binning=1, size=(80, 101, 41))
    if dialect == "relion4":
        with pytest.warns(LossyWarning, match="change by -8, 5, -4"):
            done = reconstruct(s, tmp_path / "out", options, resources=QUIET)
    else:
        done = reconstruct(s, tmp_path / "out", options, resources=QUIET)
    assert done.path is not None
    t = tomoset.read(done.path)["TS_01"]
    assert t.size == (80, 101, 41)
    assert t.reconstruction is not None
    moved = beads_at((96, 90, 48)) + [-8, 5, -4]
    v = read_volume(t.reconstruction.path)
    for bead in moved:
        np.testing.assert_allclose(peak_near(v, bead), bead, atol=0.06)
    np.testing.assert_allclose(
        t.project(moved), s["TS_01"].project(beads_at((96, 90, 48))), atol=1e-5
    )
    np.testing.assert_allclose(
        t.defocus(moved), s["TS_01"].defocus(beads_at((96, 90, 48))), atol=1e-3
    )


def test_an_alignment_without_size_takes_the_one_given(tmp_path: Path) -> None:
    s = bead_set(tmp_path, dialect="relion5")
    path = tmp_path / "relion5.star"
    lines = path.read_text().splitlines(keepends=True)
    (size,) = [x for x in lines if x.split()[:1] == ["TS_01"]]
    labels = [x.split()[0] for x in lines if x.startswith("_")]
    cells = size.split()
    keep = [i for i, label in enumerate(labels) if not label.startswith("_rlnTomoSize")]
    path.write_text(
        "data_global\n\nloop_\n"
        + "".join(f"{labels[i]}\n" for i in keep)
        + " ".join(cells[i] for i in keep)
        + "\n\n"
    )
    unsized = tomoset.read(path)
    with pytest.raises(ModelError, match="--size"):
        made(unsized, tmp_path, binning=2)
    done = reconstruct(
        unsized, tmp_path / "out", Options(binning=1, size=(96, 90, 48)), resources=QUIET
    )
    assert done.path is not None
    t = tomoset.read(done.path)["TS_01"]
    np.testing.assert_allclose(
        t.project(beads_at((96, 90, 48))), s["TS_01"].project(beads_at((96, 90, 48))), atol=1e-4
    )


def test_pixel_size_and_its_limits(tmp_path: Path) -> None:
    s = bead_set(tmp_path)
    done = made(s, tmp_path, pixel_size=10.0)
    assert done.binning == pytest.approx(2.5)
    assert done.voxels == (38, 36, 19)
    with pytest.raises(ModelError, match=r"finer than the images' pixels of 4 Å"):
        made(s, tmp_path, pixel_size=3.0)


@pytest.mark.parametrize("data_type", ["float16", "int8"])
def test_small_data_types_keep_four_standard_deviations(tmp_path: Path, data_type: str) -> None:
    s = bead_set(tmp_path)
    whole = read_volume(made(s, tmp_path, binning=2).path)
    small = read_volume(made(s, tmp_path, binning=2, data_type=data_type).path)
    fits = np.clip(whole, whole.mean() - 4 * whole.std(), whole.mean() + 4 * whole.std())
    known = whole if data_type == "float16" else fits
    assert np.corrcoef(known.ravel(), small.ravel())[0, 1] > 0.999


def test_nothing_is_made_without_what_is_needed(tmp_path: Path) -> None:
    s = bead_set(tmp_path)
    bare = TomogramSet([replace(s["TS_01"], defocus_u=None, pre_exposure=None)])
    with pytest.raises(ModelError, match="no defocus: take --ctf none"):
        made(bare, tmp_path, ctf="2d")
    with pytest.raises(ModelError, match="no doses: leave --dose out"):
        made(bare, tmp_path, dose=True)
    with pytest.raises(ModelError, match="not aligned"):
        made(TomogramSet([replace(s["TS_01"], projections=None)]), tmp_path)
    with pytest.raises(ModelError, match="--ctf 2d with sirt"):
        Options(method="sirt", ctf="3d")
    for wrong in ({"snr": 0}, {"taper": -1}, {"binning": 0.5}, {"size": (0, 1, 1)}):
        with pytest.raises(ModelError, match=r"must be from|0 x 1 x 1 px"):
            Options(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="edges of 50 px are more than images of 49 x 47 px"):
        made(s, tmp_path, binning=2, taper=50)
    with pytest.raises(FileAccessError, match="is read by this command"):
        reconstruct(tomoset.read(write_in(s, tmp_path / "tomograms.star")), tmp_path, Options())
    with pytest.raises(ModelError, match=r"no tomogram is called 'TS_99'; there are TS_01"):
        reconstruct(s, tmp_path / "out", Options(), names=["TS_99"])
    assert not (tmp_path / "tomograms").exists()


def write_in(s: TomogramSet, path: Path) -> Path:
    s.write(path)
    return path


def test_depths_see_their_own_ctf(tmp_path: Path) -> None:
    """A step of depth is so small that the CTF's phase hardly changes over half of it."""
    s = bead_set(tmp_path, hand=1)
    plan = Plan.of(s["TS_01"], Options(binning=1, ctf="3d"), (98, 94))
    from tomoset.images.device import open_device
    from tomoset.reconstruct.depths import batches, depth_step

    (batch,) = batches(plan, range(N))
    projector = batch.projector(plan, plan.projector(open_device("cpu")))
    points = np.random.default_rng(3).uniform(0, 1, (20, 3)) * (95, 89, 47)
    level = np.einsum("njk,pk->npj", projector.matrices[:, :, :3], points)
    level = level[..., 2] + projector.matrices[:, 2, 3][:, None]
    t = s["TS_01"]
    for at, row in enumerate(batch.tilts):
        nearest = np.rint(level[at]).astype(int)
        assert nearest.min() >= 0
        assert nearest.max() < batch.levels
        said = [plan.ctf(row, batch.depth(at, int(k))).defocus_u for k in nearest]
        true = t.defocus(points)[row, :, 0]
        assert np.abs(np.array(said) - true).max() <= depth_step(plan) / 2 + 1e-6
    k = 1 / (2 * PIXEL)
    change = plan.ctf(0, depth_step(plan) / 2).phase(k, 0) - plan.ctf(0, 0.0).phase(k, 0)
    assert abs(float(change)) == pytest.approx(np.pi / 8)


def test_faulty_stacks_are_refused(tmp_path: Path) -> None:
    s = bead_set(tmp_path)
    stack = tmp_path / "TS_01.mrcs"
    whole = stack.read_bytes()
    stack.write_bytes(whole[:-1000])
    with pytest.raises(FileFormatError, match=r"TS_01\.mrcs.*cut short"):
        made(s, tmp_path)
    data = np.frombuffer(whole, dtype="<f4").copy()
    data[256 + 5000] = np.nan
    stack.write_bytes(data.tobytes())
    with pytest.raises(FileFormatError, match=r"image 1: 1 of .* NaN"):
        made(s, tmp_path)
    stack.unlink()
    with pytest.raises(FileNotFoundError, match="are not there"):
        made(s, tmp_path)
    with mrcfile.new(stack) as file:
        file.set_data(np.zeros((N + 1, 94, 98), np.float32))
    with pytest.raises(FileFormatError, match=f"has {N} tilt images, the stack {N + 1}"):
        made(s, tmp_path)
    assert not list(tmp_path.glob("rec*"))


def test_sirt_stops_when_it_would_fit_noise(tmp_path: Path) -> None:
    s = bead_set(tmp_path)
    stack = tmp_path / "TS_01.mrcs"
    with mrcfile.open(stack, mode="r+") as file:
        noise = np.random.default_rng(5).normal(0, 1.0, file.data.shape)
        file.data[:] += noise.astype(np.float32)
    noisy = made(s, tmp_path, binning=2, method="sirt", iterations=30)
    assert noisy.rounds is not None
    assert 2 <= noisy.rounds < 30
    v = read_volume(noisy.path)
    more = read_volume(made(s, tmp_path, binning=2, method="wbp").path)
    assert v.std() < more.std()  # WBP shows all the noise


def test_sirts_views_are_adjoint(tmp_path: Path) -> None:
    from tomoset.images.device import open_device
    from tomoset.reconstruct.sirt import _Views

    rng = np.random.default_rng(6)
    t = bead_set(tmp_path)["TS_01"]
    for angle in (0.0, 84.0):
        angles = np.column_stack([np.zeros(N), np.linspace(-56, 56, N), np.full(N, angle)])
        turned = geometry.rigid_projections(
            angles, np.zeros((N, 2)), size=(96, 90, 48), image_size=(98, 94)
        )
        plan = Plan.of(replace(t, projections=turned), Options(binning=2), (98, 94))
        views = _Views(plan, plan.projector(open_device("cpu")))
        x = rng.standard_normal(plan.size[::-1]).astype(np.float32)
        y = rng.standard_normal((N, 47, 49)).astype(np.float32)
        there = np.vdot(views.forward(x).astype(float), y)
        back = np.vdot(x, views.projector.back_prepared(views.prepared(y)).astype(float))
        assert abs(there - back) < 1e-5 * np.linalg.norm(views.forward(x)) * np.linalg.norm(y)
        # Mass is kept: what every voxel adds arrives.
        inside = np.zeros(plan.size[::-1], np.float32)
        inside[10:14, 20:24, 20:24] = 1
        sums = views.forward(inside).sum(axis=(1, 2))
        np.testing.assert_allclose(sums, inside.sum(), rtol=1e-4)


def test_a_real_needle_is_reconstructed_round(shared: Path, tmp_path: Path) -> None:
    """A layered needle in a scanning microscope: 77 real images, -76° to 76°."""
    import importlib.util

    path = Path(__file__).parents[1] / "docs/make_pictures.py"
    spec = importlib.util.spec_from_file_location("make_pictures", path)
    assert spec is not None
    assert spec.loader is not None
    pictures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pictures)
    needle = pictures.needle_tomogram(shared / "data/images/etspy")
    options = Options(binning=1, taper=1)
    done = reconstruct(TomogramSet([needle]), tmp_path, options, resources=QUIET)
    v = read_volume(done.results["needle"].path)
    section = v[:, 100:104, :].mean(axis=1)  # across the needle, in a bright layer
    inside = section > section.max() / 2
    z, x = np.nonzero(inside)
    axes = np.sqrt(np.linalg.eigvalsh(np.cov(np.stack([z, x]))))
    assert axes[1] / axes[0] < 1.1  # of a disc: 1
    radius = np.sqrt(inside.sum() / np.pi)
    far = np.hypot(*(np.indices(section.shape) - [[[z.mean()]], [[x.mean()]]])) > 1.5 * radius
    assert section[inside].mean() > 8 * section[far].std() + section[far].mean()
