"""Particle tables of other packages: their formulas, their files, and every mistake a message."""

from __future__ import annotations

import json
import random
import re
import shutil
import struct
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import tomoset
from tests.builders.command import run as run_command
from tests.builders.tomograms import rigid_tomogram
from tomoset import AssumptionWarning, LossyWarning, ParticleSet, Tomogram, TomogramSet, geometry
from tomoset.cli.import_particles import _VOLUMES
from tomoset.formats import FORMATS, Format, Picked, format_named, joined_particles, read_particles
from tomoset.formats._eman2_particles import Eman2Particles
from tomoset.formats._imod_model import ImodModel, write_model
from tomoset.formats._pick_frames import Volume
from tomoset.formats._pick_names import numbered
from tomoset.model import Optics, Project
from tomoset.project.convert_particles import convert_particles

Array = npt.NDArray[np.float64]
Rotation = pytest.importorskip("scipy.spatial.transform").Rotation
TABLES: list[Format] = [f for f in FORMATS if f.particle_files]
every = pytest.mark.parametrize("format", TABLES, ids=lambda f: type(f).__name__)
UNBINNED = Picked(binning=1)
NAMES = {"1": "TS_01", "2": "TS_02"}
#: Three angles as tables have them.
ANGLES = np.array([[30.0, 40.0, 50.0], [-170.0, 100.0, 20.0], [0.0, 0.0, 12.0], [75.0, 180.0, 3.0]])


def tomograms(*names: str, size: tuple[int, int, int] = (400, 300, 201)) -> TomogramSet:
    return TomogramSet(
        Tomogram(name=name, n_tilts=3, size=size, optics=Optics(pixel_size=2.0))
        for name in names or ("TS_01", "TS_02")
    )


def particles(n: int = 7, seed: int = 0, *, scale: float = 200.0) -> ParticleSet:
    rng = np.random.default_rng(seed)
    return ParticleSet(
        tomogram_names=[f"TS_{1 + i % 2:02d}" for i in range(n)],
        coordinates=rng.uniform(0, scale, (n, 3)),
        angles=rng.uniform(-90, 90, (n, 3)),
        halves=np.arange(n) % 2,
        classes=np.arange(n) % 3 + 1,
        scores=rng.uniform(0.1, 1, n),
        pixel_sizes=np.full(n, 2.0),
    )


def quietly(call: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", tomoset.TomosetWarning)
        return call()


def through(
    format: Format, p: ParticleSet, folder: Path, s: TomogramSet, picked: Picked = UNBINNED
) -> ParticleSet:
    written = format.write_picks(p, folder, s, picked)
    return joined_particles([quietly(lambda f=f: format.read_picks(f, s, picked)) for f in written])


def near(one: ParticleSet, other: ParticleSet, places: float = 1e-5, turns: float = 1e-6) -> None:
    for name, rows in one.by_tomogram().items():
        found = other.in_tomogram(name)
        np.testing.assert_allclose(other.positions[found], one.positions[rows], atol=places)
        np.testing.assert_allclose(other.orientations[found], one.orientations[rows], atol=turns)


# formulas


def dynamo(folder: Path, places: Array, angles: Array, tomogram: float = 1) -> Path:
    rows = []
    for i, (place, angle) in enumerate(zip(places, angles, strict=True)):
        row = [0.0] * 35
        row[0], row[19] = i + 1, tomogram
        row[3:6], row[23:26] = [0.25] * 3, (place - 0.25).tolist()
        row[6:9] = angle.tolist()
        rows.append(" ".join(map(repr, row)))
    path = folder / "t.tbl"
    path.write_text("\n".join(rows) + "\n")
    return path


STOPGAP_HEAD = """
data_stopgap_motivelist

loop_
_motl_idx
_tomo_num
_object
_subtomo_num
_halfset
_orig_x
_orig_y
_orig_z
_score
_x_shift
_y_shift
_z_shift
_phi
_psi
_the
_class
"""


def stopgap(folder: Path, places: Array, angles: Array) -> Path:
    rows = [
        f"{i} 1 1 {i} {'AB'[i % 2]} {x - 0.5} {y - 0.5} {z - 0.5} 0.5 .5 .5 .5 {phi} {psi} {the} 1"
        for i, ((x, y, z), (phi, the, psi)) in enumerate(zip(places, angles, strict=True), 1)
    ]
    path = folder / "allmotl_1.star"
    path.write_text(STOPGAP_HEAD + "\n".join(rows) + "\n")
    return path


def peet(folder: Path, places: Array, angles: Array) -> Path:
    write_model(ImodModel(contours=(places - 1,)), folder / "TS_01.mod")
    rows = [
        f"0.5,0,0,{i},0,0,0,0,0,0,1,1,1,0,0,0,{phi},{psi},{the},0"
        for i, (phi, the, psi) in enumerate(angles, 1)
    ]
    path = folder / "TS_01_MOTL.csv"
    path.write_text("CCC,reserved,reserved,pIndex,...\n" + "\n".join(rows) + "\n")
    return path


def av3(folder: Path, places: Array, angles: Array) -> Path:
    table = np.zeros((len(places), 20), ">f4")
    table[:, 4], table[:, 7:10], table[:, 10:13] = 1, places - 2, 2
    table[:, 16], table[:, 18], table[:, 17] = angles.T
    path = folder / "motl_1.em"
    head = struct.pack(">bxxb3i", 3, 5, 20, len(places), 1)
    path.write_bytes(head.ljust(512, b"\0") + table.tobytes())
    return path


def placed(what: str, folder: Path, places: Array, angles: Array) -> Path:
    made: dict[str, Callable[..., Path]] = {
        "dynamo": dynamo, "stopgap": stopgap, "peet": peet, "av3": av3,
    }  # fmt: skip
    return made[what](folder, places, angles)


@pytest.mark.parametrize(
    ("what", "first"), [("dynamo", 1), ("stopgap", 1), ("av3", 1), ("peet", [0.5, 0.5, 0])]
)
def test_places_and_angles_are_what_the_packages_mean(
    what: str, first: Any, tmp_path: Path
) -> None:
    """Angles against SciPy: those of the reference to the particle, Dynamo's of the way back."""
    places = np.array([[10.0, 20.0, 30.0], [11.5, 21.25, 8.0], [100, 90, 80], [1, 2, 3]])
    p = quietly(lambda: read_particles(placed(what, tmp_path, places, ANGLES), tomograms()))
    np.testing.assert_allclose(p.positions, places - first, atol=1e-5)
    turned = Rotation.from_euler("zxz", ANGLES, degrees=True)
    wanted = turned.inv() if what == "dynamo" else turned
    np.testing.assert_allclose(p.orientations, wanted.as_matrix(), atol=1e-6)
    # RELION's angles, as its programs and others read them: of the particle to the reference.
    relion = Rotation.from_euler("ZYZ", p.angles, degrees=True).inv()
    np.testing.assert_allclose(relion.as_matrix(), wanted.as_matrix(), atol=1e-6)
    four = quietly(
        lambda: read_particles(placed(what, tmp_path, places / 8, ANGLES), tomograms(), binning=4)
    )
    np.testing.assert_allclose(four.positions, (places / 8 - first) * 4, atol=1e-5)


def test_dynamo_as_eulerangles_has_it(tmp_path: Path) -> None:
    """A worked number of that package, version 1.0.2: the first row of its table ``t_double``."""
    path = dynamo(tmp_path, np.array([[9.0, 9, 9]]), np.array([[175.66, 90.681, -129.51]]))
    p = quietly(lambda: read_particles(path, tomograms()))
    assert p.angles is not None
    np.testing.assert_allclose(p.angles, [[140.49, 90.681, -94.34]], atol=1e-9)


@pytest.mark.parametrize("name", ["copick", "ndjson"])
def test_points_in_json(name: str, tmp_path: Path) -> None:
    matrix = Rotation.from_euler("zxz", ANGLES[1], degrees=True).as_matrix()
    place = {"x": 20.0, "y": 41.0, "z": 12.0}
    path = tmp_path / "TS_01.ndjson"
    content: Any = {
        "type": "orientedPoint",
        "location": place,
        "xyz_rotation_matrix": matrix.tolist(),
    }
    wanted = np.array([[80.0, 164, 48]])  # voxels of binning 4
    if name == "copick":
        path = tmp_path / "ExperimentRuns/TS_01/Picks/me_1_ribosome.json"
        path.parent.mkdir(parents=True)
        moved = np.eye(4)
        moved[:3, :3], moved[:3, 3] = matrix, [2, 0, -2]
        point = {"location": place, "transformation_": moved.tolist(), "score": 0.5}
        content = {"pickable_object_name": "ribosome", "run_name": None, "points": [point]}
        wanted = np.array([[11.0, 20.5, 5.0]])  # Å, of 2 Å a voxel
    path.write_text(json.dumps(content) + "\n")
    p = quietly(lambda: read_particles(path, tomograms(), binning=4))
    np.testing.assert_allclose(p.positions, wanted, atol=1e-9)
    np.testing.assert_allclose(p.orientations[0], matrix, atol=1e-9)
    assert p.tomogram_names.tolist() == ["TS_01"]


def test_the_path_of_an_annotation_says_run_and_voxels(tmp_path: Path) -> None:
    path = tmp_path / "TS_02/Reconstructions/VoxelSpacing10.000/Annotations/100/a-1.0_point.ndjson"
    path.parent.mkdir(parents=True)
    path.write_text('{"type": "point", "location": {"x": 3, "y": 4, "z": 5}}\n')
    with pytest.warns(AssumptionWarning, match="voxels of 10 Å, as the path says"):
        p = read_particles(path, tomograms())
    assert p.positions.tolist() == [[15.0, 20.0, 25.0]]
    assert p.angles is None
    assert p.tomogram_names.tolist() == ["TS_02"]


def test_eman2_counts_from_the_middle(tmp_path: Path) -> None:
    """`e2spt_extract` places a particle at its coordinate plus what the inverse of M moves 0 to."""
    turned = Rotation.from_euler("zxz", ANGLES[0], degrees=True).as_matrix()
    moved = np.array([1.0, 2.0, -3.0])
    flat = np.concatenate([turned, moved[:, None]], axis=1).ravel()
    matrix = {"__class__": "Transform", "matrix": json.dumps(flat.tolist())}
    facts = json.dumps({"class": 1, "coord": [5, -6, 7], "xform.align3d": matrix, "score": -0.2})
    path = tmp_path / "aliptcls3d_02.lst"
    path.write_text(f"#LSX\n# note\n# 99\n0\tparticles3d/TS_01__ribo_bin2.hdf\t{facts}   \n")
    p = quietly(lambda: Eman2Particles().read_picks(path, tomograms(), Picked(binning=2)))
    np.testing.assert_allclose(p.orientations[0], turned.T, atol=1e-9)
    inverse = -turned.T @ moved
    wanted = (np.array([5, -6, 7]) + inverse) * 2 + [200, 150, 100]
    np.testing.assert_allclose(p.positions, [wanted], atol=1e-9)
    info = tmp_path / "TS_02_info.json"
    info.write_text(json.dumps({"boxes_3d": [[1, 2, 3, "manual", 0.0, 0]], "apix_unbin": 4.0}))
    assert Eman2Particles().detect_particles(str(info), b"")
    p = quietly(lambda: Eman2Particles().read_picks(info, tomograms(), Picked()))
    assert p.positions.tolist() == [[202.0, 154.0, 106.0]]


def test_dynamo_gets_the_range_of_tilts(tmp_path: Path) -> None:
    t = rigid_tomogram()
    p = ParticleSet(tomogram_names=["TS_01"], coordinates=[[3, 4, 5]])
    (path,) = format_named("dynamo").write_picks(p, tmp_path, TomogramSet([t]), UNBINNED)
    row = np.loadtxt(path)
    np.testing.assert_allclose(row[12:17], [1, -40, 40, 0, 0], atol=1e-4)


# volumes


def seen_as(volume: str, tomogram: Array) -> Array:
    """The volume (z, y, x) of which a tomogram was made, by NumPy's own steps."""
    made = {
        "same": lambda a: a,
        "mirrored": lambda a: a[::-1],
        "turned": lambda a: a[::-1, ::-1],
        "exchanged": lambda a: a.swapaxes(0, 1),
        # trimvol -rotx: y of the result is the old z, z the old y from the end.
        "unrotated": lambda a: a[::-1].swapaxes(0, 1),
    }
    return np.asarray(made[volume](tomogram))


@pytest.mark.parametrize("volume", get_args(Volume))
def test_volumes_that_lie_otherwise(volume: Volume) -> None:
    size = (5, 6, 7)
    t = Tomogram(name="a", n_tilts=1, size=size, optics=Optics(pixel_size=2.0))
    numbers = np.arange(np.prod(size)).reshape(size[::-1])
    there = seen_as(volume, numbers)
    picked = Picked(binning=1, volume=volume)
    for place in ((0, 0, 0), (1, 2, 3), (4, 5, 6)):
        (z, y, x) = (int(i[0]) for i in np.nonzero(there == numbers[place[::-1]]))
        moved = picked.to_tomogram(np.array([[x, y, z]], float), t)
        assert moved.tolist() == [list(place)]
        np.testing.assert_allclose(picked.from_tomogram(moved, t), [[x, y, z]])
    # A point of the particle lands where the particle as it lies now has it, or its mirror image.
    turned = Rotation.from_euler("zxz", ANGLES[1], degrees=True).as_matrix()[None]
    now = picked.turned(turned)
    assert np.linalg.det(now[0]) == pytest.approx(1)
    np.testing.assert_allclose(picked.turned_back(now), turned, atol=1e-12)
    point, centre = np.array([1.0, 2.0, 3.0]), np.array([[2.0, 2.0, 2.0]])
    mirror = volume in ("mirrored", "exchanged")
    own = point * [-1, 1, 1] if mirror else point
    landed = picked.to_tomogram(centre + turned[0] @ point, t)
    np.testing.assert_allclose(landed, picked.to_tomogram(centre, t) + now[0] @ own, atol=1e-12)


def test_voxels_that_are_means_have_their_middle_in_the_middle() -> None:
    fine = np.arange(24.0)
    means = fine.reshape(-1, 4).mean(axis=1)  # of positions: where each mean lies
    assert geometry.unbinned(np.arange(6.0), 4, averaged=True).tolist() == means.tolist()
    assert geometry.binned(means, 4, averaged=True).tolist() == list(range(6))


# round trips


@st.composite
def sets_of_particles(draw: st.DrawFn) -> ParticleSet:
    n = draw(st.integers(1, 9))
    place = st.floats(0, 199, allow_nan=False, width=32)
    angle = st.floats(-180, 180, allow_nan=False, width=32)

    def triples(values: st.SearchStrategy[float]) -> Array:
        return np.array(draw(st.lists(st.tuples(*[values] * 3), min_size=n, max_size=n)))

    made = particles(n)
    changed = replace(made, coordinates=triples(place), angles=triples(angle))
    if draw(st.booleans()):
        changed = replace(
            changed, origins=triples(st.floats(-5, 5)), subtomogram_angles=triples(angle)
        )
    return changed


@every
@settings(deadline=None, max_examples=12, phases=[Phase.explicit, Phase.generate])
@given(
    made=sets_of_particles(),
    volume=st.sampled_from(get_args(Volume)),
    binning=st.sampled_from([1.0, 2.0, 3.5]),
    averaged=st.booleans(),
)
def test_what_is_written_is_read_again(
    format: Format,
    made: ParticleSet,
    volume: Volume,
    binning: float,
    averaged: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    s = tomograms(size=(200, 200, 200))
    picked = Picked(binning=binning, volume=volume, averaged=averaged, allow_outside=True)
    again = through(format, made, tmp_path_factory.mktemp("tables"), s, picked)
    near(made, again, places=2e-4 if isinstance(format, type(format_named("av3"))) else 1e-6)
    for field in format.particle_says:
        rows = np.concatenate([again.in_tomogram(name) for name in made.by_tomogram()])
        ours = np.concatenate(list(made.by_tomogram().values()))
        if field != "halves" or len(set(made.halves.tolist())) == 2:  # type: ignore[union-attr]
            np.testing.assert_allclose(
                getattr(again, field)[rows], getattr(made, field)[ours], rtol=1e-6
            )


def test_a_package_that_counts_otherwise(tmp_path: Path) -> None:
    made = particles()
    for format in (format_named("dynamo"), format_named("peet"), format_named("ndjson")):
        for first in (0, 1):
            picked = Picked(binning=1, first_voxel=first)
            near(
                made, through(format, made, tmp_path / f"{format.name}{first}", tomograms(), picked)
            )
    path = dynamo(tmp_path, np.array([[9.0, 9, 9]]), ANGLES[:1])
    p = quietly(lambda: read_particles(path, tomograms(), first_voxel=0))
    assert p.positions.tolist() == [[9.0, 9.0, 9.0]]


@every
@pytest.mark.parametrize("n", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_many_particles(format: Format, n: int, tmp_path: Path) -> None:
    names = [f"TS_{i % 50 + 1:02d}" for i in range(n)]
    made = replace(particles(n), tomogram_names=np.array(names))
    s = tomograms(*sorted(set(names)))
    start = time.process_time()
    written = format.write_picks(made, tmp_path, s, UNBINNED)
    between = time.process_time()
    again = joined_particles([format.read_picks(path, s, UNBINNED) for path in written])
    assert len(again) == n
    assert between - start < 3 * max(n / 100_000, 0.2)
    assert time.process_time() - between < 3 * max(n / 100_000, 0.2)


# names


def test_numbers_are_names_by_map_by_ending_or_not_at_all(tmp_path: Path) -> None:
    path = dynamo(tmp_path, np.array([[9.0, 9, 9]]), ANGLES[:1], tomogram=2)
    with pytest.warns(AssumptionWarning, match="2 is TS_02"):
        p = read_particles(path, tomograms(), binning=1)
    assert p.tomogram_names.tolist() == ["TS_02"]
    (tmp_path / "t.doc").write_text("1 /data/TS_02.mrc\n2 /data/TS_01.mrc\n")
    p = read_particles(path, tomograms(), binning=1)
    assert p.tomogram_names.tolist() == ["TS_01"]
    (tmp_path / "t.doc").unlink()
    with pytest.raises(tomoset.FileFormatError, match=r"t\.tbl.* 1 of 1 tomograms .*'2 \?'"):
        read_particles(path, tomograms("TS_2", "TS_02"), binning=1)
    with pytest.raises(tomoset.FileFormatError, match="leaves out all"):
        quietly(lambda: read_particles(path, tomograms(), names={"2": "-"}))


@pytest.mark.parametrize(
    "key", ["TS_01_Vol", "TS_01.tomostar", "TS_01.mrc", "TS_1", "TS_01_10.00Apx"]
)
def test_names_that_are_nearly_those_of_the_set(key: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text('{"location": {"x": 3, "y": 4, "z": 5}}\n')
    path = path.rename(tmp_path / f"{key}.ndjson")
    with pytest.raises(tomoset.FileFormatError, match=re.escape(f"'{key} TS_01'")):
        read_particles(path, tomograms(), binning=1)
    p = read_particles(path, tomograms(), binning=1, names={key: "TS_01"})
    assert p.tomogram_names.tolist() == ["TS_01"]


def test_names_are_numbered_as_they_end() -> None:
    assert numbered(["TS_03", "TS_01"]) == {"TS_03": 3, "TS_01": 1}
    assert numbered(["TS_1", "TS_01"]) == {"TS_1": 1, "TS_01": 2}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "map is empty"),
        ("1 TS_01\nx\n", r"names:2: expected two columns.*'x'"),
        ("1 TS_01\n1 TS_02\n", r"names:2: 1 is 'TS_01' and 'TS_02'"),
        ("1 TS_07\n", r"1: TS_07; the set has TS_01"),
    ],
)
def test_wrong_maps(
    content: str, message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = (rigid_tomogram(name=name) for name in ("TS_01", "TS_02"))
    TomogramSet(known).write("tomograms.star", "relion4")
    dynamo(here, np.array([[9.0, 9, 9]]), ANGLES[:1])
    Path("names").write_text(content)
    told = ("--t", "tomograms.star", "-o", "p.star", "--names", "names")
    code, _, errors = run_command(capsys, "import", "particles", "t.tbl", *told)
    assert code == 1
    assert re.search(message, errors), errors


def test_the_only_map_of_a_folder_is_said(tmp_path: Path) -> None:
    path = dynamo(tmp_path, np.array([[9.0, 9, 9]]), ANGLES[:1])
    (tmp_path / "indices_column20.doc").write_text("1 TS_02\n")
    with pytest.warns(AssumptionWarning, match="those of indices_column20.doc"):
        p = read_particles(path, tomograms(), binning=1)
    assert p.tomogram_names.tolist() == ["TS_02"]
    p = quietly(lambda: read_particles(path, tomograms(), binning=1, names=NAMES))
    assert p.tomogram_names.tolist() == ["TS_01"]
    (tmp_path / "indices_column20.doc").write_bytes(b"\xd0\xcf\x11\0 a letter")
    with pytest.warns(AssumptionWarning, match="1 is TS_01"):
        read_particles(path, tomograms(), binning=1)


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    s = TomogramSet([rigid_tomogram(name="a/b")])
    p = ParticleSet(tomogram_names=["a/b"], coordinates=[[3, 4, 5]], angles=ANGLES[:1])
    for format in FORMATS:
        if format.particle_files:
            folder = tmp_path / format.name
            done = convert_particles(Project(tomograms=s, particles=p), folder, format.name)
            assert done.position < 0.01


# places outside


def spread(folder: Path, factor: float, *, flip: bool = False) -> Path:
    """Places all over a tomogram of binning `factor`."""
    rng = np.random.default_rng(1)
    places = rng.uniform(0.3, 0.97, (200, 3)) * (400, 300, 201) / factor
    if flip:
        places = places[:, [0, 2, 1]]
    return dynamo(folder, places + 1, np.zeros((200, 3)))


def test_a_wrong_binning_is_said_with_the_right_one(tmp_path: Path) -> None:
    path = spread(tmp_path, 4)
    with pytest.raises(
        tomoset.ModelError, match=r"of 200 particles lie outside.*: binning 4 would"
    ):
        quietly(lambda: read_particles(path, tomograms(), binning=8))
    assert len(quietly(lambda: read_particles(path, tomograms(), pixel_size=8.0))) == 200
    with pytest.warns(AssumptionWarning, match="in the first half .* binned"):
        read_particles(path, tomograms(), binning=1, names=NAMES)
    with pytest.warns(AssumptionWarning, match="taken for voxels of unbinned"):
        read_particles(spread(tmp_path, 1), tomograms(), names=NAMES)


def test_exchanged_axes_are_said(tmp_path: Path) -> None:
    s = tomograms(size=(400, 300, 100))
    rng = np.random.default_rng(1)
    places = rng.uniform(0.45, 0.97, (200, 3)) * (400, 100, 300)
    path = dynamo(tmp_path, places + 1, np.zeros((200, 3)))
    with pytest.raises(
        tomoset.ModelError, match=r"volume (exchanged|unrotated) would put 100% inside"
    ):
        quietly(lambda: read_particles(path, s, binning=1))
    assert len(quietly(lambda: read_particles(path, s, binning=1, volume="unrotated"))) == 200


def test_a_few_outside_are_counted(tmp_path: Path) -> None:
    places = np.full((10, 3), 150.0)
    places[:3, 2] = 500
    path = dynamo(tmp_path, places, np.zeros((10, 3)))
    with pytest.warns(AssumptionWarning, match="3 of 10 particles lie outside"):
        assert len(read_particles(path, tomograms(), binning=1, names=NAMES)) == 10
    places[:, 2] = 1e9
    path = dynamo(tmp_path, places, np.zeros((10, 3)))
    with pytest.raises(tomoset.TomosetError):
        quietly(lambda: read_particles(path, tomograms(), binning=1))


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"binning": 0}, "binning must be above 0"),
        ({"pixel_size": -1.0}, "pixel size must be above 0"),
        ({"pixel_size": 8.0, "binning": 4}, "not both"),
        ({"volume": "upside down"}, "volume must be one of same, mirrored"),
        ({"first_voxel": 2}, "first voxel must be 0 or 1"),
    ],
)
def test_what_is_told_and_makes_no_sense(told: dict[str, Any], message: str) -> None:
    with pytest.raises(tomoset.ModelError, match=message):
        Picked(**told)


# files that are damaged


def tables_of(format: Format, folder: Path) -> tuple[str, list[Path]]:
    """A table, and all files that belong to it."""
    p = particles(8).select(np.arange(8) % 2 == 0)
    written = format.write_picks(p, folder, tomograms(), UNBINNED)
    return written[0], sorted(path for path in folder.rglob("*") if path.is_file())


@every
def test_damaged_tables_are_an_error_that_names_the_file(format: Format, tmp_path: Path) -> None:
    table, files = tables_of(format, tmp_path)
    whole = quietly(lambda: format.read_picks(table, tomograms(), UNBINNED))
    main = Path(table)
    before, said = main.read_bytes(), list[str]()
    for damage in (
        b"",
        b"\0\1\2\3" * 99,
        before[: len(before) // 2],
        before[:40] + b"x" + before[41:],
    ):
        main.write_bytes(damage)
        try:
            read = quietly(lambda: format.read_picks(table, tomograms(), UNBINNED))
        except tomoset.TomosetError as problem:
            said.append(str(problem))
        else:
            assert 0 < len(read) <= len(whole)
    assert len(said) >= 2
    assert all(str(tmp_path) in message for message in said)
    if main.suffix != ".em":
        main.write_bytes(before.replace(b"\n", b"\r\n"))
        near(whole, quietly(lambda: format.read_picks(table, tomograms(), UNBINNED)))
    main.unlink()
    with pytest.raises(tomoset.MissingFileError, match="no such file"):
        format.read_picks(table, tomograms(), UNBINNED)
    assert files


@pytest.mark.parametrize(
    ("what", "old", "new", "message"),
    [
        ("dynamo", " 50.0", "", r"t\.tbl:1: expected at least|t\.tbl:2: expected 34"),
        ("dynamo", "50.0", "fifty", r"t\.tbl:1: expected a number, found 'fifty'"),
        ("dynamo", "50.0", "nan", "particle 1 .*has no orientation"),
        ("stopgap", "50.0", "x", r"star:\d+: .*_psi: expected a number, found 'x'"),
        ("stopgap", "_the", "_theta", "has no the"),
        ("stopgap", " B ", " C ", r"expected a half set, A or B, found 'C'"),
        ("peet", "0.5,0,0,1,", "0.5,0,0,77,", r"points 2 to 77 .*has 4 points"),
        ("peet", "50.0", "y", r"csv:2: expected a number, found 'y'"),
    ],
)
def test_mistakes_in_tables(what: str, old: str, new: str, message: str, tmp_path: Path) -> None:
    path = placed(what, tmp_path, np.full((4, 3), 20.0), ANGLES)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(tomoset.FileFormatError, match=message):
        quietly(lambda: format_named(what).read_picks(path, tomograms(), UNBINNED))


@pytest.mark.parametrize("row", [0, 2])
def test_of_complex_numbers_the_real_parts_are_taken(tmp_path: Path, row: int) -> None:
    """As Dynamo writes where a correlation came out complex."""
    path = dynamo(tmp_path, np.full((4, 3), 20.0), ANGLES)
    named = replace(UNBINNED, names=NAMES)
    plain = quietly(lambda: format_named("dynamo").read_picks(path, tomograms(), named))
    lines = [line.split() for line in path.read_text().splitlines()]
    lines[row][27], lines[row][9] = "0+1.2074e-06i", "-0.25-2e-3i"
    path.write_text("".join(" ".join(words) + "\n" for words in lines))
    assert format_named("dynamo").detect_particles(str(path), path.read_bytes())
    with pytest.warns(AssumptionWarning, match=r"of complex numbers, such as .*i, the real parts"):
        made = format_named("dynamo").read_picks(path, tomograms(), named)
    np.testing.assert_array_equal(made.coordinates, plain.coordinates)
    assert made.scores is not None
    assert made.scores[row] == -0.25
    lines[row][9] = "0.25+i2"
    path.write_text("".join(" ".join(words) + "\n" for words in lines))
    with pytest.raises(
        tomoset.FileFormatError, match=rf":{row + 1}: expected a number, found '0.25"
    ):
        quietly(lambda: format_named("dynamo").read_picks(path, tomograms(), named))


def test_a_model_in_place_of_its_list(tmp_path: Path) -> None:
    peet(tmp_path, np.full((4, 3), 20.0), ANGLES)
    with pytest.raises(tomoset.FileFormatError, match=r"TS_01.mod: this is an IMOD model; give"):
        read_particles(tmp_path / "TS_01.mod", tomograms(), "peet", UNBINNED)


def test_a_list_that_peet_begins_with_finds_its_model(tmp_path: Path) -> None:
    path = peet(tmp_path, np.full((4, 3), 20.0), ANGLES)
    other = path.rename(tmp_path / "TS_01-initMOTL.csv")
    shutil.copy(tmp_path / "TS_01.mod", tmp_path / "TS_02.mod")
    read = quietly(lambda: format_named("peet").read_picks(other, tomograms(), UNBINNED))
    assert set(read.tomogram_names) == {"TS_01"}


def test_a_list_of_peet_needs_its_model(tmp_path: Path) -> None:
    path = peet(tmp_path, np.full((4, 3), 20.0), ANGLES)
    other = path.rename(tmp_path / "run_MOTL_Tom1_Iter3.csv")
    read = quietly(lambda: read_particles(other, tomograms()))  # the only model
    assert set(read.tomogram_names.tolist()) == {"TS_01"}
    (tmp_path / "b.mod").write_bytes((tmp_path / "TS_01.mod").read_bytes())
    with pytest.raises(tomoset.errors.AmbiguityError, match=r"call the model.* run\.mod"):
        quietly(lambda: read_particles(other, tomograms()))
    for model in tmp_path.glob("*.mod"):
        model.unlink()
    with pytest.raises(tomoset.MissingFileError, match=r"called run\.mod"):
        quietly(lambda: read_particles(other, tomograms()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"location": {"x": 1, "y": 2}}', "particle 1 .*has no location"),
        ('{"location": {"x": 1, "y": 2, "z": 3}}\n{"loc', r"ndjson:2: expected a point in JSON"),
        ('{"location": {"x": 1, "y": 2, "z": "a"}}', "point 1: expected a location"),
        ('{"location": {"x": 1, "y": 2, "z": NaN}}', "particle 1 .*has no location"),
        ("7", "point 1: expected a location"),
        (
            '{"location": {"x": 1, "y": 2, "z": 3}, "xyz_rotation_matrix": [[1,0,0],[0,2,0],[0,0,1]]}',
            "point 1 .*no rotation",
        ),
        (
            '{"location": {"x": 1, "y": 2, "z": 3}, "xyz_rotation_matrix": [[1,0],[0,1]]}',
            "xyz_rotation_matrix of 3 x 3",
        ),
    ],
)
def test_mistakes_in_points(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "TS_01.ndjson"
    path.write_text(text + "\n")
    with pytest.raises(tomoset.FileFormatError, match=message):
        read_particles(path, tomograms(), "ndjson", binning=1)


def test_tables_that_say_less_than_others(tmp_path: Path) -> None:
    s, made = tomograms(), particles(4)
    (one,) = format_named("stopgap").write_picks(made, tmp_path, s, UNBINNED)
    point = tmp_path / "TS_01.ndjson"
    point.write_text('{"location": {"x": 1, "y": 2, "z": 3}}\n')
    read = [read_particles(path, s, binning=1) for path in (one, point)]
    with (
        pytest.warns(AssumptionWarning, match="1 of 2 tables have no orientations"),
        pytest.warns(LossyWarning, match="no halves"),
        pytest.warns(LossyWarning, match="no classes"),
        pytest.warns(LossyWarning, match="no scores"),
    ):
        both = joined_particles(read)
    assert len(both) == 5
    assert both.halves is None
    np.testing.assert_allclose(both.orientations[:4], made.orientations, atol=1e-6)
    with pytest.raises(tomoset.errors.UnknownFormatError, match="motive list of STOPGAP"):
        tomoset.read(one)


def test_the_command_knows_all_volumes() -> None:
    assert set(_VOLUMES) == set(get_args(Volume))


def test_instances_and_points_without_orientation_are_said(tmp_path: Path) -> None:
    place = '"location": {"x": 1, "y": 2, "z": 3}'
    path = tmp_path / "TS_01.ndjson"
    turned = '"xyz_rotation_matrix": [[0,-1,0],[1,0,0],[0,0,1]]'
    path.write_text(
        f'{{{place}, {turned}}}\n{{"type": "instancePoint", {place}, "instance_id": 3}}\n'
    )
    with (
        pytest.warns(LossyWarning, match="instances are not carried"),
        pytest.warns(AssumptionWarning, match="1 of 2 points have no orientation"),
    ):
        p = read_particles(path, tomograms(), binning=1)
    np.testing.assert_allclose(p.orientations[1], np.eye(3), atol=1e-12)


@every
@pytest.mark.parametrize("count", [50, pytest.param(800, marks=pytest.mark.slow)])
def test_mutated_tables_never_surprise(format: Format, count: int, tmp_path: Path) -> None:
    """An error of ours, or particles with places and orientations in numbers."""
    chance = random.Random(count)
    table, files = tables_of(format, tmp_path)
    contents = {path: path.read_bytes() for path in files}
    words = [b"nan", b"inf", b"1e308", b"-1e308", b"", b"\0", b"#", b"-", b"99999999999", b"\xff",
             b"null", b"[", b"{}", b'"', b"true"]  # fmt: skip
    good = 0
    for _ in range(count):
        for path, whole in contents.items():
            path.write_bytes(whole)
        path, whole = chance.choice(list(contents.items()))
        spots = [m.span() for m in re.finditer(rb"[^\s,:]+", whole)]
        for _ in range(chance.choice([1, 1, 2, 5])):
            start, end = chance.choice(spots)
            kind = chance.randrange(4)
            if kind == 0:
                whole = whole[:start] + chance.choice(words) + whole[end:]
            elif kind == 1:
                whole = whole[:start] if chance.random() < 0.3 else whole
            elif kind == 2:
                whole = whole[:start] + whole[end:]
            else:
                whole = whole[:end] + bytes([chance.randrange(256)]) + whole[end:]
        path.write_bytes(whole)
        try:
            p = quietly(lambda: format.read_picks(table, tomograms(), UNBINNED))
        except (tomoset.TomosetError, OSError):
            continue
        good += 1
        assert len(p)
        assert np.isfinite(p.positions).all()
        assert np.isfinite(p.orientations).all()
    assert 0 < good < count


# what the command does


@pytest.fixture
def small(here: Path) -> Path:
    t = rigid_tomogram()
    p = particles(6, scale=28).select([0, 2, 4])
    p = replace(
        p, visible=[np.ones(5, bool)] * 3, names=np.array(["TS_01/1", "TS_01/2", "TS_01/3"])
    )
    Project(tomograms=TomogramSet([t]), particles=p).write(here, "relion5")
    return here


@pytest.mark.parametrize(
    "name", [f.name for f in FORMATS if f.particle_files and f.name != "eman2"]
)
def test_there_and_back(name: str, small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, shown, errors = run_command(
        capsys, "convert", "optimisation_set.star", f"out/{name}", "--to", name, "--json"
    )
    assert code == 0, errors
    done = json.loads(shown)
    assert done["particles"] == 3
    assert done["position_px"] < 0.01
    assert done["orientation_deg"] < 0.01
    assert {"optics groups", "names"} <= set(done["lost"])
    assert ("half sets" in done["lost"]) != (name == "stopgap")
    assert (done["names"] is not None) == (name in ("dynamo", "stopgap", "av3"))
    told = ["import", "particles", *done["written"], "--t", "tomograms.star", "--binning", "1"]
    code, shown, errors = run_command(capsys, *told, "-o", f"back_{name}/")
    assert code == 0, errors
    assert "3 particles in 1 tomogram" in shown
    before = tomoset.open_project("optimisation_set.star").particles
    back = tomoset.open_project(f"back_{name}/optimisation_set.star").particles
    assert before is not None
    assert back is not None
    near(before, back)
    code, _, errors = run_command(capsys, *told, "-o", done["written"][0])
    assert code == 1
    assert "is read by this command" in errors or "STAR" in errors


def test_the_command_says_what_is_wrong(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(*arguments: str) -> str:
        code, _, errors = run_command(capsys, *arguments)
        assert code in (1, 2)
        assert "Traceback" not in errors
        return errors

    start = ("import", "particles", "particles.tbl", "--t", "tomograms.star", "-o", "p.star")
    assert "no such file" in fails(*start)
    Path("particles.tbl").write_text("a letter\n")
    assert "particles.tbl:1: expected at least 26 columns" in fails(*start)
    Path("picks.txt").write_text("1 2 3\n")
    assert ".tbl, .star" in fails("import", "particles", "picks.txt", *start[3:])
    Path("particles.tbl").unlink()
    run_command(capsys, "convert", "optimisation_set.star", ".", "--to", "dynamo")
    assert "not both" in fails(*start, "--binning", "2", "--angpix", "4")
    assert "no particle tables" in fails(*start, "--from", "imod")
    assert "no format is called 'moon'" in fails(*start, "--from", "moon")
    assert "(--angpix, --binning)" in fails(*start, "--strict")
    assert "binning" in fails(*start, "--binning", "50")
    assert not Path("p.star").exists()
    TomogramSet([rigid_tomogram()]).write("alone.star", "relion5")
    assert "no particles" in fails("convert", "alone.star", "out", "--to", "peet")
    Path("out.tbl").write_text("of others")
    assert "--overwrite" in fails("convert", "optimisation_set.star", "out.tbl", "--to", "dynamo")
    assert Path("out.tbl").read_text() == "of others"


@pytest.mark.filterwarnings("ignore::tomoset.LossyWarning")
@pytest.mark.parametrize("field", ["shifts", "angles", "scores"])
def test_a_table_that_says_otherwise_is_not_left_there(
    field: str, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dynamo = format_named("dynamo")
    write = dynamo.content  # type: ignore[attr-defined]

    def wrong(table: Any, *others: Any) -> bytes:
        return bytes(write(replace(table, **{field: getattr(table, field) + 0.02}), *others))

    monkeypatch.setattr(dynamo, "content", wrong)
    with pytest.raises(tomoset.errors.VerificationError, match="nothing was written"):
        tomoset.convert("optimisation_set.star", "out", to="dynamo")
    assert not Path("out/particles.tbl").exists()


def test_python_knows_the_tables_too(here: Path) -> None:
    made = particles()
    made.write(here / "a.tbl", tomograms(), "dynamo")
    near(made, tomoset.read_particles(here / "a.tbl", tomograms(), format="dynamo", binning=1))
    near(made, tomoset.read_particles("a.tbl", tomograms(), binning=1))
    made.write(here / "p.star", tomograms(), "relion5")
    again = tomoset.read_particles("p.star", tomograms())
    near(made, again)
    assert again.classes is not None
    assert again.scores is not None
    assert again.classes.tolist() == made.classes.tolist()  # type: ignore[union-attr]
    with pytest.raises(tomoset.UnsupportedError, match="no particle tables"):
        tomoset.read_particles("p.star", tomograms(), format="aretomo")


# real files


def test_dynamos_own_table(shared: Path) -> None:
    folder = shared / "data/other/dynamo"
    names = {"1": "TS_01", "2": "TS_02"}
    p = quietly(
        lambda: read_particles(
            folder / "t_double.tbl", tomograms(size=(300, 300, 300)), names=names, binning=1
        )
    )
    assert len(p) == 300
    np.testing.assert_allclose(p.positions[0], [142.7978, 110.187, 164.1843], atol=1e-9)
    with pytest.raises(tomoset.FileFormatError, match=r"1: tomo_ts01\.mrc_15\.00Apx\.mrc"):
        quietly(lambda: read_particles(folder / "t_double.tbl", tomograms(), binning=1))


def test_picks_of_copick_from_the_portal(shared: Path) -> None:
    folder = shared / "data/other/portal/test_infra/test_files/input_bucket/20002/annotations"
    names = {"copick": "TS_01"}
    p = read_particles(folder / "copick.json", tomograms(), names=names)
    np.testing.assert_allclose(p.positions[0], [20, 10, 15])
    np.testing.assert_allclose(p.orientations[0, 1], [1, 0, 0], atol=1e-9)


@pytest.mark.parametrize("name", [f.name for f in FORMATS if f.particle_files])
def test_picks_of_relions_tutorial(name: str, project: Path, tmp_path: Path) -> None:
    s = quietly(lambda: tomoset.read(project / "Tomograms/job006/tomograms.star"))
    p = quietly(lambda: tomoset.read_particles(project / "Picks/job019/particles.star", s))
    near(p, through(format_named(name), p, tmp_path, s), places=1e-3)
