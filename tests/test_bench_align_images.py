"""The benchmark of alignments without markers runs, and tells right from wrong."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tomoset

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import aligners
import bench_align_images as bench
import twins
from twins_images import Optics
from twins_recipes import KINDS

#: Nine small images: what it takes to go through all code.
TINY = replace(
    KINDS["small"],
    course=replace(KINDS["small"].course, tilts=9, limit=24.0, tracking=4.0),
    optics=Optics(size=(128, 120), pixel_size=10.8),
    thickness=(500.0, 500.0),
    faults=("dark", "hot", "gradient"),
    snr=2.0,
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "tiny", TINY)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Series are made once for all tests."""
    return tmp_path_factory.mktemp("twins")


def task(folder: Path, aligner: str) -> bench.Task:
    return bench.Task(kind="tiny", seed=2, snr=2.0, aligner=aligner, cache=str(folder))


def test_a_series_is_written_as_a_user_has_it(cache: Path, tmp_path: Path) -> None:
    twin = twins.cached("tiny", 2, cache)
    tomogram = tomoset.read(twins.write(twin, tmp_path))["tiny_2"]
    assert tomogram.size == twin.size
    assert np.allclose(tomogram.projections, twin.start, atol=1e-4)
    assert np.allclose(tomogram.nominal_tilts, twin.nominal)
    assert np.allclose(tomogram.pre_exposure, twin.pre_exposure)
    assert list(twin.bad.values()) == ["dark"]


def test_half_images_are_of_half_the_electrons(cache: Path, tmp_path: Path) -> None:
    twin = replace(twins.cached("tiny", 2, cache), faults=())
    twin = twins.renoised(twin, 2.0)
    even, odd = twins.halves(twin)
    assert np.allclose((even + odd) / 2, twin.images, atol=1e-5)
    plain = [i for i in range(9) if i not in twin.bad]
    apart, own = (even - odd)[plain] / 2, (twin.images - twin.clean * twin.fixed)[plain]
    assert np.allclose(apart.var(axis=(1, 2)), own.var(axis=(1, 2)), rtol=0.05)
    assert abs(np.corrcoef(apart.ravel(), own.ravel())[0, 1]) < 0.02
    tomogram = tomoset.read(twins.write_halves(twin, tmp_path))["tiny_2"]
    assert tomogram.half_images is not None
    assert [len(half) for half in tomogram.half_images] == [9, 9]


def test_the_noise_is_what_was_asked_for(cache: Path) -> None:
    twin = twins.cached("tiny", 2, cache, snr=0.2)
    again = twins.cached("tiny", 2, cache, snr=0.2)
    assert np.array_equal(twin.images, again.images)
    good = [i for i in range(9) if i not in twin.bad]
    ratio = (twin.signal / twin.noise_variance)[good].mean()
    assert ratio == pytest.approx(0.2, rel=1e-3)
    plain = replace(twin, faults=(), bad={}, fixed=np.ones_like(twin.fixed))
    noise = twins.renoised(plain, 0.2)
    measured = (noise.images - noise.clean).var(axis=(1, 2)) / noise.clean.mean(axis=(1, 2)) ** 2
    assert np.allclose(measured, noise.noise_variance, rtol=0.05)


def test_the_truth_is_right_and_the_start_is_not(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def knows(twin: twins.Twin, path: str, threads: int) -> aligners.Found:
        del path, threads
        flagged = np.isin(np.arange(9), list(twin.bad))
        return aligners.Found(
            projections=twin.truth,
            deviations=np.full((9, 2), 0.1),
            flagged=flagged,
            thickness=twin.thickness,
            inclination=twin.inclination,
        )

    def starts(twin: twins.Twin, path: str, threads: int) -> aligners.Found:
        return replace(knows(twin, path, threads), projections=twin.start)

    monkeypatch.setitem(aligners.ALIGNERS, "knows", knows)
    monkeypatch.setitem(aligners.ALIGNERS, "starts", starts)
    right, wrong = bench.run(task(cache, "knows")), bench.run(task(cache, "starts"))
    assert right.worst < 1e-6
    assert (right.bad_flagged, right.false_flagged, right.bad) == (1, 0, 1)
    assert max(abs(right.thickness), right.inclination, abs(right.axis)) < 1e-6
    assert wrong.median > 1.0
    assert wrong.z > 3.0
    assert "1/1" in right.row()
    assert "silent" in bench.summary([right, wrong])


def test_a_chain_of_correlations_aligns_and_what_is_absent_is_said(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "tiny", replace(TINY, faults=(), course=replace(
        TINY.course, doming=(0.0, 0.0), restless=0.0
    )))  # fmt: skip
    monkeypatch.delenv("PEER_PYTHON", raising=False)
    found = bench.run(task(cache, "chain"))
    assert found.median < 0.5
    assert 0.0 < found.bound < 5.0
    absent = bench.attempt(task(cache, "torch-tiltxcorr"))
    assert isinstance(absent, str)
    assert "--peer-python" in absent
