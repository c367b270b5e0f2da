"""Beads are gone, and nobody sees where they were: in numbers, and from the command line."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import scipy.fft

import tomoset
from tests.builders.image_stacks import mrc_bytes, write_images
from tomoset import geometry, star
from tomoset.cli import main
from tomoset.errors import FileFormatError, ModelError
from tomoset.fiducials.erase import _drawn, _spectrum, erase
from tomoset.fiducials.erase_series import bead_centres
from tomoset.fiducials.options import EraseOptions
from tomoset.formats._relion_sets import write_fiducials
from tomoset.images.stack import open_stack
from tomoset.images.statistics import Values
from tomoset.model import Fiducials, Optics, Tomogram, TomogramSet
from tomoset.model.observations import Observations
from tomoset.programs.erase_fiducials import erase_fiducials

#: A series of the set has some images of a larger stack, in another order.
pytestmark = pytest.mark.filterwarnings("ignore:.*takes row i for image i:tomoset.LossyWarning")

R = 9.3


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(n: int, kind: str, seed: int = 1) -> np.ndarray:
    """A square of noise with a known spectrum."""
    k = np.hypot(scipy.fft.fftfreq(n)[:, None], scipy.fft.rfftfreq(n))
    power = {
        "white": 1.0 + 0 * k,
        "detector": np.exp(-((k / 0.35) ** 2)),
        "ice": 0.3 + 20 / (1 + (k * 40) ** 2),
        "rings": 0.3 + 3 * np.sin(np.pi * (k / 0.13) ** 2) ** 2 * np.exp(-((k / 0.2) ** 2)),
        "lines": 0.3 + 3 * np.exp(-((scipy.fft.fftfreq(n)[:, None] / 0.1) ** 2)) + 0 * k,
    }[kind]
    white = rng(seed).standard_normal((n, n))
    image = scipy.fft.irfft2(scipy.fft.rfft2(white) * np.sqrt(power), (n, n))
    return image / image.std()


def grid(n: int, step: float, seed: int = 2) -> np.ndarray:
    at = np.arange(step / 2, n - step / 2, step)
    places = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
    return places + rng(seed).uniform(-2, 2, places.shape)


def inside(shape: tuple[int, ...], centres: np.ndarray, radius: float = R) -> np.ndarray:
    covered = np.zeros(shape, bool)
    for cx, cy in centres:
        first = np.maximum(np.array([cy, cx]) - radius - 1, 0).astype(int)
        part = covered[first[0] :, first[1] :][: int(2 * radius + 3), : int(2 * radius + 3)]
        y, x = np.indices(part.shape)
        part |= (x + first[1] - cx) ** 2 + (y + first[0] - cy) ** 2 <= radius**2
    return covered


def powers(image: np.ndarray, centres: np.ndarray, side: int) -> np.ndarray:
    """Mean power in squares about places: of all, along x and along y, in bands of frequency."""
    window = np.outer(*[np.hanning(side + 2)[1:-1]] * 2)
    found = np.zeros((side, side))
    for x, y in np.rint(centres).astype(int):
        part = image[y - side // 2 :, x - side // 2 :][:side, :side]
        found += np.abs(np.fft.fft2((part - part.mean()) * window)) ** 2
    ky, kx = np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side), indexing="ij")
    k = np.hypot(kx, ky)
    bands = [(k > a) & (k <= b) for a, b in ((0.02, 0.15), (0.15, 0.3), (0.3, 0.5))]
    bands += [(abs(ky) < 0.08) & (k > 0.1), (abs(kx) < 0.08) & (k > 0.1)]
    return np.array([found[band].mean() for band in bands]) / len(centres)


@pytest.mark.parametrize(
    "kind",
    [
        "white",
        "detector",
        *(pytest.param(k, marks=pytest.mark.slow) for k in ("ice", "rings", "lines")),
    ],
)
def test_erased_discs_have_the_statistics_of_their_surroundings(kind: str) -> None:
    """Mean, variance and spectrum inside are those of the same places before there was a bead."""
    clean = noise(820, kind)
    centres = grid(820, 4.4 * R)
    hidden = inside(clean.shape, centres)
    image = (100 + 10 * np.where(hidden, clean - 30, clean)).astype(np.float32)
    erased = (erase(image, centres, R, rng()) - 100) / 10
    assert np.array_equal(erased[~hidden], ((image - 100) / 10)[~hidden])
    # The mean of a disc varies as it does elsewhere: these are some 300.
    assert abs(erased[hidden].mean()) < 0.06
    assert erased[hidden].var() == pytest.approx(clean[~hidden].var(), rel=0.05)
    elsewhere = centres + 2.2 * R
    elsewhere = elsewhere[(elsewhere < 810).all(axis=1)]
    assert powers(erased, centres, 12) == pytest.approx(powers(clean, elsewhere, 12), rel=0.08)
    # No seam: neighbours across the edge differ as neighbours do.
    step = np.abs(np.diff(erased, axis=1))
    seam = hidden[:, 1:] != hidden[:, :-1]
    assert step[seam].mean() == pytest.approx(step[~hidden[:, 1:] & ~seam].mean(), rel=0.04)


def test_draws_have_the_conditional_mean_and_covariance() -> None:
    """Against the dense formula: mean K_hk K_kk^-1 d and covariance K_hh - K_hk K_kk^-1 K_kh."""
    n = 12
    y, x = np.indices((n, n))
    known = (x - 5.2) ** 2 + (y - 6.1) ** 2 > 4.5
    lag = np.minimum(np.arange(n), n - np.arange(n))
    correlation = np.exp(-np.hypot(lag[:, None], lag) / 3) + 0.3 * (lag[:, None] + lag == 0)
    spectrum = scipy.fft.rfft2(correlation).real
    assert spectrum.min() > 0
    rows, columns = (a.ravel() for a in (y, x))
    k = correlation[np.subtract.outer(rows, rows) % n, np.subtract.outer(columns, columns) % n]
    h, o = ~known.ravel(), known.ravel()
    weights = k[np.ix_(h, o)] @ np.linalg.inv(k[np.ix_(o, o)])
    data = noise(n, "white").astype(np.float32)
    mean = weights @ data.ravel()[o]
    covariance = k[np.ix_(h, h)] - weights @ k[np.ix_(o, h)]
    generator = rng()
    values = np.where(known, data, 0).astype(np.float32)
    draws = np.array([_drawn(values, known, spectrum.astype("f4"), generator) for _ in range(4000)])
    np.testing.assert_allclose(draws[:, known], np.tile(data[known], (4000, 1)), atol=1e-5)
    found = draws[:, ~known].astype(np.float64)
    np.testing.assert_allclose(found.mean(axis=0), mean, atol=0.07)
    np.testing.assert_allclose(np.cov(found.T), covariance, atol=0.1)


def test_the_spectrum_is_measured_around_holes() -> None:
    """Holes do not change it, but for its accuracy."""
    image = noise(384, "rings")
    ground = ~inside(image.shape, grid(384, 60), 14)
    k = np.hypot(scipy.fft.fftfreq(384)[:, None], scipy.fft.rfftfreq(384))
    true = 0.3 + 3 * np.sin(np.pi * (k / 0.13) ** 2) ** 2 * np.exp(-((k / 0.2) ** 2))
    found = _spectrum(np.where(ground, image, 0), ground)
    for low in np.arange(0.02, 0.48, 0.02):
        band = (k >= low) & (k < low + 0.02)
        expected = true[band].mean() / true.mean()
        assert found[band].mean() == pytest.approx(expected, rel=0.1, abs=0.15)


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "f2", "f4", "f8", "i4"])
def test_data_types_are_kept(kind: str) -> None:
    dtype = np.dtype(kind)
    middle = 60 if dtype.kind == "i" else 120
    image = (middle + 25 * noise(140, "detector")).clip(-128, 255)
    if dtype.kind in "iu":
        image = np.rint(image).clip(np.iinfo(dtype).min, np.iinfo(dtype).max)
    image = image.astype(dtype)
    before, centres = image.copy(), np.array([[70.0, 60.5], [3.0, 137.0]])
    erased = erase(image, centres, R, rng())
    hidden = inside(image.shape, centres)
    assert erased.dtype == dtype
    assert np.array_equal(image, before)
    assert np.array_equal(erased[~hidden], image[~hidden])
    assert (erased[hidden] != image[hidden]).mean() > 0.8
    assert erased[hidden].astype(float).std() == pytest.approx(25, rel=0.25)
    assert np.array_equal(erased, erase(image, centres, R, rng()))
    assert not np.array_equal(erased, erase(image, centres, R, rng(2)))


def test_integers_are_limited() -> None:
    image = np.full((100, 100), 250, np.uint8)
    image[::2] = 255
    image[1::2, ::2] = 240
    erased = erase(image, [[50, 50]], R, rng())
    assert erased.min() > 200


@pytest.mark.parametrize(
    "centres",
    [
        [[60, 60], [66, 60], [63, 68], [60, 60]],  # overlapping, and one twice
        [[0, 50], [119.4, 60], [60, -4], [60, 122]],  # across the edges
        [[-3, -3], [123, 124], [0, 119]],  # in corners
        [[40 + 14 * i, 40 + 14 * j] for i in range(4) for j in range(4)],  # a crowd
    ],
)
def test_beads_that_overlap_or_touch_the_edge_are_erased(centres: list[list[float]]) -> None:
    """Nothing of any bead is left, and none is taken for the ground of another."""
    clean = noise(120, "detector")
    hidden = inside(clean.shape, np.array(centres))
    image = np.where(hidden, -80, clean).astype(np.float32)
    erased = erase(image, centres, R, rng())
    assert np.array_equal(erased[~hidden], image[~hidden])
    assert abs(erased[hidden]).max() < 5.5
    assert erased[hidden].std() == pytest.approx(1, abs=0.2)
    assert abs(erased[hidden].mean()) < 0.35


def test_beads_outside_of_the_image() -> None:
    image = noise(80, "white")
    far = [[-20, 40], [40, 1e6], [-1e9, -1e9], [40, 90], [91.2, 91.2]]
    assert np.array_equal(erase(image, far, R, rng()), image)
    assert np.array_equal(erase(image, np.empty((0, 2)), R, rng()), image)


def test_an_inclined_background_is_continued() -> None:
    y, x = np.indices((160, 160))
    image = (0.5 * x - 0.2 * y + 0.1 * noise(160, "white")).astype(np.float32)
    for centre in ([80.0, 80.0], [2.0, 100.0]):
        erased = erase(image, [centre], 20, rng())
        assert abs(erased - image).max() < 1


def test_outliers_beside_a_bead_do_not_spread() -> None:
    image = noise(160, "detector").astype(np.float32)
    image[100, 100:104] = 1e6  # hot pixels just outside, and another bead that nobody knows
    image[10:30, 10:30] = -60
    image[20, 130], image[21, 130] = np.nan, np.inf
    with np.errstate(all="raise"):
        erased = erase(image, [[95.0, 94.0]], 8, rng())
    hidden = inside(image.shape, np.array([[95.0, 94.0]]), 8)
    assert np.array_equal(erased[~hidden], image[~hidden], equal_nan=True)
    assert abs(erased[hidden]).max() < 5.5
    assert erased[hidden].std() == pytest.approx(1, abs=0.25)


def test_images_without_noise_are_filled() -> None:
    flat = np.full((60, 60), 7, np.int16)
    flat[28:33, 28:33] = 90
    assert (erase(flat, [[30, 30]], 6, rng()) == 7).all()
    sparse = (rng().uniform(size=(200, 200)) < 0.05).astype(np.uint8)  # counts of electrons
    erased = erase(sparse, grid(200, 50), R, rng())
    assert erased[inside(sparse.shape, grid(200, 50))].mean() < 0.15


@pytest.mark.parametrize("shape", [(40, 40), (9, 300), (20, 60)])
def test_discs_without_enough_ground_around_are_refused(shape: tuple[int, int]) -> None:
    image = rng().normal(size=shape)
    with pytest.raises(ModelError, match="take a smaller radius"):
        erase(image, [[shape[1] / 2, shape[0] / 2]], 290, rng())
    small = erase(image, [[shape[1] / 2, shape[0] / 2]], 4, rng())
    assert abs(small).max() < 6


# From here on: from the command line.

SIZE = (90, 80)
TILTS = np.array([-40.0, 0.0, 40.0])
BEADS = np.array([[30.0, 30.0, 15.0], [60.0, 50.0, 12.0]])


def tomogram(name: str, **changes: object) -> Tomogram:
    t = Tomogram(
        name=name,
        n_tilts=3,
        optics=Optics(pixel_size=10.0),
        stack=f"images/{name}.mrcs",
        image_size=SIZE,
        size=(90, 80, 30),
        projections=geometry.rigid_projections(
            np.stack([0 * TILTS, TILTS, 85 + 0 * TILTS], axis=1),
            np.zeros((3, 2)),
            size=(90, 80, 30),
            image_size=SIZE,
        ),
        pre_exposure=np.array([3.0, 0.0, 6.0]),
        fiducials=f"beads/{name}.star",
    )
    return replace(t, **changes)  # type: ignore[arg-type]


def stack_of(n: int = 3, seed: int = 1) -> np.ndarray:
    images = [1000 + 50 * noise(SIZE[0], "detector", seed + i)[: SIZE[1]] for i in range(n)]
    return np.rint(images).astype(np.int16)


def with_beads(images: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.array(
        [np.where(inside(i.shape, c, 5.0), 100, i) for i, c in zip(images, centres, strict=True)]
    ).astype(images.dtype)


def write_stack(path: str, images: np.ndarray) -> None:
    Path(path).parent.mkdir(exist_ok=True)
    write_images(path, images, 10.0)


def read_stack(path: str) -> np.ndarray:
    with mrcfile.open(path) as file:
        return np.array(file.data)


def write_beads(name: str, fiducials: Fiducials | None = None, dialect: str = "relion4") -> None:
    Path("beads").mkdir(exist_ok=True)
    fiducials = Fiducials(points=BEADS) if fiducials is None else fiducials
    write_fiducials(fiducials, f"beads/{name}.star", dialect=dialect, pixel_size=10.0)


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two series with two beads each; images of the second are not in the order of its rows."""
    monkeypatch.chdir(tmp_path)
    one, other = tomogram("TS_01"), tomogram("TS_02", image_index=np.array([3, 0, 1]))
    at = one.project(BEADS)
    write_stack(str(one.stack), with_beads(stack_of(), at))
    images = stack_of(4, seed=7)
    images[[3, 0, 1]] = with_beads(images[[3, 0, 1]], at)
    write_stack(str(other.stack), images)
    for t in (one, other):
        write_beads(t.name)
    TomogramSet([one, other]).write("tomograms.star")
    return tmp_path


def go(*arguments: str, to: str = "E", given: str = "tomograms.star") -> int:
    return main(["erase-fiducials", given, "--o", to, *arguments])


def check_erased(erased: np.ndarray, before: np.ndarray, centres: np.ndarray) -> None:
    """All is as it was but for discs of 8 px, and no bead is left."""
    assert erased.dtype == before.dtype
    for new, old, at in zip(erased, before, centres, strict=True):
        hidden = inside(old.shape, at, 8.0)
        assert np.array_equal(new[~hidden], old[~hidden])
        assert new[hidden].min() > 1000 - 5.5 * 50
        assert new[hidden].astype(float).std() == pytest.approx(50, rel=0.25)


def test_all_series_of_a_set_are_erased(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert go("--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["done"] == ["TS_01", "TS_02"]
    assert said["results"]["TS_01"]["beads"] == 2
    made = tomoset.read("E/tomograms.star")
    at = made["TS_01"].project(BEADS)
    check_erased(read_stack("E/stacks/TS_01.mrc"), read_stack("images/TS_01.mrcs"), at)
    rows = read_stack("images/TS_02.mrcs")[[3, 0, 1]]
    check_erased(read_stack("E/stacks/TS_02.mrc"), rows, at)
    assert [t.stack for t in made.values()] == ["E/stacks/TS_01.mrc", "E/stacks/TS_02.mrc"]
    assert made["TS_01"].image_index is None
    assert made["TS_02"].image_index is not None
    assert made["TS_02"].image_index.tolist() == [0, 1, 2]
    assert [t.fiducials for t in made.values()] == ["beads/TS_01.star", "beads/TS_02.star"]
    assert main(["check", "E/tomograms.star"]) == 0
    with mrcfile.open("E/stacks/TS_02.mrc") as file:
        assert (int(file.header.mode), float(file.voxel_size.x)) == (1, 10.0)
        assert any(b"gold beads replaced" in bytes(label) for label in file.header.label)
    assert mrcfile.validate("E/stacks/TS_02.mrc")


def test_threads_and_processes_do_not_change_the_result(two: Path) -> None:
    assert go("--j", "1") == 0
    assert go("--j", "2", "--workers", "2", to="F") == 0
    for name in ("TS_01", "TS_02"):
        same = [Path(to, "stacks", f"{name}.mrc").read_bytes() for to in "EF"]
        assert same[0] == same[1]
        assert not np.array_equal(*read_stack(f"E/stacks/{name}.mrc")[:2])


def test_continue_erases_only_what_changed(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert go() == 0
    assert go("--continue", "--j", "1") == 0
    assert "(2 were there already)" in capsys.readouterr().out
    write_beads("TS_02", Fiducials(points=BEADS[:1]))
    assert go("--continue") == 0
    assert "(1 was there already)" in capsys.readouterr().out
    assert go("--continue", "--margin", "2") == 0
    said = capsys.readouterr()
    assert "erased the beads of 2 of 2 tomograms in" in said.out
    assert "done again" in said.err


def test_observed_positions_are_preferred_to_projections(two: Path) -> None:
    t = tomoset.read("tomograms.star")["TS_01"]
    at = t.project(BEADS)
    seen = Observations(bead=[1, 0], tilt=[0, 2], points=[[20, 60], [70, 20]])
    fiducials = Fiducials(points=BEADS, observations=seen)
    centres = bead_centres(t, fiducials)
    assert centres[0, 1].tolist() == [20, 60]
    assert centres[2, 0].tolist() == [70, 20]
    centres[0, 1], centres[2, 0] = at[0, 1], at[2, 0]
    assert np.array_equal(centres, at)
    write_beads("TS_01", fiducials)
    assert go("--tn", "TS_01") == 0
    erased, before = (read_stack(p) for p in ("E/stacks/TS_01.mrc", "images/TS_01.mrcs"))
    assert (erased[0] != before[0])[60, 20]
    assert np.array_equal(erased[1], erased[1])
    spared = np.rint(at[0, 1]).astype(int)
    assert erased[0][spared[1], spared[0]] == 100


def test_tomograms_without_fiducials(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    s = tomoset.read("tomograms.star")
    s.with_tomograms([replace(s["TS_01"], fiducials=None), s["TS_02"]]).write("one.star")
    assert go(given="one.star") == 0
    said = capsys.readouterr()
    assert "TS_01: no fiducials, so its stack stays as before" in said.err
    assert "erased the beads of 1 of 1 tomogram" in said.out
    made = tomoset.read("E/tomograms.star")
    assert made["TS_01"].stack == "images/TS_01.mrcs"
    assert made["TS_02"].stack == "E/stacks/TS_02.mrc"
    assert go("--tn", "TS_01", given="one.star", to="F") == 1
    assert "no tomogram has fiducials" in capsys.readouterr().err
    for name in ("TS_01", "TS_02"):
        Path(f"beads/{name}.star").write_bytes(b"")
    assert go(to="F") == 1
    assert "tomoset find-fiducials" in capsys.readouterr().err
    assert not Path("F").exists()


@pytest.mark.parametrize("fault", ["no file", "text", "no stack", "not aligned", "nan"])
def test_a_bad_series_stops_no_other(
    two: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    says = {
        "no file": "names the fiducials 'beads/TS_01.star', and there is no such file",
        "text": "not a file of fiducials",
        "no stack": "the images images/TS_01.mrcs are not there",
        "not aligned": "is not aligned",
        "nan": "1 of 7200 pixels are NaN",
    }[fault]
    if fault == "no file":
        Path("beads/TS_01.star").unlink()
    elif fault == "text":
        Path("beads/TS_01.star").write_text("data_\n_a 1\n")
    elif fault == "no stack":
        Path("images/TS_01.mrcs").unlink()
    elif fault == "nan":
        write_stack("images/TS_01.mrcs", stack_of().astype(np.float32))
        with open("images/TS_01.mrcs", "r+b") as file:
            file.seek(1024 + 4 * 9000)
            file.write(struct.pack("<f", np.nan))
    else:
        s = tomoset.read("tomograms.star")
        s.with_tomograms([replace(s["TS_01"], projections=None), s["TS_02"]]).write(
            "tomograms.star"
        )
    assert go() == 1
    said = capsys.readouterr()
    assert says in said.err
    assert "erased the beads of 1 of 2 tomograms" in said.out
    from tomoset.formats import read_without_images

    stacks = [t.stack for t in read_without_images("E/tomograms.star").values()]
    assert stacks == ["images/TS_01.mrcs", "E/stacks/TS_02.mrc"]
    assert os.listdir("E/stacks") == ["TS_02.mrc"]


def test_discs_as_large_as_images(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert go("--r", "2000") == 1
    said = capsys.readouterr()
    assert said.err.count("take a smaller radius") >= 2
    assert "no set was written" in said.out
    assert not list(Path("E").rglob("*.mrc"))


def test_inputs_and_foreign_files_are_never_replaced(
    two: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_stack("stacks/TS_02.mrc", stack_of())
    before = Path("stacks/TS_02.mrc").read_bytes()
    Path("sets").mkdir()
    os.rename("tomograms.star", "sets/tomograms.star")
    assert go(to=".", given="sets/tomograms.star") == 1
    assert "was not made by this command" in capsys.readouterr().err
    assert Path("stacks/TS_02.mrc").read_bytes() == before
    assert go(given="sets/tomograms.star") == 0
    stack = Path("E/stacks/TS_01.mrc").read_bytes()
    Path("copy").mkdir()
    tomoset.read("E/tomograms.star").write("copy/tomograms.star")
    assert go(given="copy/tomograms.star") == 1  # whose stacks are those that would be written
    assert "is read by this command" in capsys.readouterr().err
    assert Path("E/stacks/TS_01.mrc").read_bytes() == stack


def test_a_stop_leaves_no_half_stack(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tomoset.fiducials import erase_series

    real, calls = erase_series.erase, []

    def stops(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(erase_series, "erase", stops)
    assert go("--j", "1") == 130
    assert os.listdir("E/stacks") == ["TS_01.mrc"]
    made = tomoset.read("E/tomograms.star")
    assert [t.stack for t in made.values()] == ["E/stacks/TS_01.mrc", "images/TS_02.mrcs"]


@pytest.mark.slow
def test_relion5_with_single_images_and_halves(two: Path) -> None:
    s = tomoset.read("tomograms.star")
    images = []
    for i, image in enumerate(read_stack("images/TS_01.mrcs")):
        write_stack(f"images/{i}.mrc", image[None])
        images.append(f"images/{i}.mrc")
    t = replace(s["TS_01"], stack=None, images=tuple(images), image_index=None)
    TomogramSet([t], format="relion5").write("r5/tomograms.star")
    file = Path("r5/tilt_series/TS_01.star")
    table = star.read(file).first
    names = {
        f"rlnMicrographName{which}": [f"{i}@images/{which}.mrcs" for i in (3, 1, 2)]
        for which in ("Even", "Odd")
    }
    star.write(star.StarFile((table.with_columns(names),)), file)
    for which, seed in (("Even", 20), ("Odd", 30)):
        halves = with_beads(stack_of(seed=seed), t.project(BEADS)[[1, 2, 0]])
        write_stack(f"images/{which}.mrcs", halves)
    write_beads("TS_01", dialect="relion5")
    assert go(given="r5/tomograms.star") == 0
    made = tomoset.read("E/tomograms.star")["TS_01"]
    at = made.project(BEADS)
    check_erased(read_stack("E/stacks/TS_01.mrc"), read_stack("images/TS_01.mrcs"), at)
    for which in ("Even", "Odd"):
        before = read_stack(f"images/{which}.mrcs")[[2, 0, 1]]
        check_erased(read_stack(f"E/stacks/{which.lower()}/TS_01.mrc"), before, at)
    table = star.read("E/tilt_series/TS_01.star").first
    assert table["rlnMicrographName"][2] == "000003@E/stacks/TS_01.mrc:mrcs"
    assert table["rlnMicrographNameOdd"][0] == "000001@E/stacks/odd/TS_01.mrc:mrcs"
    more = ["--o", "T", "--bin", "2", "--halves"]
    assert main(["reconstruct", "E/tomograms.star", *more]) == 0


def test_an_optimisation_set_goes_on(two: Path) -> None:
    Path("particles.star").write_text("data_particles\n")
    Path("optimisation_set.star").write_text(
        "data_\n_rlnTomoTomogramsFile tomograms.star\n_rlnTomoParticlesFile particles.star\n"
    )
    assert main(["erase-fiducials", "--i", "optimisation_set.star", "--o", "E"]) == 0
    table = star.read("E/optimisation_set.star").first
    assert table["rlnTomoTomogramsFile"][0] == "E/tomograms.star"
    assert table["rlnTomoParticlesFile"][0] == "particles.star"


def test_wrong_options_are_refused(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, says in (
        (["--r", "0"], "above 0 Å"),
        (["--r", "nan"], "is not a number"),
        (["--margin", "0.5"], "from 1 to 10"),
        (["--tn", "TS_9"], "there are TS_01, TS_02"),
    ):
        assert go(*arguments) == 2
        assert says in capsys.readouterr().err
    assert not Path("E").exists()
    with pytest.raises(ModelError):
        EraseOptions(radius=-3)
    with pytest.raises(ModelError, match="no tomogram is called"):
        erase_fiducials(tomoset.read("tomograms.star"), "E", names=["x"])


# What the new stack is made like: `Stack.mrc_header` and `Stack.mrc_bytes`.


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("mode", [0, 1, 2, 6, 12, 101])
def test_a_copy_of_any_mode(tmp_path: Path, mode: int, order: str) -> None:
    """What is written from the images that were read is the file they are from."""
    size = (7, 5)
    kind = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2", 101: "u1"}[mode]
    values = rng().integers(0, 100, (3, 5, 4 if mode == 101 else 7))
    if mode == 101:
        values[..., -1] &= 15  # the last pixel of a row has no neighbour
    data = values.astype(np.dtype(kind).newbyteorder(order)).tobytes()
    content = mrc_bytes(data, mode, size=size, order=order, extended=80)
    (tmp_path / "a.st").write_bytes(content)
    with open_stack(tmp_path / "a.st") as stack:
        pieces = [stack.mrc_bytes(stack.read(i)) for i in (2, 0)]
        header = stack.mrc_header(2, Values(1, 2, 1.5, 0.5), "what was done")
    assert b"".join(pieces) == b"".join(
        data[i * len(pieces[0]) :][: len(pieces[0])] for i in (2, 0)
    )
    assert struct.unpack_from(f"{order}4i", header) == (7, 5, 2, mode)
    assert struct.unpack_from(f"{order}i", header, 92) == (0,)
    assert struct.unpack_from(f"{order}i", header, 220) == (1,)
    assert struct.unpack_from(f"{order}3f", header, 76) == (1, 2, 1.5)
    assert struct.unpack_from(f"{order}f", header, 216) == (0.5,)
    assert header[224:304] == b"what was done".ljust(80)
    with open_stack(tmp_path / "a.st") as stack:
        bright = np.full((5, 7), 200, stack.dtype) if mode == 101 else stack.read(0)
        assert max(stack.mrc_bytes(bright)) <= 255
        if mode == 101:
            assert stack.mrc_bytes(bright) == b"\xff\xff\xff\x0f" * 5


def test_labels_that_are_full_stay(tmp_path: Path) -> None:
    content = bytearray(mrc_bytes(bytes(35), 0, 1))
    struct.pack_into("<i", content, 220, 10)
    (tmp_path / "a.st").write_bytes(content)
    with open_stack(tmp_path / "a.st") as stack:
        assert stack.mrc_header(1, Values(), "more")[220:] == content[220:1024]


@pytest.mark.parametrize(
    ("kind", "mode"), [("u1", 6), ("i2", 1), ("u2", 6), ("f4", 2), ("f8", 2), ("i4", 2)]
)
def test_tiff_stacks_are_written_as_mrc(tmp_path: Path, kind: str, mode: int) -> None:
    tifffile = pytest.importorskip("tifffile")
    images = rng().integers(0, 200, (3, 5, 7)).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", images, photometric="minisblack", metadata=None)
    with open_stack(tmp_path / "a.tif") as stack:
        rows = [stack.read(i) for i in range(3)]
        header = stack.mrc_header(3, Values(), "done")
        written = [header, *(stack.mrc_bytes(row) for row in rows)]
    (tmp_path / "a.mrc").write_bytes(b"".join(written))
    assert mrcfile.validate(tmp_path / "a.mrc")
    with mrcfile.open(tmp_path / "a.mrc") as file:
        assert int(file.header.mode) == mode
        assert np.array_equal(file.data, images[:, ::-1])


def test_stacks_of_two_types(two: Path) -> None:

    write_stack("images/a.mrc", stack_of(1))
    write_stack("images/b.mrc", stack_of(2).astype(np.float32))
    t = tomogram("TS_09", stack=None, images=("images/a.mrc", "1@images/b.mrc", "2@images/b.mrc"))
    with t.open_images() as series, pytest.raises(FileFormatError, match="one stack has one type"):
        series.write_like("x.mrc", iter(()), "")
    assert not Path("x.mrc").exists()
