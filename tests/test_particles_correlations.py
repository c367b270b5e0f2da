"""Cross-correlations of particles: projections of maps, white images, and what goes wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.image_stacks import Images
from tests.builders.seven_molecules import (
    BOX,
    OPTIONS,
    PIXEL,
    SIZE,
    correlations,
    images,
    molecule_map,
    peak,
    reference,
    relion_particles,
    series,
)
from tomoset import geometry
from tomoset import simulate as sim
from tomoset.align.cross_correlations import CrossCorrelations
from tomoset.errors import (
    FileFormatError,
    MissingFieldError,
    MissingFileError,
    ModelError,
)
from tomoset.images.mrc import write_images
from tomoset.model import Deformation
from tomoset.particles import (
    CorrelationOptions,
    Fsc,
    Predictor,
    Reference,
    Weighting,
    Whitener,
    correlate,
    correlation,
    projected_positions,
)
from tomoset.particles import _kernels as kernels
from tomoset.particles.correlations import matched
from tomoset.particles.fsc import read_fsc
from tomoset.particles.maps import read_map
from tomoset.particles.slices import MapTransform, band, directly


def random_linear(number, seed=0):
    angles = np.random.default_rng(seed).uniform(-180, 180, (3, number))
    return geometry.euler_matrix(*angles)[:, :2]


@pytest.mark.parametrize(("box", "n"), [(48, 36), (64, 36), (24, 36), (40, 35)])
def test_slices_are_those_of_a_direct_sum(box, n):
    volume = molecule_map()[:n, :n, :n]
    linear = random_linear(4) * 1.003
    slices = MapTransform.of(volume).slices(linear, box)
    for one, matrix in zip(slices, linear, strict=True):
        exact = directly(volume, matrix, box)
        assert np.linalg.norm(one - exact) < 0.003 * np.linalg.norm(exact)
        fine = np.hypot(np.fft.fftfreq(box)[:, None], np.fft.rfftfreq(box)) > 0.15
        assert np.linalg.norm((one - exact)[fine]) < 0.01 * np.linalg.norm(exact[fine])


def test_a_map_that_fills_its_box_is_still_projected_well():
    volume = np.random.default_rng(1).standard_normal((20, 20, 20))
    matrix = random_linear(1)
    exact = directly(volume, matrix[0], 20)
    error = MapTransform.of(volume).slices(matrix, 20)[0] - exact
    assert np.linalg.norm(error) < 0.05 * np.linalg.norm(exact)


@settings(max_examples=15, deadline=None)
@given(angles=st.tuples(*[st.floats(-180, 180)] * 3), factor=st.floats(-3, 3))
def test_slices_are_linear_and_turn_with_the_map(angles, factor):
    rng = np.random.default_rng(5)
    first, second = rng.standard_normal((2, 15, 15, 15)).astype(np.float32)
    linear = geometry.euler_matrix(*angles)[None, :2]

    def slices(volume, matrix=linear):
        return MapTransform.of(volume).slices(matrix, 16)

    total = slices(first) + np.float32(factor) * slices(second)
    np.testing.assert_allclose(slices(first + np.float32(factor) * second), total, atol=0.02)
    # An odd map turns about its middle: x to y, y to -x.
    turned = np.rot90(first, axes=(2, 1)).copy()
    to_turned = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    np.testing.assert_allclose(slices(turned, linear @ to_turned.T), slices(first), atol=0.02)


def test_the_ctf_is_that_of_the_images_package():
    _, tomogram, particles = series()
    n = tomogram.n_tilts
    tomogram = replace(
        tomogram,
        phase_shift=np.linspace(0, 90, n),
        b_factor=np.full(n, 300.0),
        ctf_scale=np.linspace(0.5, 1, n),
    )
    predictor = Predictor(tomogram, particles, reference(), BOX)
    x, y = np.fft.rfftfreq(BOX, PIXEL), np.fft.fftfreq(BOX, PIXEL)[:, None]
    weight = predictor.weight(2, Weighting(dose=False))
    rows = np.arange(len(particles))
    predicted = predictor.images(2, rows, weight)
    linear = tomogram.projections[2, :2, :3] @ particles.orientations
    slices = reference().transforms[0].slices(linear, BOX)
    defocus = tomogram.defocus(particles.positions)[2]
    depth = tomogram.depth(particles.positions)[2]
    inside = (np.hypot(x, y) * PIXEL * BOX <= band(BOX)) & (np.hypot(x, y) > 0)
    for i in rows:
        ctf = tomogram.ctf(2, depth[i])
        assert (ctf.defocus_u, ctf.defocus_v) == pytest.approx(tuple(defocus[i]))
        expected = np.where(inside, -ctf.at(x, y) * slices[i], 0)
        assert np.abs(predicted[i] - expected).max() < 1e-4 * np.abs(expected).max()


def clean_boxes():
    """What noise-free images show of one molecule alone, about its place: (n_tilts, box, box)."""
    taken, tomogram, particles = series()
    molecules = taken.specimen.molecules
    alone = replace(molecules, positions=molecules.positions[:1], angles=molecules.angles[:1])
    shown = [
        np.stack(
            list(
                sim.transmitted(
                    replace(taken.specimen, molecules=m), taken.acquisition, taken.views
                )
            )
        )
        for m in (alone, None)
    ]
    # Ice absorbs evenly, but for its edges: the contrast of the molecule is the ratio.
    contrast = shown[0] / shown[1] - 1
    at = tomogram.project(particles.positions[:1])[:, 0]
    low = np.rint(at).astype(int) - BOX // 2
    boxes = [c[y : y + BOX, x : x + BOX] for c, (x, y) in zip(contrast, low, strict=True)]
    return np.array(boxes), at - low


def test_predicted_images_are_those_of_the_simulation():
    """Sign, handedness, centre: an asymmetric molecule at known Euler angles."""
    boxes, places = clean_boxes()
    _, tomogram, particles = series()
    tomogram = replace(
        tomogram, pre_exposure=tomogram.pre_exposure + 1.5
    )  # the middle of each image
    mirrored = molecule_map()[:, :, ::-1].copy()
    mirrored = np.roll(mirrored, 1, axis=2)  # about voxel n // 2
    one = np.array([0])
    alike = {"own": [], "mirrored": []}
    for name, volume in (("own", molecule_map()), ("mirrored", mirrored)):
        predictor = Predictor(tomogram, particles, Reference(half1=volume, half2=volume), BOX)
        for t in range(tomogram.n_tilts):
            weight = predictor.weight(t, Weighting(cutoff=0))
            predicted = predictor.images(t, one, weight)
            seen = scipy.fft.rfft2(boxes[t][None]) * (weight > 0)
            both = matched(seen, predicted, (places[t] - 5)[None])
            window = scipy.fft.irfft2(both)[0, :11, :11]
            scale = [np.linalg.norm(scipy.fft.irfft2(z)) for z in (seen, predicted)]
            alike[name].append(window[5, 5] / scale[0] / scale[1])
            if name == "own":
                assert np.abs(peak(window)).max() < 0.05
    assert min(alike["own"]) > 0.95
    # From some sides a mirror image looks alike, but not from all.
    assert np.mean(alike["mirrored"]) < 0.5


@pytest.mark.parametrize("padding", [1, 2])
def test_values_are_correlations(padding):
    """Against shifted sums over pixels, at whole and half pixels."""
    rng = np.random.default_rng(2)
    box, n = 16, 5
    seen, image = rng.standard_normal((2, 1, box, box))
    low = scipy.fft.rfft2(image)
    low[:, np.hypot(np.fft.fftfreq(box)[:, None], np.fft.rfftfreq(box)) * box > band(box)] = 0
    image = scipy.fft.irfft2(low)
    offset = np.array([[3.0, -1.0]])
    args = scipy.fft.rfft2(seen).astype(np.complex64), low.astype(np.complex64), offset
    fine = box * padding
    out = np.zeros((1, fine, fine // 2 + 1), np.complex64)
    energy, information = np.empty(1), np.empty((1, 3))
    kernels.match(*args, out, energy, information)
    if padding == 1:
        np.testing.assert_allclose(out, matched(*args), atol=1e-3)
    values = scipy.fft.irfft2(out)[0] * padding**2
    for j in range(n):
        for i in range(n):
            shifted = np.roll(image[0], (j - 1, i + 3), axis=(0, 1))
            assert values[j * padding, i * padding] == pytest.approx(
                np.sum(seen * shifted), abs=1e-3
            )
    assert energy[0] == pytest.approx(np.sum(image**2), rel=1e-5)
    k = 2 * np.pi * np.fft.fftfreq(box)
    slope_x = scipy.fft.ifft2(scipy.fft.fft2(image[0]) * 1j * k).real
    slope_y = scipy.fft.ifft2(scipy.fft.fft2(image[0]) * 1j * k[:, None]).real
    expected = [np.sum(slope_x**2), np.sum(slope_x * slope_y), np.sum(slope_y**2)]
    np.testing.assert_allclose(information[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("whiten", [True, False])
def test_noise_has_the_variance_that_energy_says(whiten):
    _, tomogram, particles = series()
    options = replace(OPTIONS, whiten=whiten, range=10)
    ratio = []
    for seed in range(6):
        random = np.random.default_rng(seed).standard_normal((tomogram.n_tilts, *SIZE[::-1]))
        found = correlate(tomogram, Images(40 + 7 * random), particles, reference(), options)
        variance = np.square(found.values).mean(axis=(2, 3))
        ratio.append((variance[found.visible] / found.energy[found.visible]).mean())
    ratio = np.array(ratio)
    assert ratio.mean() == pytest.approx(1, abs=0.06)
    assert found.visible.mean() > 0.8


def test_coloured_noise_becomes_white():
    rng = np.random.default_rng(1)
    frequency = np.hypot(np.fft.rfftfreq(300), np.fft.fftfreq(280)[:, None])
    coloured = scipy.fft.rfft2(rng.standard_normal((280, 300))) / (0.02 + frequency)
    white = Whitener((300, 280))(500 + scipy.fft.irfft2(coloured, s=(280, 300)))
    assert white.image.shape == (280, 300)
    assert white.image.std() == pytest.approx(1, abs=0.03)
    neighbours = np.mean(white.image[:, 1:] * white.image[:, :-1])
    assert abs(neighbours) < 0.03
    gain = white.gain_at(np.array([0.05, 0.3]))
    assert gain[1] / gain[0] == pytest.approx(0.32 / 0.07, rel=0.15)


def test_the_peak_is_in_the_middle_where_the_alignment_is_true():
    found = correlations()
    assert found.values.shape == (7, 5, 17, 17)
    for values, shown in zip(found.values, found.visible, strict=True):
        if shown.any():
            assert np.abs(peak(values[shown].sum(axis=0))).max() < 0.4
    together = found.values[found.visible].sum(axis=0)
    assert np.abs(peak(together)).max() < 0.1
    # And as sharp as it says: by the amplitude that the middle shows.
    amplitude = found.values[..., 8, 8].sum() / found.energy.sum()
    curvature = 2 * together[8, 8] - together[8, 7] - together[8, 9]
    assert curvature == pytest.approx(amplitude * found.information[..., 0].sum(), rel=0.25)


def test_a_shift_of_the_projections_is_found_with_the_other_sign():
    _, tomogram, _ = series()
    shifted = replace(
        tomogram, projections=geometry.translation((3.3, -2.2, 0)) @ tomogram.projections
    )
    moved, still = correlations(shifted), correlations()
    np.testing.assert_allclose(moved.at - still.at, np.broadcast_to([3.3, -2.2], moved.at.shape))
    assert np.abs(peak(moved.values.sum(axis=(0, 1))) - [-3.3, 2.2]).max() < 0.1


def test_padding_adds_entries_between():
    coarse, fine = correlations(), correlations(options=replace(OPTIONS, padding=2))
    assert fine.step == 0.5
    assert fine.values.shape[-1] == 2 * (12 + 2) + 1
    np.testing.assert_allclose(
        fine.values[..., 2:-2:2, 2:-2:2],
        coarse.values[..., 2:-2, 2:-2],
        atol=1e-3 * coarse.values.max(),
    )
    assert np.abs(peak(fine.values.sum(axis=(0, 1)), 0.5)).max() < 0.1


def test_trajectories_move_what_is_expected():
    _, tomogram, particles = series()
    motion = np.random.default_rng(1).normal(0, 10, (7, 5, 3))
    at = projected_positions(tomogram, particles.positions, motion)
    for t in range(5):
        shifted = particles.positions + motion[:, t] / PIXEL
        np.testing.assert_allclose(at[:, t], projected_positions(tomogram, shifted)[:, t])
    np.testing.assert_array_equal(correlations(trajectories=motion).at, at)
    bent = Deformation(kind="linear", grid=(3, 3), coefficients=np.full((5, 3), 0.01))
    bent_tomogram = replace(tomogram, deformation=bent)
    expected = bent_tomogram.project(particles.positions).swapaxes(0, 1)
    np.testing.assert_array_equal(correlations(bent_tomogram).at, expected)
    for wrong in (motion[:, :4], np.full((7, 5, 3), np.nan)):
        with pytest.raises(ModelError, match="trajectories"):
            correlations(trajectories=wrong)


def test_more_than_memory_goes_to_a_file():
    inside, outside = correlations(), correlations(options=replace(OPTIONS, memory=1000, threads=1))
    assert isinstance(outside.values, np.memmap)
    np.testing.assert_array_equal(outside.values, inside.values)


def test_what_is_not_visible_says_nothing():
    _, tomogram, particles = series()
    masks = np.ones((7, 5), bool)
    masks[2, 1:] = False
    coordinates = particles.coordinates.copy()
    coordinates[4] = [0, 0, 30]
    hidden = replace(particles, visible=list(masks), coordinates=coordinates)
    found = correlations(replace(tomogram, ctf_scale=np.array([1, 1, 0, 1, 1.0])), hidden)
    assert not found.visible[2, 1:].any()
    assert not found.visible[4].any()
    assert not found.visible[:, 2].any()
    assert found.visible[0, [0, 1, 3, 4]].all()
    for what in (found.values, found.energy, found.information):
        assert not what[~found.visible].any()
    assert (found.energy[found.visible] > 0).all()


def test_an_empty_image_says_nothing():
    _, tomogram, particles = series()
    shown = series()[0].images.copy()
    shown[1] = 17
    found = correlate(tomogram, Images(shown), particles, reference(), OPTIONS)
    assert not found.visible[:, 1].any()
    assert found.visible[:, 0].any()


def test_weights_of_dose_and_high_pass():
    _, tomogram, particles = series()
    tomogram = replace(tomogram, pre_exposure=np.array([0, 30, 60, 200, 9e4]))
    predictor = Predictor(tomogram, particles, reference(), BOX)
    counts = [np.count_nonzero(predictor.weight(t, Weighting())) for t in range(5)]
    assert counts == sorted(counts, reverse=True)
    assert counts[4] == 0
    assert np.count_nonzero(predictor.weight(3, Weighting(dose=False))) == counts[0]
    high = predictor.weight(0, Weighting(high_pass=100.0))
    k = np.hypot(np.fft.rfftfreq(BOX, PIXEL), np.fft.fftfreq(BOX, PIXEL)[:, None])
    assert not high[k < 0.01].any()
    assert high[(k > 0.011) & (k < 0.05)].all()


def test_every_particle_meets_the_half_map_of_its_own_subset():
    _, tomogram, particles = series()
    curve = Fsc(frequency=np.array([0, 0.25, 0.5]), values=np.ones(3))
    other = np.roll(molecule_map(), 3, axis=0)
    halves = Reference(half1=molecule_map(), half2=other, pixel_size=PIXEL, fsc=curve)
    subsets = [1, 2, 2, 1, 1, 1, 2]
    found = correlate(tomogram, images(), relion_particles(subsets), halves, OPTIONS)
    for half, volume in ((1, molecule_map()), (2, other)):
        alone = Reference(half1=volume, half2=volume, pixel_size=PIXEL)
        expected = correlate(tomogram, images(), particles, alone, OPTIONS)
        rows = [i for i, subset in enumerate(subsets) if subset == half]
        scale = expected.values.max()
        np.testing.assert_allclose(found.values[rows], expected.values[rows], atol=1e-4 * scale)
    in_turns = Predictor(tomogram, relion_particles(subsets, labels=()), halves, BOX)
    assert in_turns.halves.tolist() == [0, 1, 0, 1, 0, 1, 0]


def test_shells_are_weighted_by_what_is_known_of_them():
    rng = np.random.default_rng(4)
    signal = molecule_map() / molecule_map().std()
    first, second = (signal + 3 * rng.standard_normal(signal.shape) for _ in range(2))
    halves = Reference(half1=first, half2=second)
    k = np.array([0.02, 0.1, 0.501, 0.6])
    weight = halves.weight(k)
    assert weight[0] > 0.95
    assert weight[2:].tolist() == [0, 0]
    whole = Reference(half1=first, half2=first, fsc=correlation(first, second))
    np.testing.assert_allclose(whole.weight(k), 2 * weight / (1 + weight), atol=1e-3)
    # The weighted half map is the one next to the truth.
    n = len(signal)
    plane = np.fft.fftfreq(n)
    radius = np.sqrt(plane[:, None, None] ** 2 + plane[:, None] ** 2 + np.fft.rfftfreq(n) ** 2)
    known = halves.weight(radius)

    def error(power):
        return np.linalg.norm(scipy.fft.rfftn(first) * known**power - scipy.fft.rfftn(signal))

    assert error(1) < min(error(0.7), error(1.4))


def write_map(path: Path, volume, pixel_size=PIXEL) -> Path:
    write_images(path, np.asarray(volume, np.float32), pixel_size, [])
    return path


def test_references_are_read_from_files(tmp_path):
    volume = molecule_map()
    noisy = volume + np.random.default_rng(1).normal(0, 0.1 * volume.std(), volume.shape)
    one, two = write_map(tmp_path / "1.mrc", volume), write_map(tmp_path / "2.mrc", noisy, 1.0)
    mask = write_map(tmp_path / "mask.mrc", volume > 0, 0.0)
    rows = "\n".join(f"{i} {i / len(volume) / PIXEL} {0.9 if i < 10 else 0.1}" for i in range(19))
    columns = "_rlnSpectralIndex\n_rlnResolution\n_rlnFourierShellCorrelationCorrected\n"
    (tmp_path / "fsc.star").write_text(f"data_fsc\n\nloop_\n{columns}{rows}\n")
    read = Reference.read(one, two, mask=mask, fsc=tmp_path / "fsc.star")
    assert read.pixel_size == PIXEL
    assert read.has_halves
    assert read.weight([9 / 36, 10 / 36]).tolist() == [0.9, 0.0]
    assert not Reference.read(one).has_halves
    assert Reference.read(two).pixel_size is None
    np.testing.assert_array_equal(read.half1, volume)
    by_number = read_fsc(tmp_path / "fsc.star", 36, None)
    np.testing.assert_allclose(by_number.frequency[:3], [0, 1 / 36, 2 / 36])


def test_files_that_are_no_references_are_refused(tmp_path):
    volume = molecule_map()
    one = write_map(tmp_path / "1.mrc", volume)
    with pytest.raises(MissingFileError, match="no such reference map"):
        Reference.read(tmp_path / "none.mrc")
    with pytest.raises(FileFormatError, match="expected a cubic reference map, found 36 x 36 x 30"):
        read_map(write_map(tmp_path / "slab.mrc", volume[:30]))
    bad = volume.copy()
    bad[3, 4, 5] = np.nan
    with pytest.raises(FileFormatError, match="found 1 of 46656 voxels that are NaN"):
        Reference.read(one, write_map(tmp_path / "nan.mrc", bad))
    with pytest.raises(FileFormatError, match="expected 36 voxels along each axis"):
        Reference.read(one, write_map(tmp_path / "small.mrc", volume[:30, :30, :30]))
    with pytest.raises(FileFormatError, match="expected 36 voxels"):
        Reference.read(one, mask=write_map(tmp_path / "mask.mrc", volume[:30, :30, :30]))
    with pytest.raises(FileFormatError, match="the mask is empty"):
        Reference.read(one, mask=write_map(tmp_path / "empty.mrc", 0 * volume))
    with pytest.raises(FileFormatError, match="expected 8 Å a voxel"):
        Reference.read(one, write_map(tmp_path / "pixel.mrc", volume, 8.2))
    turned = bytearray(one.read_bytes())
    turned[64:76] = np.array([3, 2, 1], "<i4").tobytes()
    (tmp_path / "axes.mrc").write_bytes(turned)
    with pytest.raises(FileFormatError, match="axes x, y, z"):
        read_map(tmp_path / "axes.mrc")
    with pytest.raises(MissingFileError, match=r"fsc\.star"):
        Reference.read(one, fsc=tmp_path / "no.star")
    (tmp_path / "other.star").write_text("data_general\n\n_rlnFinalResolution 4.0\n")
    with pytest.raises(MissingFieldError, match="expected data_fsc, found data_general"):
        Reference.read(one, fsc=tmp_path / "other.star")
    (tmp_path / "bare.star").write_text("data_fsc\n\nloop_\n_rlnSpectralIndex\n0\n1\n")
    with pytest.raises(MissingFieldError, match="rlnFourierShellCorrelation"):
        Reference.read(one, fsc=tmp_path / "bare.star")
    noise = np.random.default_rng(0).standard_normal((2, 36, 36, 36))
    with pytest.raises(ModelError, match="do not agree even in their coarsest shell"):
        correlation(noise[0], -noise[0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"box": 47}, "even number"),
        ({"box": 4}, "8 or more"),
        ({"range": 22}, "larger box"),
        ({"range": 0}, "range must be 2 px or more"),
        ({"padding": 0}, "1 or more"),
        ({"threads": 0}, "1 or more"),
    ],
)
def test_impossible_options_are_refused(given, message):
    with pytest.raises(ModelError, match=message):
        CorrelationOptions(**{"box": BOX, "range": 6, **given})


def test_impossible_weightings_are_refused():
    for wrong in ({"cutoff": 1.0}, {"cutoff": -0.1}, {"high_pass": 0.0}):
        with pytest.raises(ModelError):
            Weighting(**wrong)


def test_impossible_data_are_refused():
    _, tomogram, particles = series()
    with pytest.raises(
        ModelError, match="a box of 190 px is larger than the tilt images of 200 x 180"
    ):
        correlations(options=replace(OPTIONS, box=190))
    with pytest.raises(ModelError, match="none of its 7 particles is visible"):
        correlations(particles=replace(particles, coordinates=particles.coordinates + 1000))
    other = Reference(half1=molecule_map(), half2=molecule_map(), pixel_size=5.4)
    with pytest.raises(ModelError, match=r"5\.4 Å a voxel, the tilt images 8 Å"):
        correlate(tomogram, images(), particles, other, OPTIONS)
    with pytest.raises(ModelError, match="has no defocus"):
        correlations(replace(tomogram, defocus_u=None, defocus_v=None))
    with pytest.raises(ModelError, match="not aligned"):
        correlations(replace(tomogram, projections=None))
    with pytest.raises(ModelError, match="has no particles"):
        correlate(tomogram, images(), particles.select([]), reference(), OPTIONS)
    with pytest.raises(ModelError, match="are of 'a', not of 'b'"):
        correlations(replace(tomogram, name="b"))
    with pytest.raises(ModelError, match="expected images of"):
        correlations(replace(tomogram, image_size=(100, 100)))
    with pytest.raises(ModelError, match="say of another number"):
        correlations(particles=replace(particles, visible=[[True] * 4] * 7))
    angles = particles.angles.copy()
    angles[3] = np.nan
    with pytest.raises(ModelError, match=r"particle 4 .*angles .*not known"):
        correlations(particles=replace(particles, angles=angles))


def test_impossible_optics_are_refused():
    ones = [1] * 7
    assert correlations(particles=relion_particles(ones, "rlnVoltage=300")).visible.any()
    with pytest.raises(ModelError, match="says 200, tomogram 'a' 300"):
        correlations(particles=relion_particles(ones, "rlnVoltage=200"))
    with pytest.raises(FileFormatError, match="expected a half set, 1 or 2, found 3"):
        correlations(particles=relion_particles([1, 2, 3, 1, 1, 1, 1]))
    with pytest.raises(
        ModelError, match=r"8 Å a pixel, the optics group of 7 of its particles 8\.1"
    ):
        correlations(particles=replace(series()[2], pixel_sizes=np.full(7, 8.1)))


def test_impossible_maps_are_refused():
    volume = molecule_map()
    for changed, message in (
        ({"half2": volume[:30, :30, :30]}, "of one size"),
        ({"mask": volume[:30, :30, :30]}, "of one size"),
        ({"half2": volume[:30]}, "a cube"),
        ({"half2": volume * np.nan}, "NaN"),
        ({"mask": 0 * volume}, "mask is empty"),
        ({"half1": 0 * volume, "half2": 0 * volume}, "nothing in the maps"),
        ({"pixel_size": 0.0}, "above 0"),
        ({"half1": volume[:4, :4, :4], "half2": volume[:4, :4, :4]}, "8 or more"),
    ):
        with pytest.raises(ModelError, match=message):
            Reference(**{"half1": volume, "half2": volume, **changed})
    for curve, message in (
        ({"frequency": [0, 0.1], "values": [1, 1]}, "three shells"),
        ({"frequency": [0, 0.2, 0.1], "values": [1, 1, 1]}, "ascending"),
        ({"frequency": [0, 0.2], "values": [1, 1, 1]}, "as many"),
        ({"frequency": [0, 0.1, 0.2], "values": [1, np.nan, 1]}, "finite"),
    ):
        with pytest.raises(ModelError, match=message):
            Fsc(**curve)


def test_inconsistent_correlations_are_refused():
    found = correlations()
    fields = {
        name: getattr(found, name)
        for name in ("values", "step", "at", "energy", "information", "visible")
    }
    bad = found.values.copy()
    bad[3, 2, 1, 1] = np.nan
    for changed, message in (
        ({"values": bad}, "particle 4"),
        ({"values": found.values[..., :-1, :-1]}, "odd"),
        ({"values": found.values[..., :-1]}, "shape"),
        ({"step": 0.0}, "step"),
        ({"at": found.at[1:]}, "at must have shape"),
        ({"energy": found.energy * np.nan}, "energy must be finite"),
    ):
        with pytest.raises(ModelError, match=message):
            CrossCorrelations(**{**fields, **changed})
    assert found.half == 8.0
