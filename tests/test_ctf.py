"""Defocus of a tilt series from its images: what is found, how sure it is, and what is refused."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import tomoset
from tests.builders.hand_series import Wanted, hand_series
from tests.builders.image_stacks import Images, write_images
from tomoset import TomogramSet, star
from tomoset.check import check
from tomoset.cli import main
from tomoset.ctf.absorbed import absorbed
from tomoset.ctf.compare import compare
from tomoset.ctf.cropped import CroppedImages, KeptImages
from tomoset.ctf.fit import Fit
from tomoset.ctf.known import Parameters
from tomoset.ctf.measure import MeasuredCtf, measure
from tomoset.ctf.options import CtfOptions
from tomoset.ctf.prior import Course, course_of
from tomoset.ctf.sectors import SECTORS, Sectors
from tomoset.ctf.seen import evidence
from tomoset.ctf.terms import Envelope, ImageLikelihood
from tomoset.errors import ModelError
from tomoset.formats import defocus_texts
from tomoset.hand.rings import Tiles
from tomoset.images.ctf import Ctf
from tomoset.model import Tomogram


@cache
def series() -> tuple[Tomogram, Images, np.ndarray]:
    """Without defocus, its images, and the truth: one image shows nothing."""
    tomogram, images = hand_series(Wanted(n=11, seed=4, inclined=8.0))
    assert tomogram.defocus_u is not None
    assert tomogram.defocus_v is not None
    truth = (tomogram.defocus_u + tomogram.defocus_v) / 2
    bare = replace(tomogram, defocus_u=None, defocus_v=None, defocus_angle=None)
    stack = images.images.copy()
    stack[3] = 7.0
    return bare, Images(stack), truth


@cache
def found() -> MeasuredCtf:
    tomogram, images, _ = series()
    return measure(tomogram, images, CtfOptions(), 2)  # type: ignore[arg-type]


def test_images_tell_their_defocus_and_how_sure_it_is() -> None:
    _, _, truth = series()
    m = found()
    error = m.defocus - truth
    shown = np.arange(11) != 3
    assert m.told[shown].sum() >= 8
    assert (np.abs(error / m.defocus_error)[m.told] < 4).all()
    assert np.median(np.abs(error[m.told])) < 200
    assert (m.defocus_error > 0).all()
    assert m.resolution[m.told].max() < 40
    assert abs(m.inclined[0] - 8) < 4 * m.inclined_error[0]
    assert m.hand_log_odds > 5


def test_an_image_that_shows_nothing_cannot_tell_and_has_what_the_others_predict() -> None:
    _, _, truth = series()
    m = found()
    assert not m.told[3]
    assert np.isinf(m.resolution[3])
    assert m.merit[3] == 0
    assert m.defocus_error[3] > np.median(m.defocus_error)
    assert abs(m.defocus[3] - truth[3]) < 4 * m.defocus_error[3]


def test_a_series_that_is_not_aligned_is_taken_as_the_stage_says() -> None:
    tomogram, images, truth = series()
    rows = np.arange(1, 11, 2)
    few = tomogram.select(rows)
    stage = replace(
        few,
        projections=None,
        nominal_tilts=few.tilt_angles,
        nominal_axis=few.tilt_axis_angles + 3.0,
    )
    m = measure(stage, Images(images.images[rows]), CtfOptions(low=15000, high=50000))  # type: ignore[arg-type]
    error = (m.defocus - truth[rows])[m.told]
    assert (np.abs(error) < 4 * m.defocus_error[m.told]).all()
    with pytest.raises(ModelError, match="direction of the tilt axis"):
        measure(replace(stage, nominal_axis=None), images, CtfOptions())  # type: ignore[arg-type]


def test_what_cannot_be_measured_is_refused() -> None:
    tomogram, images, _ = series()
    with pytest.raises(ModelError, match="at least 3"):
        measure(tomogram.select([5]), images, CtfOptions())  # type: ignore[arg-type]
    coarse = replace(tomogram, optics=replace(tomogram.optics, pixel_size=40.0))
    with pytest.raises(ModelError, match=r"too coarse .* pixels of 5\.3 Å"):
        measure(coarse, images, CtfOptions())  # type: ignore[arg-type]
    noise = np.random.default_rng(1).standard_normal((3, 384, 400))
    with pytest.raises(ModelError, match="show no Thon rings of a defocus of"):
        measure(tomogram.select([4, 5, 6]), Images(noise), CtfOptions())  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"0\.2 and 20 µm"):
        CtfOptions(low=30000, high=20000)


def test_a_table_is_compared_in_units_of_the_error() -> None:
    m = found()
    off = np.zeros(11)
    off[[0, 3]] = 3000.0
    said = compare(m, m.defocus_u + off, m.defocus_v + off, m.angle)
    assert said.contradicts.tolist() == [i == 0 and bool(m.told[0]) for i in range(11)]
    np.testing.assert_allclose(said.deviations, off / m.defocus_error, atol=1e-9)
    np.testing.assert_allclose(said.astigmatism, 0, atol=1e-6)


def some_sectors(bands: int = 12) -> Sectors:
    """Noise about nothing."""
    rng = np.random.default_rng(0)
    shape = 6, SECTORS, bands

    def values(scale: float) -> np.ndarray:
        return (scale * (rng.normal(size=shape) + 1j * rng.normal(size=shape))).astype(np.complex64)

    return Sectors(
        values=values(0.3),
        number=rng.uniform(5, 20, shape[1:]),
        weight=rng.uniform(0.5, 1, 6),
        noise=values(0.4),
        lopsided=values(0.4),
        mirrored=values(0.4),
        k2=np.linspace(1e-4, 1e-2, bands),
        defocus=rng.uniform(19000, 21000, shape[:2]),
        phase_shift=0.3,
        voltage=300.0,
    )


def test_derivatives_of_the_likelihood_are_those_of_differences() -> None:
    image = ImageLikelihood(some_sectors())
    heights, slopes = np.linspace(-900, 900, 6), np.random.default_rng(2).normal(0, 50, (6, 3))
    own, step = np.array([20200.0, 300.0, -200.0, 0.4]), np.array([5.0, 5.0, 5.0, 0.005])
    envelope = Envelope(np.linspace(0.5, 0.1, 12), 1e9 * np.eye(12))

    def value(change: np.ndarray, pose: np.ndarray) -> float:
        return image.terms(own + change, heights + slopes @ pose, slopes, envelope).value

    there = image.terms(own, heights, slopes, envelope)
    zero = np.zeros(3)
    for i in range(4):
        by = step * (np.arange(4) == i)
        difference = (value(by, zero) - value(-by, zero)) / (2 * step[i])
        assert there.gradient[i] == pytest.approx(difference, rel=0.02, abs=1e-4)
    for i in range(3):
        by = 0.05 * (np.arange(3) == i)
        difference = (value(0 * step, by) - value(0 * step, -by)) / 0.1
        assert there.gradient[4 + i] == pytest.approx(difference, rel=0.02, abs=1e-2)


def test_kernels_do_what_slow_code_does() -> None:
    from tomoset.ctf import _kernels

    rng = np.random.default_rng(7)
    planes = rng.normal(size=(9, 40, 3, 5)).astype(np.float32)
    planes[7:] = np.abs(planes[7:])
    off, rate = rng.normal(0, 4000, (40, 4)), np.linspace(1e-4, 6e-3, 5)
    off[:, 3] /= 4000
    value, noise, mirrored = planes[:6:2] + 1j * planes[1:6:2].astype(np.complex128)
    wave = np.exp(1j * (off[:, :3, None] * rate + off[:, 3, None, None] - planes[6]))
    rings = -0.5 * (wave + mirrored * wave.conj())

    def inner(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.asarray(planes[7] * one.real * other.real + planes[8] * one.imag * other.imag)

    of = [a.astype(np.float32) for a in (off, rate)]
    sums = np.zeros((4, 5))
    _kernels.band_sums(planes, *of, sums)
    expected = [inner(rings, x).sum(axis=(0, 1)) for x in (value, rings, noise, 1j * noise)]
    np.testing.assert_allclose(sums, expected, atol=1e-3)

    height, error = rng.uniform(0, 1, 5), rng.normal(size=5) * (1 + 1j)
    slopes = rng.normal(size=(40, 3))
    model = np.stack([height, error.real, error.imag]).astype(np.float32)
    each, shared = np.empty((5, 40, 3)), np.zeros((3, 6, 5))
    _kernels.change_sums(planes, *of, model, slopes.astype(np.float32), (each, shared))
    change = -0.5j * height * (wave - mirrored * wave.conj())
    pull = inner(change, value - height * rings - noise * error)
    stiff = inner(change, change)
    found = [pull @ rate, pull.sum(-1), stiff @ rate**2, stiff @ rate, stiff.sum(-1)]
    for one, other in zip(each, found, strict=True):
        np.testing.assert_allclose(one, other, atol=3e-5 * np.abs(other).max())
    for one, x in zip(shared, (rings, noise, 1j * noise), strict=True):
        other = inner(change, x)
        by_slope = np.einsum("tq,tsb->qb", slopes, other)
        np.testing.assert_allclose(one, [*other.sum(axis=0), *by_slope], atol=1e-3)


def test_bands_say_what_the_likelihood_of_an_envelope_is() -> None:
    image, heights = ImageLikelihood(some_sectors()), np.linspace(-900, 900, 6)
    own, height = np.array([20200.0, 300.0, -200.0, 0.4]), np.linspace(0.4, 0.2, 12)
    y, square = image.bands(own, heights)
    envelope = Envelope(height, np.eye(12))
    value = image.terms(own, heights, np.zeros((6, 3)), envelope).value
    assert value == pytest.approx(height @ y - height @ square @ height / 2, rel=1e-3)


def test_merged_bands_say_the_same() -> None:
    sectors = some_sectors(96)
    fine = replace(sectors, k2=np.linspace(1e-3, 1.02e-3, 96))  # of nearly the same frequency
    merged = fine.merged(fine.defocus + 100.0, 0.1, 1000.0)
    assert len(merged.k2) == 32
    shape = 6, SECTORS, 32, 3
    number = fine.number.reshape(shape[1:])
    mean = (fine.values.reshape(shape) * number).sum(axis=3) / number.sum(axis=2)
    rate = 2 * np.pi * 0.0196876 * 1.01e-3
    expected = mean * np.exp(-1j * (100 * rate + 2 * (0.1 - 0.3)))
    np.testing.assert_allclose(merged.values, expected, atol=2e-3)


def test_what_others_predict_is_what_is_predicted_without_the_image() -> None:
    rng = np.random.default_rng(3)
    angles, course = np.linspace(-60, 60, 9), Course(300.0, 80.0)
    means, deviations = 30000 + rng.normal(0, 300, 9), np.full(9, 70.0)
    mean, error = course.predicted(angles, means, deviations)
    rest = np.arange(9) != 4
    whole = course.covariance(angles) + 1e10
    inverse = np.linalg.inv(whole[np.ix_(rest, rest)] + np.diag(deviations[rest] ** 2))
    across = whole[4, rest] @ inverse
    centre = np.median(means)
    assert mean[4] == pytest.approx(centre + across @ (means[rest] - centre), abs=0.5)
    assert error[4] == pytest.approx(np.sqrt(whole[4, 4] - across @ whole[rest, 4]), rel=1e-3)


def test_odds_of_rings_are_means_over_what_others_predict() -> None:
    angles, course = np.linspace(-60, 60, 9), Course(800.0, 300.0)
    single, deviation = np.full(9, 30000.0), np.linspace(60, 140, 9)
    fit = Fit(
        parameters=Parameters(own=np.zeros((9, 4)), pose=np.zeros(3)),
        covariance=np.eye(39),
        seen=(),
        thickness=0.0,
        single=single,
        deviation=deviation,
        rings=np.full(9, 12.0),
        value=0.0,
    )
    odds = evidence(fit, course, angles)
    mean, error = course.predicted(angles, single, deviation)
    defoci = np.arange(20000.0, 40000.0, 5.0)
    prior = np.exp(-0.5 * ((defoci - mean[4]) / error[4]) ** 2)
    likely = np.exp(12 - 0.5 * ((defoci - single[4]) / deviation[4]) ** 2)
    assert odds[4] == pytest.approx(np.log((prior * likely).sum() / prior.sum()), abs=1e-3)


def test_an_image_that_jumps_does_not_loosen_the_others() -> None:
    angles = np.linspace(-60, 60, 41)
    means = 30000.0 + np.random.default_rng(1).normal(0, 40, 41)
    means[7] += 20000
    course = course_of(angles, means, np.full(41, 30.0))
    assert np.hypot(course.smooth, course.rough) < 200


def test_cropped_images_keep_waves_and_places() -> None:
    x = np.arange(300)[None, :] + np.zeros((260, 1))
    wave = np.cos(2 * np.pi * x / 20).astype(np.float32)
    cropped = CroppedImages(Images(wave[None]), 1.0, 8.0)  # type: ignore[arg-type]
    assert cropped.factor == 3.625
    assert cropped.pixel_size == cropped.factor
    inner = cropped.read(0)[20:40, 20:60]
    places = cropped.before(np.arange(20, 60))
    np.testing.assert_allclose(inner, np.cos(2 * np.pi * places / 20)[None] + 0 * inner, atol=0.05)


def test_images_are_read_once_and_kept_as_far_as_memory_goes() -> None:
    rng = np.random.default_rng(4)
    images = Images(rng.normal(30, 4, (5, 330, 300)))
    asked: list[int] = []

    class Counted(Images):
        def read(self, i: int) -> np.ndarray:
            asked.append(i)
            return images.read(i)

    size = 2 * math.prod(CroppedImages(images, 1.0, 4.3).size)  # type: ignore[arg-type]
    kept = KeptImages(Counted(images.images), 1.0, 4.3, 2, 3 * size)  # type: ignore[arg-type]
    for _ in range(2):
        for i in range(5):
            image = kept.read(i)
            plain = CroppedImages(images, 1.0, 4.3).read(i)  # type: ignore[arg-type]
            plain -= plain.mean()
            np.testing.assert_allclose(image, plain / plain.std(), atol=2e-3)
    assert sorted(asked) == [0, 1, 2, 3, 3, 4, 4]
    np.testing.assert_allclose(kept.levels, [np.median(i[::4, ::4]) for i in images.images])
    coarser = kept.coarser(8.0)
    assert coarser.factor == pytest.approx(kept.factor * coarser.pixel_size / kept.pixel_size)
    some = coarser.some(np.array([4, 1]))
    assert (some.size, some.factor, len(some)) == (coarser.size, coarser.factor, 2)
    np.testing.assert_array_equal(some.read(1), coarser.read(1))
    blank = KeptImages(Images(np.full((1, 64, 64), 9.0)), 4.0, 4.3, 1)  # type: ignore[arg-type]
    assert not blank.read(0).any()


def test_thickness_is_told_by_levels_where_these_say_it() -> None:
    rng = np.random.default_rng(8)
    tilts = np.linspace(-60, 60, 31)
    path = 2000 / np.cos(np.deg2rad(tilts + 10))
    levels = 50 * np.exp(-path / 3300) * rng.normal(1, 0.01, 31)
    levels[[4, 20]] *= 0.01
    found = absorbed(tilts, levels, 300.0)
    assert found is not None
    assert abs(found.thickness - 2000) < 400
    assert 400 < found.deviation < 900
    thinner = absorbed(tilts, levels, 200.0)
    assert thinner is not None
    assert thinner.thickness / found.thickness == pytest.approx(0.806, abs=0.01)  # (v/c)^2
    for odd in (levels - levels.mean(), rng.uniform(1, 9, 31), np.full(31, 7.0), levels[:4]):
        assert absorbed(tilts[: len(odd)], odd, 300.0) is None


def test_a_table_that_images_contradict_is_a_finding_of_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tomogram, images, truth = series()
    write_images("TS_01.mrc", images.images, 5.4)
    bare = replace(tomogram, stack="TS_01.mrc")
    asked: list[int] = []

    def counted(*args: object) -> MeasuredCtf:
        asked.append(args[0].n_tilts)  # type: ignore[attr-defined]
        return measure(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(sys.modules["tomoset.check._rings"], "measure", counted)

    def said(off: np.ndarray) -> list[str]:
        u = truth + off
        t = replace(bare, defocus_u=u, defocus_v=u, defocus_angle=0 * u)
        return [p.message for p in check(TomogramSet([t]), images=True) if p.code == "C07"]

    assert said(np.zeros(11)) == []
    (found,) = said(np.full(11, 4000.0))
    assert "but the Thon rings of" in found
    assert asked == [min(9, int((np.abs(tomogram.tilt_angles) <= 45).sum()))] * 2
    assert not [p for p in check(TomogramSet([bare]), images=True) if p.code == "C07"]
    assert len(asked) == 2


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tomogram, images, _ = series()
    write_images("TS_01.mrc", images.images, 5.4)
    made = replace(tomogram, stack="TS_01.mrc", hand_log_odds=-20.0)
    TomogramSet([made]).write("tomograms.star", "relion4")
    return tmp_path


def run(*args: str) -> int:
    try:
        return int(main(list(args)) or 0)
    except SystemExit as end:
        return int(end.code or 0)


def test_a_set_gets_its_defocus_with_errors_and_keeps_all_else(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tomoset.programs.estimate_ctf.measure", lambda *_: found())
    assert run("ctf", "--t", "tomograms.star", "--o", "Ctf", "--tables", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert any("tilt image" in w and "cannot tell" in w for w in said["warnings"])
    before, after = tomoset.read("tomograms.star")["TS_01"], tomoset.read("Ctf/tomograms.star")
    t, m = after["TS_01"], found()
    np.testing.assert_allclose(t.defocus_u, m.defocus_u, atol=0.06)
    np.testing.assert_allclose(t.deviations["defocus"], m.defocus_error, atol=0.06)
    np.testing.assert_allclose(t.ctf_figure_of_merit, m.merit, atol=0.001)
    assert t.ctf_max_resolution is not None
    assert t.ctf_max_resolution[3] == 999
    np.testing.assert_allclose(t.projections, before.projections)
    assert t.hand == before.hand
    assert t.hand_log_odds == before.hand_log_odds
    assert "_rlnCtfMaxResolution" in Path("Ctf/tomograms.star").read_text()
    report = star.read("Ctf/ctf_TS_01.star")
    assert report["tilts"].floats("tomosetDefocusError")[2] == pytest.approx(
        m.defocus_error[2], rel=1e-4
    )
    assert Path("Ctf/TS_01.png").stat().st_size > 5000


def test_tables_of_any_program_are_compared_and_what_differs_is_said(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    m, t = found(), tomoset.read("tomograms.star")["TS_01"]
    monkeypatch.setattr("tomoset.programs.estimate_ctf.measure", lambda *_: m)
    off = replace(
        t, defocus_u=m.defocus_u + 700, defocus_v=m.defocus_v + 500, defocus_angle=m.angle
    )
    Path("TS_01.txt").write_text(defocus_texts(off)[0])
    Path("TS_01.defocus").write_text(defocus_texts(off)[1])
    TomogramSet([replace(t, name="TS_00"), off]).write("four.star", "relion4")
    middle = np.array(off.need_size()) / 2  # where defocus holds in RELION 5
    TomogramSet([replace(off, depth_origin=middle)]).write("five.star", "relion5")
    rms = np.sqrt(np.mean((600 / m.defocus_error[m.told]) ** 2))
    for table in ("TS_01.txt", "{name}.defocus", "four.star", "tilt_series/{name}.star"):
        args = ("ctf", "tomograms.star", "--o", "Ctf", "--overwrite", "--figures", "none")
        assert run(*args, "--compare", table) == 0, capsys.readouterr()
        said = capsys.readouterr()
        assert f"off by +600 Å (median; {rms:.1f} standard" in said.out, said.out
        assert "its astigmatism by 200 Å" in said.out
        wrong = m.told & (4 * m.defocus_error < 600)
        assert f"contradicts {wrong.sum()} images" in said.out
        assert "the table contradicts the Thon rings of" in said.err
        report = star.read("Ctf/ctf_TS_01.star")["tilts"]
        np.testing.assert_allclose(report.floats("tomosetTableDefocusOff"), 600, atol=0.2)
        deviations = report.floats("tomosetTableDeviations")
        np.testing.assert_allclose(deviations, 600 / m.defocus_error, rtol=1e-3)
    assert run("ctf", "tomograms.star", "--o", "New", "--compare", "five.star") == 1
    assert "give one of these" in capsys.readouterr().err


def test_wrong_options_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ctf", "tomograms.star", "--o", "Ctf", "--defocus", "5", "1") == 2
    assert "smaller one first" in capsys.readouterr().err
    assert run("ctf", "tomograms.star") == 2


def test_smeared_phases_are_means_over_windows() -> None:
    """By the sum over all pairs of pixels of a small tile."""
    from tomoset.hand.rings import Bands, TileSpectra

    bands, tiles = Bands(0.0005, 0.012, 5), Tiles(32, np.array([[0, 0]]))
    spectra = TileSpectra((64, 64), 4.0, bands, tiles, 2)
    flat = Ctf(
        defocus_u=0.0,
        defocus_v=0.0,
        defocus_angle=0.0,
        voltage=300.0,
        spherical_aberration=0.0,
        amplitude_contrast=0.0,
    )
    np.testing.assert_allclose(spectra.smeared(flat, 4), 1, atol=1e-5)
    far = replace(flat, defocus_u=3e5, defocus_v=3e5)
    assert np.abs(spectra.smeared(far, 4)[:, 2:]).max() < 0.1
    half = replace(flat, defocus_u=2000.0, defocus_v=2000.0)
    doubled = replace(flat, defocus_u=4000.0, defocus_v=4000.0)
    np.testing.assert_allclose(spectra.smeared(half, 4), spectra.smeared(doubled, 2), atol=1e-5)
