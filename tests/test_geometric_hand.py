"""The geometric hand: sums over particles, the search for a map in them, verdict and command."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.image_stacks import Images, write_map
from tests.builders.particle_series import (
    PIXEL,
    ParticleSeries,
    Wanted,
    particle_series,
    write_particles,
)
from tomoset import geometry, star
from tomoset import simulate as sim
from tomoset.cli import main
from tomoset.errors import ModelError
from tomoset.model import ParticleSet, Tomogram, TomogramSet
from tomoset.particles.geometric import _kernels as kernels
from tomoset.particles.geometric.average import SumOptions, accumulate
from tomoset.particles.geometric.hand import (
    AS_MAP,
    MIRRORED,
    UNKNOWN,
    answer,
    likeness,
    locate,
    reason,
    weigh,
)
from tomoset.particles.geometric.report import angles_of
from tomoset.particles.geometric.search import MIRROR, RotatedMap, rotated_directly, rotations
from tomoset.particles.geometric.sums import (
    Sums,
    empty_grids,
    half_ball,
    insert_slowly,
    padded_size,
    regridded,
    together,
)
from tomoset.particles.slices import MapTransform
from tomoset.programs._results import load, store

BOX = 56
OPTIONS = SumOptions(box=BOX, lowpass=26.0, threads=2)
DOWN = np.diag([1.0, 1.0, -1.0])


@cache
def series() -> ParticleSeries:
    return particle_series(Wanted(molecules=30, n_tilts=13, image_size=(320, 300)))


@cache
def molecule():
    return sim.molecule_map(sim.Molecule.made(), PIXEL)


def mirrored(density):
    return np.roll(density[:, :, ::-1], 1, axis=2)


def moved(density, seed, shift):
    """Turned at random about its origin, and shifted, x, y, z."""
    turn = geometry.euler_matrix(*np.random.default_rng(seed).uniform(-180, 180, 3))[::-1, ::-1]
    middle = np.full(3, len(density) // 2)
    offset = middle - turn.T @ (middle + np.array(shift[::-1]))
    return scipy.ndimage.affine_transform(density, turn.T, offset, order=3)


def ball(n=50, radius=16):
    distance = np.linalg.norm(np.indices((n,) * 3) - n // 2, axis=0)
    return np.clip(radius - distance, 0, 1).astype(np.float32)


@cache
def sums() -> Sums:
    s = series()
    return accumulate(s.given, Images(s.images), s.particles, OPTIONS, PIXEL)


def flipped(s: ParticleSeries) -> tuple[Tomogram, ParticleSet]:
    """As if tilt angles had been read with the other sign: all depths are turned round.

    Images stay. What was at z is at size - 1 - z, so P' = F P M with M that mirror, and F that
    turns the row of depth round too: a tilt of -a, right-handed again. An orientation A becomes
    M A M, and the map that then fits is the mirror image.
    """
    t = s.given.placed(None, (s.images.shape[2], s.images.shape[1]))
    assert t.projections is not None
    assert t.size is not None
    mirror = np.diag([1.0, 1, -1, 1])
    mirror[2, 3] = t.size[2] - 1
    projections = np.diag([1.0, 1, -1, 1]) @ t.projections @ mirror
    rotated = DOWN @ s.particles.orientations @ DOWN
    particles = replace(
        s.particles,
        coordinates=geometry.apply(mirror[None], s.particles.positions)[0],
        angles=[angles_of(matrix) for matrix in rotated],
    )
    return replace(t, projections=projections, alignment=None, hand=-t.hand), particles


def random_sums(seed, box=20, radius=5.0, images=3):
    """Images of noise that were put in, by the kernel, and what they were."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform(-180, 180, (3, images))
    linear = np.ascontiguousarray(geometry.euler_matrix(*angles)[:, :2])
    seen = scipy.fft.rfft2(rng.standard_normal((images, box, box))).astype(np.complex64)
    weights = rng.uniform(0.2, 1, seen.shape).astype(np.complex64)
    grids = empty_grids(1, radius, box)
    reach = radius, float(padded_size(box))
    kernels.insert(seen, weights, linear, np.zeros(images, np.int64), reach, grids)
    return seen, weights, linear, grids


def test_the_kernel_is_the_slow_insertion():
    seen, weights, linear, grids = random_sums(1)
    numerator, power = insert_slowly(seen, weights, linear, 5.0)
    size, last = len(power), grids[1].shape[1] // 2
    own = np.zeros((size,) * 3, np.complex128)
    own_power = np.zeros((size,) * 3)
    around = np.arange(-last, last + 1)
    x = np.arange(-1, last + 1)
    index = np.ix_(around % size, around % size, x % size)
    opposite = np.ix_(-around % size, -around % size, -x % size)
    values = grids[0][0].view(np.complex64)[..., 0]
    np.add.at(own, index, values)
    np.add.at(own, opposite, values.conj())
    np.add.at(own_power, index, grids[1][0])
    np.add.at(own_power, opposite, grids[1][0])
    np.testing.assert_allclose(own, numerator, atol=1e-3)
    np.testing.assert_allclose(own_power, power, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_insertion_is_the_adjoint_of_slices(seed):
    """<insert(x), F> = <x, slices(F)> for any images x and any map."""
    box, radius = 20, 5.0
    seen, _, linear, grids = random_sums(seed, box, radius)
    volume = np.random.default_rng(seed + 1).standard_normal((box,) * 3)
    transform = MapTransform.of(volume)
    assert transform.padded == padded_size(box)
    slices = transform.slices(linear, box)
    last, middle = grids[1].shape[1] // 2, len(transform.values) // 2
    part = slice(middle - last, middle + last + 1)
    values = transform.values[part, part, : last + 2]
    product = float((grids[0][0].astype(np.float64) * values).sum())
    kx, ky = np.arange(box // 2 + 1), np.fft.fftfreq(box, 1 / box)[:, None]
    count = np.where(kx == 0, 0.5, 1) * (np.hypot(kx, ky) <= radius)
    scale = float((count * np.abs(seen * slices)).sum())
    assert product == pytest.approx(
        float((count * (seen * slices.conj()).real).sum()), abs=1e-5 * scale
    )


@pytest.mark.parametrize("seed", range(4))
def test_sums_are_those_of_images(seed):
    """What the waves of the box say of a map, against all images one by one."""
    box, radius = 32, 9.0
    seen, weights, linear, grids = random_sums(seed, box, radius, 40)
    made = regridded(*grids, radius, box)
    volume = np.zeros((box,) * 3, np.float32)
    volume[12:20, 12:20, 12:20] = np.random.default_rng(seed).standard_normal((8, 8, 8))
    there = rotated_directly(volume, np.eye(3), made)
    slices = MapTransform.of(volume).slices(linear, box)
    kx, ky = np.arange(box // 2 + 1), np.fft.fftfreq(box, 1 / box)[:, None]
    count = np.where(kx == 0, 1, 2) * (np.hypot(kx, ky) <= radius) / box**2
    power = float((count * np.abs(slices) ** 2 * weights.real**2).sum())
    product = float((count * (seen * slices.conj()).real).sum())
    own = float((made.numerator[0] * there.conj()).real.sum())
    # As a part of what noise adds to it.
    assert abs(own - product) < 0.2 * np.sqrt(power)
    assert (made.power[0] * np.abs(there) ** 2).sum() == pytest.approx(power, rel=0.02)


def test_turned_maps_are_those_of_a_direct_sum():
    volume = np.zeros((24,) * 3, np.float32)
    volume[7:17, 7:17, 7:17] = np.random.default_rng(2).standard_normal((10, 10, 10))
    points = half_ball(6.0)
    empty = np.zeros((1, len(points)))
    where = Sums(points, empty.astype(np.complex64), empty.astype(np.float32), 24)
    rotated = RotatedMap.of(volume, 24)
    for matrix in (np.eye(3), MIRROR, *(rotations(5) @ MIRROR)[1:4]):
        exact = rotated_directly(volume, matrix, where)
        error = np.linalg.norm(rotated.at(matrix[None], where)[0] - exact)
        assert error < 0.02 * np.linalg.norm(exact)


def test_turns_are_rotations_all_over():
    matrices = rotations(500)
    np.testing.assert_allclose(
        matrices @ matrices.swapaxes(1, 2), np.eye(3)[None] + 0 * matrices, atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(matrices), 1)
    anywhere = geometry.euler_matrix(*np.random.default_rng(1).uniform(-180, 180, (3, 50)))
    nearest = np.einsum("nij,mij->nm", anywhere, matrices).max(axis=1)
    assert np.rad2deg(np.arccos((nearest - 1) / 2)).max() < 45


def told(density, of=None):
    rotated = RotatedMap.of(np.asarray(density, np.float32), BOX)
    of = of or sums()
    odds = weigh(of, rotated, locate(of, rotated, 2))
    return odds, rotated


@pytest.mark.parametrize(
    ("density", "expected"),
    [
        (lambda: molecule(), AS_MAP),
        (lambda: mirrored(molecule()), MIRRORED),
        (lambda: moved(molecule(), 1, (4, -5, 3)), AS_MAP),
        (lambda: moved(mirrored(molecule()), 2, (3, 5, 0)), MIRRORED),
    ],
    ids=["own", "mirrored", "moved", "mirrored and moved"],
)
def test_a_map_and_its_mirror_image_are_told_apart(density, expected):
    odds, _ = told(density())
    assert answer(odds, 0.001) == expected
    assert abs(odds.log_odds) > 100
    assert max(odds.explained) > 0.95 > 0.8 > min(odds.explained)


def test_where_the_map_lies_is_found():
    turn, shift = geometry.euler_matrix(30, 40, 50), np.array([4.0, -5, 3])
    back = turn[::-1, ::-1]
    n = len(molecule())
    middle = np.full(3, n // 2)
    density = scipy.ndimage.affine_transform(
        molecule(), back.T, middle - back.T @ (middle + shift[::-1]), order=3
    )
    odds, _ = told(density)
    pose = odds.best
    assert np.trace(pose.matrix @ turn) > 1 + 2 * np.cos(np.deg2rad(3))
    np.testing.assert_allclose(pose.matrix @ shift + pose.shift, 0, atol=0.3)


def test_tilt_angles_of_the_other_sign_make_mirror_images():
    s = series()
    tomogram, particles = flipped(s)
    np.testing.assert_allclose(
        tomogram.project(particles.positions),
        s.given.placed(None, tomogram.image_size).project(s.particles.positions),
        atol=1e-9,
    )
    made = accumulate(tomogram, Images(s.images), particles, OPTIONS, PIXEL)
    odds, _ = told(molecule(), made)
    assert answer(odds, 0.001) == MIRRORED


def test_noise_gives_no_geometric_hand():
    s = series()
    noise = np.random.default_rng(4).normal(1000, 30, s.images.shape)
    made = accumulate(s.given, Images(noise), s.particles, OPTIONS)
    odds, _ = told(molecule(), made)
    assert answer(odds, 0.001) == UNKNOWN
    assert "show nothing of the map" in reason(odds, 0.0, 0.001)


def test_a_symmetric_map_gives_no_geometric_hand():
    odds, rotated = told(ball())
    assert answer(odds, 0.001) == UNKNOWN
    alike = likeness(sums(), rotated, odds.best, 2)
    assert alike > 0.999
    assert "equals its own mirror image" in reason(odds, alike, 0.001)


def test_the_map_of_another_molecule_gives_no_geometric_hand():
    rng = np.random.default_rng(1)
    other = scipy.ndimage.gaussian_filter(rng.standard_normal((50,) * 3), 2.5) * ball(radius=19)
    odds, _ = told(np.maximum(other, 0))
    assert answer(odds, 0.001) == UNKNOWN


def test_sums_are_added_and_kept(tmp_path):
    one = sums()
    again = load(Sums, store(one, str(tmp_path / "a.npz")))
    two = together([one, again])
    np.testing.assert_allclose(two.numerator, 2 * one.numerator)
    assert again.box == BOX
    part = one.within(4.0)
    assert np.abs(part.points).max() == 4
    assert part.numerator.shape == (10, len(part.points))


def run(*args: str) -> int:
    try:
        return int(main(list(args)) or 0)
    except SystemExit as end:
        return int(end.code or 0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_map("map.mrc", molecule())
    s = series()
    written = TomogramSet([s.write(tmp_path)])
    written.write("tomograms.star", "relion4")
    write_particles("particles.star", s.particles, written, "relion4")
    return tmp_path


ASKED = ("hand", "--geometric", "--t", "tomograms.star", "--p", "particles.star", "--j", "2")


@pytest.mark.slow
def test_a_tomogram_that_contradicts_is_named(here: Path, capsys: pytest.CaptureFixture[str]):
    """Two series as they are, and one whose tilt angles were read with the other sign."""
    s = series()
    stacks = [s.write(here, name) for name in ("TS_01", "TS_02", "TS_03")]
    tomogram, particles = flipped(s)
    both = TomogramSet([*stacks[:2], replace(tomogram, name="TS_03", stack=stacks[2].stack)])
    both.write("tomograms.star", "relion4")
    n = len(particles)
    columns = [s.particles, s.particles, particles]
    p = ParticleSet(
        tomogram_names=np.repeat(list(both), n),
        coordinates=np.concatenate([c.positions for c in columns]),
        angles=np.concatenate([c.angles for c in columns]),
        optics_groups=[1] * 3 * n,
        pixel_sizes=[PIXEL] * 3 * n,
    )
    write_particles("particles.star", p, both, "relion4")
    more = ("--ref", "map.mrc", "--b", str(BOX), "--lowpass", "30", "--o", "Out", "--json")
    assert run(*ASKED, *more) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["geometric_hand"] == AS_MAP
    assert said["against"] == ["TS_03"]
    assert said["tomograms"]["TS_01"]["geometric_hand"] == AS_MAP
    assert said["tomograms"]["TS_03"]["geometric_hand"] == MIRRORED
    assert "hand" not in said
    assert any("'TS_03' by itself says 'mirror image'" in w for w in said["warnings"])
    whole, each = star.read("Out/geometric_hand.star").tables
    assert list(whole["tomosetGeometricHand"]) == [AS_MAP]
    assert each["tomosetGeometricHand"][2] == MIRRORED
    assert float(whole["tomosetGeometricLogOdds"][0]) > 7
    assert run(*ASKED, *more, "--continue") == 0
    assert len(json.loads(capsys.readouterr().out)["skipped"]) == 3


def test_without_an_output_folder_the_verdict_is_printed(
    here: Path, capsys: pytest.CaptureFixture[str]
):
    before = sorted(here.iterdir())
    assert run(*ASKED, "--ref", "map.mrc", "--b", "48", "--lowpass", "30") == 0
    out = capsys.readouterr().out
    assert "geometric hand: as the map; odds" in out
    assert "+1" not in out
    assert sorted(here.iterdir()) == before


def test_wrong_options_are_refused(here: Path, capsys: pytest.CaptureFixture[str]):
    both = ("--ref", "map.mrc", "--b", "48")
    for args, match in (
        (("hand", "--geometric"), "no map (--ref)"),
        (("hand", "--geometric", *both), "no particles (--i, or --p and --t)"),
        (("hand", "--geometric", *both, "--t", "tomograms.star"), "no particles (--i, or --p"),
        ((*ASKED, "--ref", "map.mrc"), "--b"),
        ((*ASKED, *both, "--apply"), "defocus hand"),
        ((*ASKED, *both, "--defocus", "3"), "defocus hand"),
        ((*ASKED, *both, "--continue"), "--o DIR"),
        ((*ASKED, *both, "--error-rate", "0.9"), "below 0.5"),
        ((*ASKED, *both, "--lowpass", "-3"), "above 0 Å"),
        ((*ASKED, "--ref", "map.mrc", "--b", "47"), "even number"),
        (("hand", "tomograms.star", "--ref", "map.mrc"), "give --geometric too"),
        (("hand", "tomograms.star", "--p", "particles.star"), "give --geometric too"),
    ):
        assert run(*args) == 2, args
        assert match in capsys.readouterr().err


def changed(p: ParticleSet, **values) -> ParticleSet:
    return replace(p, source=None, **values)


@pytest.mark.parametrize(
    ("what", "match"),
    [
        ("no map", "there is no such reference map"),
        ("pixel", "reference maps have 2.7 Å a voxel"),
        ("box", "box of 302 px is larger than the tilt images"),
        ("small box", "lies within the box"),
        ("no orientations", "the particles have no orientations"),
        ("no CTF", "has no defocus"),
        ("lowpass", "next to nothing coarser"),
        ("nothing to see", "none of its 30 particles is visible"),
    ],
)
def test_inconsistent_maps_and_sums_are_refused(
    here: Path, what: str, match: str, capsys: pytest.CaptureFixture[str]
):
    s = series()
    t = TomogramSet([s.write(here)])
    args = {"--ref": "map.mrc", "--b": "48", "--o": "Out"}
    if what == "no map":
        args["--ref"] = "none.mrc"
    elif what == "pixel":
        write_map("map.mrc", molecule(), 2.7)
    elif what == "box":
        args["--b"] = "302"
    elif what == "small box":
        args["--b"] = "16"
        args["--lowpass"] = "17"
    elif what == "no orientations":
        write_particles("particles.star", changed(s.particles, angles=None), t, "relion4")
    elif what == "no CTF":
        bare = replace(t["TS_01"], defocus_u=None, defocus_v=None, defocus_angle=None)
        TomogramSet([bare]).write("tomograms.star", "relion4")
    elif what == "lowpass":
        args["--lowpass"] = "200"
    elif what == "nothing to see":
        far = changed(s.particles, coordinates=s.particles.positions + 5000)
        write_particles("particles.star", far, t, "relion4")
    assert run(*ASKED, *[text for pair in args.items() for text in pair]) == 1
    captured = capsys.readouterr()
    assert match in captured.err + captured.out
    assert "Traceback" not in captured.err
    assert not Path("Out/geometric_hand.star").exists()


def test_options_and_particles_are_checked():
    with pytest.raises(ModelError, match="2 groups or more"):
        SumOptions(box=32, lowpass=20, groups=1)
    s = series()
    few = replace(s.particles.select([0, 1]), visible=[[True]] * 2)
    with pytest.raises(ModelError, match="of another number"):
        accumulate(s.given, Images(s.images), few, OPTIONS)
