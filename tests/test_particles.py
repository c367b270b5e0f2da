"""Particles in both dialects of RELION: the same places, the same texts."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tomoset
from tests.builders.relion_texts import (
    CENTRED,
    CORNER,
    ORIGINS,
    PARTICLES_4,
    PARTICLES_5,
    SUBTOMOGRAM,
    TOMOGRAMS,
    same_texts,
)
from tests.builders.tomograms import unaligned_tomogram
from tests.builders.work import lines_run
from tomoset import Optics, TomogramSet, star
from tomoset.formats._relion_sets import particles_from_star, particles_to_star, read_particles
from tomoset.formats._relion_sets._visible import parse_visible
from tomoset.geometry import euler_matrix, rotation_y, rotation_z
from tomoset.model import ParticleSet, VisibleTilts


def load(text: str, tomograms: TomogramSet = TOMOGRAMS, **options: bool) -> ParticleSet:
    return particles_from_star(star.loads(text, "in.star"), tomograms, **options)


# ---- geometry --------------------------------------------------------------------------------


def test_euler_matrices_are_three_turns() -> None:
    angles = np.random.default_rng(1).uniform(-360, 360, (50, 3))
    found = euler_matrix(*angles.T)
    assert found.shape == (50, 3, 3)
    for (rot, tilt, psi), A in zip(angles, found, strict=True):
        slow = rotation_z(-psi)[:3, :3] @ rotation_y(-tilt)[:3, :3] @ rotation_z(-rot)[:3, :3]
        np.testing.assert_allclose(A, slow, atol=1e-14)
    np.testing.assert_allclose(
        found @ found.mT if hasattr(found, "mT") else found @ found.transpose(0, 2, 1),
        np.broadcast_to(np.eye(3), found.shape),
        atol=1e-14,
    )
    np.testing.assert_allclose(np.linalg.det(found), 1)


def test_the_worked_centred_particle() -> None:
    """docs/conventions.md, 'Projection': (100, -50, 200) Å in 4000 x 4000 x 2000 voxels of 1.35
    Å."""
    p = load(PARTICLES_5)
    np.testing.assert_allclose(
        p.coordinates[0], [2000 + 100 / 1.35, 2000 - 50 / 1.35, 1000 + 200 / 1.35], atol=1e-12
    )
    P = tomoset.geometry.rigid_projections(
        np.array([[0, 30, 85.0]]), np.array([[12, -8]]) / 1.35, size=(4000, 4000, 2000), image_size=(3838, 3710),
    )  # fmt: skip
    found = tomoset.geometry.apply(P, p.coordinates[:1])[0, 0]
    np.testing.assert_allclose(found, [1976.832013, 1983.544203, 91.263023], atol=1e-6)


def test_odd_sizes_have_their_centre_at_a_half() -> None:
    p = load(PARTICLES_5)
    np.testing.assert_allclose(
        p.coordinates[1], [200.5 - 1.5 / 1.3505, 201.5, 100.5 + 7.25 / 1.3505], atol=1e-12
    )


def test_origins_go_through_the_subtomogram() -> None:
    """docs/relion.md, 'Particles', by hand: rot 90, tilt 45, psi 0 turns (-4.05, 1, 2)."""
    p = load(PARTICLES_4)
    c = np.sqrt(0.5)
    A = np.array([[0, c, -c], [-1, 0, 0], [0, c, c]])
    np.testing.assert_allclose(p.positions[2], [5, 6, 7] - A @ [-3.0, 1 / 1.35, 2 / 1.35])
    np.testing.assert_allclose(p.positions[1], [1, 2, 3])
    np.testing.assert_allclose(p.select([2]).orientations[0], A, atol=1e-15)
    with pytest.raises(tomoset.ModelError, match=r"particle 1 .*not known"):
        _ = p.orientations
    assert replace(p, origins=None).positions is p.coordinates
    with pytest.raises(tomoset.ModelError, match="no pixel sizes"):
        _ = replace(p, pixel_sizes=None).positions


# ---- the model -------------------------------------------------------------------------------


def test_rows_by_tomogram_and_selection() -> None:
    p = load(PARTICLES_4)
    assert len(p) == 3
    assert "3 in 2" in repr(p)
    assert p.in_tomogram("TS_01").tolist() == [0, 2]
    assert p.in_tomogram("moon").tolist() == []
    assert {name: rows.tolist() for name, rows in p.by_tomogram().items()} == {
        "TS_01": [0, 2],
        "001": [1],
    }
    q = p.select([2, 1])
    assert q.particle_names.tolist() == ["TS_01/9", "001/7"]
    out = particles_to_star(q, "relion4", TOMOGRAMS)
    assert list(out["particles"]["rlnMyOwn"]) == ["empty", "y z"]
    assert list(out["particles"]["rlnOriginXAngst"]) == ["-4.050000", "0"]
    np.testing.assert_array_equal(p.select(np.array([True, False, False])).angles, [[1, 2, np.nan]])  # type: ignore[arg-type]
    with pytest.raises(tomoset.ModelError, match="mask"):
        p.select([True])
    assert not p.coordinates.flags.writeable


def test_names_are_made_as_relion_makes_them() -> None:
    p = ParticleSet(tomogram_names=["a", "b", "a"], coordinates=np.zeros((3, 3)))  # type: ignore[arg-type]
    assert p.particle_names.tolist() == ["a/1", "b/1", "a/2"]
    empty = ParticleSet(tomogram_names=[], coordinates=np.zeros((0, 3)))  # type: ignore[arg-type]
    assert empty.particle_names.tolist() == []
    assert empty.by_tomogram() == {}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"coordinates": np.zeros((2, 3))}, r"coordinates of particles must have shape \(3, 3\)"),
        (
            {"coordinates": [[0, 0, 0], [0, np.nan, 0], [0, 0, 0]]},
            r"particle 2: .*expected a finite number",
        ),
        ({"pixel_sizes": [1, 0, -999]}, r"particle 2 \(of 2 such\).*above 0"),
        ({"visible": [[1], [0]]}, "3 particles but 2 masks"),
        ({"source": load(PARTICLES_4).select([0]).source}, "3 particles but 1 rows of text"),
    ],
)
def test_inconsistent_particle_sets_are_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(tomoset.ModelError, match=says):
        replace(load(PARTICLES_4), **changes)  # type: ignore[arg-type]


def test_visible_tilts_are_a_sequence_of_masks() -> None:
    v = VisibleTilts.of([[1, 0, 1], [], [0, 1]])
    assert [m.tolist() for m in v] == [[True, False, True], [], [False, True]]
    assert [m.tolist() for m in v[1:]] == [[], [False, True]]
    assert v[-1].tolist() == [False, True]
    assert v.take([2, 0]).lengths.tolist() == [2, 3]
    assert VisibleTilts.of(v) is v
    with pytest.raises(IndexError):
        _ = v[3]


# ---- texts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "dialect"), [(PARTICLES_4, "relion4"), (PARTICLES_5, "relion5")])
def test_untouched_particles_keep_every_text(text: str, dialect: str) -> None:
    file = star.loads(text)
    assert same_texts(
        particles_to_star(particles_from_star(file, TOMOGRAMS), dialect, TOMOGRAMS), file
    )


@pytest.mark.parametrize(("text", "dialect"), [(PARTICLES_4, "relion4"), (PARTICLES_5, "relion5")])
def test_only_what_changed_is_written_anew(text: str, dialect: str) -> None:
    p = load(text)
    moved = p.coordinates.copy()
    moved[1, 0] += 1
    out = particles_to_star(replace(p, coordinates=moved), dialect, TOMOGRAMS)["particles"]
    before = star.loads(text)["particles"]
    changed = [
        (label, i)
        for label in before
        for i, old in enumerate(before[label])
        if out[label][i] != old
    ]
    assert changed == [((CORNER if dialect == "relion4" else CENTRED)[0], 1)]
    np.testing.assert_allclose(
        load(
            star.dumps(particles_to_star(replace(p, coordinates=moved), dialect, TOMOGRAMS))
        ).coordinates,
        moved,
        atol=1e-12,
    )


def test_relion_4_particles_are_written_as_relion_5() -> None:
    p = load(PARTICLES_4)
    out = particles_to_star(p, "relion5", TOMOGRAMS)
    assert out.names == ("optics", "particles")  # no data_general where there was none
    assert out["particles"].comments == ("# version 50001",)
    before, after = star.loads(PARTICLES_4)["particles"], out["particles"]
    new = dict(zip(CORNER, CENTRED, strict=True))
    assert after.labels == tuple(new.get(label, label) for label in before.labels)
    for label in before.labels:
        if label not in CORNER:
            assert list(after[label]) == list(before[label])
    # RELION 5 compares voltage, Cs and amplitude contrast of the group with the tomogram's.
    assert list(out["optics"]["rlnAmplitudeContrast"]) == ["0.1", "0.1"]
    assert list(out["optics"]["rlnTomoTiltSeriesPixelSize"]) == ["1.350000", "1.3505"]
    assert float(after[CENTRED[0]][0]) == (100 - 2000) * 1.35


def test_relion_5_particles_are_written_as_relion_4() -> None:
    out = particles_to_star(load(PARTICLES_5), "relion4", TOMOGRAMS)
    assert out.names == ("general", "optics", "particles")
    table = out["particles"]
    assert table.comments == ("# version 30001", "# mine")
    assert table.labels == (
        "rlnMyOwn",
        *CORNER,
        "rlnTomoName",
        "rlnTomoVisibleFrames",
        *ORIGINS,
        "rlnOpticsGroup",
    )
    assert list(table["rlnTomoVisibleFrames"]) == ["[1,0,1]", "[0,1]"]
    assert list(out["optics"]["rlnVoltage"]) == ["300.0", "300.0"]
    with_images = PARTICLES_5.replace("_rlnMyOwn", "_rlnImageName")
    with pytest.warns(tomoset.LossyWarning, match="2D stacks"):
        particles_to_star(load(with_images), "relion4", TOMOGRAMS)


def test_picks_become_particles_of_relion_4() -> None:
    """No optics, no origins: RELION 4 stops without them, RELION 5 does not."""
    text = (
        "data_\nloop_\n_rlnTomoName\n"
        + "".join(f"_{x}\n" for x in CENTRED)
        + "001 1 2 3\nTS_01 4 5 6\n"
    )
    p = load(text)
    assert p.optics_groups is None
    assert p.pixel_sizes is not None
    assert p.pixel_sizes.tolist() == [1.35, 1.35]
    assert same_texts(particles_to_star(p, "relion5", TOMOGRAMS), star.loads(text))
    out = particles_to_star(p, "relion4", TOMOGRAMS)
    assert out.names == ("optics", "particles")
    assert list(out["particles"]["rlnOpticsGroup"]) == ["1", "1"]
    assert list(out["particles"]["rlnOriginZAngst"]) == ["0.0", "0.0"]
    assert list(out["optics"]["rlnTomoTiltSeriesPixelSize"]) == ["1.35"]
    again = particles_from_star(out, TOMOGRAMS)
    np.testing.assert_allclose(again.positions, p.positions)


def test_two_microscopes_are_two_groups() -> None:
    other = replace(unaligned_tomogram("b"), optics=Optics(pixel_size=2.0))
    tomograms = TomogramSet([unaligned_tomogram("a"), other])
    p = ParticleSet(tomogram_names=["b", "a", "b"], coordinates=np.ones((3, 3)))  # type: ignore[arg-type]
    out = particles_to_star(p, "relion5", tomograms)
    assert list(out["particles"]["rlnOpticsGroup"]) == ["1", "2", "1"]
    assert list(out["optics"]["rlnTomoTiltSeriesPixelSize"]) == ["2.0", "1.35"]
    assert list(out["optics"]["rlnOpticsGroupName"]) == ["opticsGroup1", "opticsGroup2"]
    own = replace(p, optics_groups=[4, 7, 4], pixel_sizes=[2.0, 1.35, 2.0])  # type: ignore[arg-type]
    out = particles_to_star(own, "relion4", tomograms)
    assert list(out["optics"]["rlnOpticsGroup"]) == ["4", "7"]
    mixed = replace(p, optics_groups=[4, 4, 4], pixel_sizes=[2.0, 1.35, 2.0])  # type: ignore[arg-type]
    with pytest.raises(tomoset.ModelError, match=r"optics group 4 have pixel sizes from 1.35 to 2"):
        particles_to_star(mixed, "relion5", tomograms)


def test_changed_pixel_sizes_reach_the_optics() -> None:
    p = load(PARTICLES_4)
    out = particles_to_star(replace(p, pixel_sizes=[1.4, 1.3505, 1.4]), "relion4", TOMOGRAMS)  # type: ignore[arg-type]
    assert list(out["optics"]["rlnTomoTiltSeriesPixelSize"]) == ["1.4", "1.3505"]
    lost = replace(p, optics_groups=[1, 3, 1])  # type: ignore[arg-type]
    with pytest.raises(tomoset.ModelError, match="no optics group 3"):
        particles_to_star(lost, "relion4", TOMOGRAMS)


def test_both_kinds_of_coordinates() -> None:
    """RELION 5 reads the centred ones; the others stay as long as they may still be true."""
    labels = [*CENTRED, *CORNER]
    text = (
        "data_particles\nloop_\n_rlnTomoName\n"
        + "".join(f"_{x}\n" for x in labels)
        + "001 0 0 0 9 9 9\n"
    )
    p = load(text)
    assert p.coordinates.tolist() == [[200.5, 201.5, 100.5]]
    assert same_texts(particles_to_star(p, "relion5", TOMOGRAMS), star.loads(text))
    with pytest.warns(tomoset.LossyWarning, match="rlnCoordinate"):
        out = particles_to_star(replace(p, coordinates=[[1, 2, 3]]), "relion5", TOMOGRAMS)  # type: ignore[arg-type]
    assert out["particles"].labels == ("rlnTomoName", *CENTRED)
    out = particles_to_star(p, "relion4", TOMOGRAMS)
    assert [float(out["particles"][x][0]) for x in CORNER] == [200.5, 201.5, 100.5]
    assert CENTRED[0] not in out["particles"]


def test_dropped_values_drop_their_columns() -> None:
    p = replace(load(PARTICLES_5), visible=None, origins=None)
    out = particles_to_star(p, "relion5", TOMOGRAMS)["particles"]
    assert out.labels == ("rlnMyOwn", *CENTRED, "rlnTomoName", "rlnOpticsGroup")
    again = replace(load(PARTICLES_4), names=None, subtomogram_angles=None)
    out = particles_to_star(again, "relion4", TOMOGRAMS)["particles"]
    assert "rlnTomoParticleName" not in out
    assert not any(label in out for label in SUBTOMOGRAM)


def test_changed_visible_tilts() -> None:
    p = load(PARTICLES_5)
    q = replace(p, visible=[[1, 1, 1], [0, 1]])  # type: ignore[list-item]
    out = particles_to_star(q, "relion5", TOMOGRAMS)["particles"]
    assert list(out["rlnTomoVisibleFrames"]) == ["[1,1,1]", "[0,1]"]
    new = replace(q, source=None)
    assert list(
        particles_to_star(new, "relion5", TOMOGRAMS)["particles"]["rlnTomoVisibleFrames"]
    ) == [
        "[1,1,1]",
        "[0,1]",
    ]
    fewer = TomogramSet([unaligned_tomogram(n=2), TOMOGRAMS["001"]])
    with pytest.raises(
        tomoset.ModelError, match=r"visible of particle 1: expected 2 values.*found 3"
    ):
        particles_to_star(q, "relion5", fewer)
    shown = replace(q, visible=[[1, 1], [0, 1]])  # type: ignore[list-item]
    out = particles_to_star(shown, "relion5", fewer)["particles"]
    assert list(out["rlnTomoVisibleFrames"]) == ["[1,1]", "[0,1]"]


def test_visible_frames_in_other_layouts() -> None:
    text = PARTICLES_5.replace("[1,0,1]", "'[1, 0, 1.000]'")
    p = load(text)
    assert p.visible is not None
    assert p.visible[0].tolist() == [True, False, True]
    assert same_texts(particles_to_star(p, "relion5", TOMOGRAMS), star.loads(text))


@pytest.mark.parametrize(
    "text",
    ["[1,0,1", "1,0,1]", "(1,0,1]", "[1,0,2]", "[1;0;1]", "[1,0.1]", "[1,0,11", "[1,0,1]]", "[]", "[0,,1]", "[1,0,é]"],
)  # fmt: skip
def test_visible_frames_that_are_none(text: str) -> None:
    for good in ("[1,0,1]", "[0,1]"):
        with pytest.raises(tomoset.FileFormatError, match=r"in\.star:\d+: .*found"):
            load(PARTICLES_5.replace(good, text))


def test_visible_frames_of_many_particles_are_read_without_a_loop() -> None:
    def reading(n: int) -> Callable[[], object]:
        texts = ["[1,0,1]", "[0,1]", "[1]"] * n
        return lambda: parse_visible(star.Table("particles", {"rlnTomoVisibleFrames": texts}))

    assert lines_run(reading(1000)) < lines_run(reading(10)) + 10


# ---- values through both dialects ------------------------------------------------------------

values = st.floats(-1e4, 1e4, allow_nan=False, allow_subnormal=False)
sizes = st.tuples(*[st.integers(1, 9000)] * 3)


@settings(max_examples=60, deadline=None)
@given(
    coordinates=hnp.arrays(np.float64, (4, 3), elements=values),
    origins=hnp.arrays(np.float64, (4, 3), elements=values),
    angles=hnp.arrays(np.float64, (4, 3), elements=st.floats(-360, 360)),
    size=sizes,
    pixel=st.floats(0.1, 20),
    first=st.sampled_from(["relion4", "relion5"]),
)
def test_positions_survive_the_round_trip_through_both_dialects(
    coordinates: np.ndarray, origins: np.ndarray, angles: np.ndarray, size: tuple[int, int, int], pixel: float, first: str
) -> None:  # fmt: skip
    tomograms = TomogramSet(
        [replace(unaligned_tomogram("a", size), optics=Optics(pixel_size=pixel))]
    )
    p = ParticleSet(
        tomogram_names=["a"] * 4, coordinates=coordinates, origins=origins,  # type: ignore[arg-type]
        subtomogram_angles=angles, angles=angles[::-1], pixel_sizes=np.full(4, pixel),
    )  # fmt: skip
    second = {"relion4": "relion5", "relion5": "relion4"}[first]
    start = star.loads(star.dumps(particles_to_star(p, first, tomograms)))
    q = particles_from_star(start, tomograms)
    other = star.loads(star.dumps(particles_to_star(q, second, tomograms)))
    r = particles_from_star(other, tomograms)
    back = star.loads(star.dumps(particles_to_star(r, first, tomograms)))
    s = particles_from_star(back, tomograms)
    assert back["particles"].labels == start["particles"].labels
    for found in (q, r, s):
        np.testing.assert_allclose(found.coordinates, p.coordinates, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(found.origins, p.origins)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found.angles, p.angles)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found.pixel_sizes, p.pixel_sizes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "other", "own"),
    [(PARTICLES_4, "relion5", "relion4"), (PARTICLES_5, "relion4", "relion5")],
)
def test_text_through_the_other_dialect(text: str, other: str, own: str) -> None:
    p = load(text)
    r = particles_from_star(
        star.loads(star.dumps(particles_to_star(p, other, TOMOGRAMS))), TOMOGRAMS
    )
    back = particles_to_star(r, own, TOMOGRAMS)["particles"]
    before = star.loads(text)["particles"]
    assert back.labels == before.labels
    for label in before.labels:
        if label in (*CORNER, *CENTRED):
            np.testing.assert_allclose(back.floats(label), before.floats(label), atol=1e-9)
        else:
            assert list(back[label]) == list(before[label])


# ---- what is wrong with a file ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (PARTICLES_4.replace("0 0 0 0.5 0 0 2", "0 0 0 0.5 0 0 3"), r"in.star:\d+: .*no group 3, only 1, 2 \(1 particles"),
        (PARTICLES_4.replace("2 second", "1 second"), r"in.star:\d+: .*a second optics group has the number 1"),
        (PARTICLES_4.replace("1.3505", "-999"), r"in.star:\d+: .*rlnTomoTiltSeriesPixelSize: .*found -999"),
        (PARTICLES_4.replace("1.350000 a", "0 a"), r"rlnTomoTiltSeriesPixelSize: .*found 0"),
        (PARTICLES_4.replace("_rlnOpticsGroup #15", "_rlnMoon #15"), "2 optics groups but no _rlnOpticsGroup"),
        (PARTICLES_4.replace("200.50", "2_00"), r"in.star:\d+: .*rlnCoordinateY: expected a number, found '2_00'"),
        (PARTICLES_4.replace("200.50", "inf"), r"in.star:\d+: .*expected a finite number.*found inf"),
        (PARTICLES_4.replace("-2.7", "nan"), r"in.star:\d+: .*rlnOriginZAngst: .*expected a finite number"),
        (PARTICLES_4.replace("rlnCoordinateZ", "rlnMoon"), "_rlnCoordinateZ is missing"),
        (PARTICLES_5.replace(CENTRED[1], "rlnMoon"), f"_{CENTRED[1]} is missing"),
        (PARTICLES_5.replace("[1,0,1]", "[1,0]"), r"in.star:\d+: .*expected 3 values.*'TS_01', found 2"),
        (PARTICLES_5.replace("[1,0,1]", "[1,0,2]"), r"in.star:\d+: .*expected 0 and 1 in brackets.*'\[1,0,2\]'"),
        (PARTICLES_5.replace("[1,0,1]", "101"), "expected 0 and 1 in brackets"),
        (PARTICLES_5.replace("[1,0,1]", "[1,0,é]"), "expected 0 and 1 in brackets"),
        ("data_\nloop_\n_rlnTomoName\n_rlnTomoImportParticleFile\na b\n", "list of particle files"),
        ("data_\nloop_\n_rlnTomoName\na\n", "no coordinates; expected rlnCenteredCoordinateXAngst"),
        ("data_\nloop_\n_rlnMicrographName\n_rlnCoordinateX\na 1\n", "no rlnTomoName beside them"),
        ("data_\n_rlnTomoParticlesFile a\n", "an optimisation set"),
        ("data_moon\n_rlnMoon a\n", "found data_moon"),
    ],
)  # fmt: skip
def test_damaged_particle_sets_are_refused(text: str, says: str) -> None:
    with pytest.raises(tomoset.FileFormatError, match=says):
        load(text)


def test_centred_coordinates_need_sizes() -> None:
    with pytest.raises(tomoset.FileFormatError, match=r"in.star: .*'TS_01' has no size"):
        load(PARTICLES_5, TomogramSet([replace(TOMOGRAMS["TS_01"], size=None), TOMOGRAMS["001"]]))
    unknown = replace(TOMOGRAMS["TS_01"], optics=Optics(pixel_size=None))
    picks = "data_\nloop_\n_rlnTomoName\n" + "".join(f"_{x}\n" for x in CENTRED) + "TS_01 1 2 3\n"
    with pytest.raises(tomoset.FileFormatError, match="no pixel size"):
        load(picks, TomogramSet([unknown]))
    corner = picks.replace("Centered", "").replace("Angst", "")
    p = load(corner, TomogramSet([unknown]))
    assert p.pixel_sizes is None
    with pytest.raises(tomoset.ModelError, match="pixel size of optics group 1 is not known"):
        particles_to_star(p, "relion4", TomogramSet([unknown]))
    with pytest.raises(tomoset.UnsupportedError, match="relion4, relion5, not 'warp'"):
        particles_to_star(p, "warp", TomogramSet([unknown]))


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_sets_without_particles_are_written(dialect: str) -> None:
    none = load(PARTICLES_5).select([])
    assert none.positions.shape == (0, 3)
    out = particles_to_star(none, dialect, TOMOGRAMS)
    assert out.names == ("general", "optics", "particles")
    assert len(out["particles"]) == 0
    bare = particles_to_star(replace(none, source=None), dialect, TOMOGRAMS)
    assert bare.names == ("particles",)  # RELION could not read a table behind an empty one
    again = load(star.dumps(bare))
    assert len(again) == 0


def test_several_tables_of_particles() -> None:
    two = PARTICLES_4 + PARTICLES_4.replace("data_optics", "data_o").replace(
        "data_particles", "data_old"
    )
    file = star.loads(two)
    assert same_texts(
        particles_to_star(particles_from_star(file, TOMOGRAMS), "relion4", TOMOGRAMS), file
    )
    with pytest.raises(
        tomoset.errors.AmbiguityError, match="data_new, data_old all hold particles"
    ):
        load(two.replace("data_particles", "data_new"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (PARTICLES_4.replace("001 001/7", "zzz 001/7"), r"'zzz'; the tomogram set has 'TS_01', '001'\. Give the tomogram set"),
        (PARTICLES_4.replace("001 001/7", "frames/001_TS_01_of_the_first_day.tomostar 001/7"), "did you mean 'TS_01'"),
        (PARTICLES_4.replace("001 001/7", "0001 001/7"), r"in.star: 1 of 3 particles .*no tomogram is called '0001'; the tomogram set has 'TS_01', '001'; did you mean '001'\?"),
        (PARTICLES_4.replace("TS_01 TS_01/1", "x/TS_01_1.00Apx.tomostar TS_01/1"), "did you mean 'TS_01'"),
    ],
)  # fmt: skip
def test_names_of_no_tomogram_are_said_with_the_nearest(text: str, says: str) -> None:
    with pytest.warns(tomoset.LossyWarning, match=says):
        assert len(load(text)) == 2


def test_particles_of_other_tomograms_are_left_out() -> None:
    only = TomogramSet([TOMOGRAMS["TS_01"]])
    with pytest.warns(tomoset.LossyWarning, match="1 of 3 particles are left out"):
        p = load(PARTICLES_4, only)
    assert p.particle_names.tolist() == ["TS_01/1", "TS_01/9"]
    assert list(particles_to_star(p, "relion4", only)["particles"]["rlnMyOwn"]) == ["x", "empty"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (PARTICLES_4.replace("TS_01/9", "TS_01/1"), r"in.star:\d+: a second particle is called 'TS_01/1'"),
        (PARTICLES_4.replace("1.3505", "1.4"), r"in.star:\d+: optics group 2 has 1.4 Å a pixel, but tomogram '001' 1.35"),
        (PARTICLES_4.replace("_rlnTomoTiltSeriesPixelSize", "_rlnMoon"), "RELION asks for"),
        (PARTICLES_4.replace("rlnOriginYAngst", "rlnMoon"), "used with 0 for rlnOriginYAngst"),
        (PARTICLES_4.replace("rlnTomoSubtomogramRot", "rlnMoon"), "turns nothing"),
        (PARTICLES_4.replace("2 second 1.3505 b\n", "").replace("0.5 0 0 2", "0.5 0 0 1").replace("_rlnOpticsGroup #15", "_rlnMoon"), "only group, 1"),
    ],
)  # fmt: skip
def test_assumptions_are_warnings_and_texts_stay(text: str, says: str) -> None:
    with pytest.warns(tomoset.AssumptionWarning, match=says):
        p = load(text)
    out = particles_to_star(p, "relion4", TOMOGRAMS)
    # What was there stays; columns that RELION 4 cannot do without come to it.
    before = star.loads(text)["particles"]
    for label in before:
        assert list(out["particles"][label]) == list(before[label])
    assert "rlnTomoTiltSeriesPixelSize" in out["optics"]
    assert all(label in out["particles"] for label in (*ORIGINS, "rlnOpticsGroup"))


def test_picks_of_relion_5_count_binned_voxels() -> None:
    text = "data_\nloop_\n_rlnTomoName\n" + "".join(f"_{x}\n" for x in CORNER) + "001 1 2 3\n"
    with pytest.warns(tomoset.AssumptionWarning, match="binned tomogram"):
        load(text, TomogramSet(TOMOGRAMS.values(), format="relion5"))


def test_origins_in_pixels_are_not_ignored_in_silence() -> None:
    head = "data_\nloop_\n_rlnTomoName\n" + "".join(f"_{x}\n" for x in CENTRED)
    with pytest.warns(tomoset.AssumptionWarning, match=r"rlnOriginX \(pixels\) are not used"):
        p = load(head + "_rlnOriginX\n_rlnOriginY\n001 1 2 3 2.5 0\n")
    assert p.origins is None
    load(head + "_rlnOriginX\n001 1 2 3 0\n")
    both = "".join(f"_{x}\n" for x in (*ORIGINS, "rlnOriginX"))
    assert load(head + both + "001 1 2 3 5 6 7 2.5\n").origins is not None


def test_an_angle_may_be_given_without_the_others() -> None:
    """RELION's import of filaments writes rlnAngleTilt without the others."""
    text = (
        "data_\nloop_\n_rlnTomoName\n"
        + "".join(f"_{x}\n" for x in CENTRED)
        + "_rlnAngleTilt\n001 1 2 3 90\n"
    )
    p = load(text)
    assert p.angles is not None
    assert p.angles.tolist() == [[0, 90, 0]]
    assert same_texts(particles_to_star(p, "relion5", TOMOGRAMS), star.loads(text))
    turned = particles_to_star(replace(p, angles=[[5, 90, 0]]), "relion5", TOMOGRAMS).first  # type: ignore[arg-type]
    assert list(turned["rlnAngleRot"]) == ["5.0"]
    assert "rlnAnglePsi" not in turned


# ---- real and large --------------------------------------------------------------------------


def test_real_picks_keep_every_text(shared: Path, tmp_path: Path) -> None:
    path = shared / "data/relion5/EMPIAR-10164/Picks/job019/particles.star"
    names = ["TS_01", "TS_03", "TS_43", "TS_45", "TS_54"]
    tomograms = TomogramSet([unaligned_tomogram(name, n=41) for name in names], format="relion5")
    p = read_particles(path, tomograms)
    assert len(p) > 9000
    assert (p.positions > 0).all()
    assert (p.positions < [4000, 4000, 2000]).all()
    star.write(particles_to_star(p, "relion5", tomograms), tmp_path / "out.star")
    assert same_texts(star.read(tmp_path / "out.star"), star.read(path))
    star.write(particles_to_star(p, "relion4", tomograms), tmp_path / "four.star")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tomoset.AssumptionWarning)  # it says rlnCoordinate
        q = read_particles(tmp_path / "four.star", tomograms)
    np.testing.assert_allclose(q.positions, p.positions, rtol=0, atol=1e-9)
    back = particles_to_star(q, "relion5", tomograms)["particles"]
    for label in CENTRED:
        np.testing.assert_allclose(
            back.floats(label), star.read(path).first.floats(label), atol=1e-9
        )


@pytest.mark.slow
def test_many_particles_follow_the_same_rules(tmp_path: Path) -> None:
    """200,000 in the packed columns of a big file: the same rules, and unchanged ones unread."""
    n, rng = 200_000, np.random.default_rng(3)
    tomograms = TomogramSet(
        [unaligned_tomogram(f"TS_{i:02d}", (4001, 4000, 2000), 5) for i in range(20)]
    )
    p = ParticleSet(
        tomogram_names=np.array(list(tomograms))[rng.integers(0, 20, n)],
        coordinates=rng.uniform(0, 2000, (n, 3)), origins=rng.normal(0, 5, (n, 3)),
        subtomogram_angles=rng.uniform(-180, 180, (n, 3)), pixel_sizes=np.full(n, 1.35),
        visible=VisibleTilts(rng.random(5 * n) > 0.3, np.arange(n + 1) * 5),
    )  # fmt: skip
    star.write(particles_to_star(p, "relion5", tomograms), tmp_path / "in.star")
    q = read_particles(tmp_path / "in.star", tomograms)
    np.testing.assert_allclose(q.positions, p.positions, rtol=0, atol=1e-9)
    assert q.visible is not None
    np.testing.assert_array_equal(VisibleTilts.of(q.visible).flat, p.visible.flat)  # type: ignore[union-attr]
    moved = q.coordinates.copy()
    moved[123, 1] += 1
    out = particles_to_star(replace(q, coordinates=moved), "relion5", tomograms)["particles"]
    source = star.read(tmp_path / "in.star")["particles"]
    assert type(out[CENTRED[0]]) is type(source[CENTRED[0]])
    assert not isinstance(out[CENTRED[0]], list)
    differ = [
        i
        for i, (a, b) in enumerate(zip(out[CENTRED[1]], source[CENTRED[1]], strict=True))
        if a != b
    ]
    assert differ == [123]
    some = q.select(q.in_tomogram("TS_07"))
    assert same_texts(
        star.StarFile((particles_to_star(some, "relion5", tomograms)["particles"],)),
        star.StarFile((source.take(p.in_tomogram("TS_07")),)),
    )
