"""Every field of the model comes back through both dialects, from Python and from files."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tomoset
from tests.builders.equality import equal
from tests.builders.tomograms import rigid_tomogram
from tomoset import Deformation, Optics, ParticleSet, Tomogram, TomogramSet, geometry, star
from tomoset.formats._relion_sets import particles_from_star, particles_to_star
from tomoset.model import Ice, Reconstruction

DIALECTS = ("relion4", "relion5")
NUMBERS = st.floats(-1e4, 1e4, allow_nan=False)
#: Coefficients; all 0 is what files say where there is none.
ZERNIKE = st.lists(NUMBERS, max_size=6).filter(lambda c: not c or any(c)).map(tuple)

SET = TomogramSet(
    [
        Tomogram(name=name, n_tilts=3, size=(40, 41, 20), optics=Optics(pixel_size=2.5))
        for name in ("a", "b")
    ]
)


@st.composite
def optics(draw: st.DrawFn, group: str) -> Optics:
    return Optics(
        pixel_size=2.5,
        voltage=draw(st.sampled_from([80.0, 200.0, 300.0])),
        spherical_aberration=draw(st.sampled_from([0.01, 2.7])),
        amplitude_contrast=draw(st.floats(0, 1)),
        group=group,
        aberrations=(draw(ZERNIKE), draw(ZERNIKE)),
        beam_tilt=draw(st.sampled_from([(0.0, 0.0), (0.1, -0.25)])),
        magnification=draw(st.sampled_from([((1.0, 0.0), (0.0, 1.0)), ((1.01, 0.1), (0.2, 0.9))])),
    )


@st.composite
def particle_sets(draw: st.DrawFn) -> ParticleSet:
    n = draw(st.integers(1, 6))
    groups = {3: draw(optics("first")), 7: draw(optics("second"))}

    def each(values: list[int]) -> list[int]:
        return draw(st.lists(st.sampled_from(values), min_size=n, max_size=n))

    return ParticleSet(
        tomogram_names=np.array([("a", "b")[i] for i in each([0, 1])]),
        coordinates=np.ones((n, 3)),
        visible=[np.array(each([0, 1, 1])[:1] * 3, dtype=bool) for _ in range(n)],
        halves=draw(st.none() | st.just(0).map(lambda _: np.array(each([0, 1])))),
        classes=draw(st.none() | st.just(0).map(lambda _: np.array(each([1, 4])))),
        scores=draw(st.none() | st.just(0).map(lambda _: np.array(each([0, 2])) / 3)),
        optics_groups=np.array(each([3, 7])),
        optics=groups,
        pixel_sizes=np.full(n, 2.5),
    )


def through(particles: ParticleSet, dialect: str) -> ParticleSet:
    return particles_from_star(
        star.loads(star.dumps(particles_to_star(particles, dialect, SET))), SET
    )


def same(one: ParticleSet, other: ParticleSet) -> None:
    columns = ("halves", "classes", "scores", "optics_groups", "pixel_sizes")
    for field in ("tomogram_names", "coordinates", *columns):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    assert [m.tolist() for m in one.visible or ()] == [m.tolist() for m in other.visible or ()]
    assert one.optics == other.optics


@settings(deadline=None, max_examples=40)
@given(particle_sets(), st.sampled_from(DIALECTS), st.sampled_from(DIALECTS), st.data())
def test_particles(made: ParticleSet, first: str, second: str, data: st.DataObject) -> None:
    read = through(made, first)
    same(made, read)
    same(made, through(read, second))
    # What is changed after reading is written; the rest keeps its text.
    changed = replace(
        read,
        halves=None if read.halves is None else 1 - read.halves,
        optics={**read.optics, 3: data.draw(optics("third"))},
    )
    same(changed, through(changed, second))
    # As in a task of another process, where texts are left behind.
    same(changed, through(replace(changed, source=None), second))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_new_optics_group_among_old_ones(dialect: str) -> None:
    p = ParticleSet(
        tomogram_names=["a", "b"],
        coordinates=np.ones((2, 3)),
        optics_groups=[1, 1],
        optics={1: Optics(pixel_size=2.5)},
    )
    read = through(p, dialect)
    new = Optics(pixel_size=2.5, group="new", aberrations=((), (0.0, 3.0)))
    split = replace(read, optics_groups=[1, 2], optics={**read.optics, 2: new})
    file = particles_to_star(split, dialect, SET)
    assert list(file["optics"]["rlnOddZernike"]) == ["[0.0,0.0]", "[0.0,3.0]"]
    same(split, through(split, dialect))
    fewer = replace(split, optics={2: new}, optics_groups=[2, 2])
    same(fewer, through(fewer, dialect))


# tomograms

N = 4
#: Per tilt image: standard deviations that RELION has no columns for.
DEVIATIONS = (
    *("x_tilt", "tilt", "rotation", "shift_x", "shift_y", "magnification", "stretch", "skew"),
    *("defocus", "astigmatism", "defocus_angle", "ctf_scale"),
)


def per_tilt(low: float, high: float) -> st.SearchStrategy[np.ndarray]:
    number = st.floats(low, high).map(lambda x: round(x, 6))
    return st.lists(number, min_size=N, max_size=N).map(np.array)


def names(pattern: str) -> tuple[str, ...]:
    return tuple(pattern.format(i) for i in range(1, N + 1))


@st.composite
def tomograms(draw: st.DrawFn, name: str = "TS_01") -> Tomogram:
    angles = np.stack([np.zeros(N), draw(per_tilt(-60, 60)), np.full(N, 85.0)], axis=1)
    ice = Ice(luminance=1.25, thickness=0.5, normal=(0.0, 0.6, 0.8))
    made = Reconstruction(
        binning=4.0, path="t.mrc", half1="1.mrc", half2="2.mrc",
        others={"denoised": "d.mrc", "projection": "p.mrc", "projection_half2": "p2.mrc"},
    )  # fmt: skip
    bent = Deformation(kind="linear", grid=(3, 3), coefficients=np.full((N, 3), 1e-4))
    found = draw(st.lists(st.sampled_from(DEVIATIONS), unique=True))
    unknown = np.where(np.arange(N) == 1, np.nan, 0)
    return Tomogram(
        name=name,
        n_tilts=N,
        optics=replace(draw(optics("g")), pixel_size=1.35),
        hand=draw(st.sampled_from([1, -1])),
        stack=f"{name}.mrcs",
        image_size=(64, 48),
        size=(64, 48, 20),
        projections=geometry.rigid_projections(
            angles, np.zeros((N, 2)), size=(64, 48, 20), image_size=(64, 48)
        ),
        defocus_u=draw(per_tilt(1e4, 5e4)),
        defocus_v=draw(per_tilt(1e4, 5e4)),
        phase_shift=draw(st.none() | per_tilt(0, 180)),
        pre_exposure=draw(per_tilt(0, 100)),
        exposure=draw(st.none() | per_tilt(0, 5)),
        nominal_tilts=draw(st.none() | per_tilt(-60, 60)),
        nominal_axis=draw(st.none() | per_tilt(-180, 180)),
        acquisition=draw(st.none() | st.permutations(range(N)).map(np.array)),
        fractional_dose=3.0,
        half_images=draw(
            st.sampled_from([None, (names("{}@even.mrcs"), names("odd/{}.mrc")), ((), names("{}"))])
        ),
        movies=draw(st.sampled_from([None, names("frames/{}.tif")])),
        deformation=draw(st.sampled_from([None, bent])),
        reconstruction=draw(st.sampled_from([None, made])),
        deviations={what: draw(per_tilt(0, 10)) + unknown for what in found},
        hand_log_odds=draw(st.none() | st.floats(-1e3, 1e3)),
        ice=draw(st.sampled_from([None, ice, Ice(thickness=0.25)])),
    )


def written_and_read(tomograms: TomogramSet, dialect: str) -> TomogramSet:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tomograms.star"
        tomograms.write(path, dialect)
        return tomoset.read(path)


#: What is about where the defocus holds differs between dialects, and is tested elsewhere.
ELSEWHERE = ("source", "depth_origin", "defocus_u", "defocus_v", "projections", "alignment")


def same_tomogram(one: Tomogram, other: Tomogram, *but: str) -> None:
    left = {f for f in one.__dataclass_fields__ if f not in (*ELSEWHERE, "image_size", *but)}
    assert [f for f in left if not equal(getattr(one, f), getattr(other, f))] == []


@settings(deadline=None, max_examples=15)
@given(tomograms(), st.sampled_from(DIALECTS), st.sampled_from(DIALECTS), st.data())
def test_tomograms(made: Tomogram, first: str, second: str, data: st.DataObject) -> None:
    read = written_and_read(TomogramSet([made]), first)["TS_01"]
    index = () if made.image_index is not None else ("image_index",)
    same_tomogram(made, read, *index)
    known = replace(read, image_size=(64, 48)).placed()
    same_tomogram(known, written_and_read(TomogramSet([known]), second)["TS_01"], *index)
    # What is changed after reading is written, whether or not its text is there.
    other = data.draw(tomograms())
    fields = ("exposure", "acquisition", "nominal_tilts", "nominal_axis", "half_images", "movies", "deviations", "hand_log_odds",
              "ice", "reconstruction", "hand", "optics", "phase_shift", "pre_exposure")  # fmt: skip
    changed = replace(known, **{field: getattr(other, field) for field in fields})
    for source in (changed.source, None):
        there = written_and_read(TomogramSet([replace(changed, source=source)]), second)
        same_tomogram(changed, there["TS_01"], *index)


@pytest.mark.filterwarnings("ignore:.*takes row i for image i:tomoset.LossyWarning")
@pytest.mark.parametrize("dialect", DIALECTS)
def test_selected_rows_keep_their_texts(dialect: str, tmp_path: Path) -> None:
    """Also those of an alignment, which one dialect says in five columns together."""
    angles = np.stack([np.zeros(N), [-40.0, 0.1, 20.3, 41.7], np.full(N, 85.3)], axis=1)
    made = Tomogram(
        name="TS_01", n_tilts=N, optics=Optics(pixel_size=1.35), stack="TS_01.mrcs", size=(64, 48, 20),
        projections=geometry.rigid_projections(angles, np.ones((N, 2)), size=(64, 48, 20), image_size=(64, 48)),
        image_size=(64, 48), pre_exposure=[9.0, 0.0, 3.0, 6.0],
    )  # fmt: skip
    TomogramSet([made]).write(tmp_path / "one.star", dialect)
    files = list(tmp_path.rglob("*TS_01.star")) or [tmp_path / "one.star"]
    text = star.read(files[0])
    last = text.tables[-1]
    odd = {k: [v + "0" if "." in v else v for v in vs] if k != "rlnMicrographName" else vs
           for k, vs in last.columns.items() if "[" not in vs[0]}  # fmt: skip
    last = last.with_columns(odd)
    star.write(star.StarFile((*text.tables[:-1], last)), files[0])
    read = tomoset.read(tmp_path / "one.star")
    picked = read["TS_01"].select([2, 0])
    read.with_tomograms([picked]).write(tmp_path / "two.star")
    table = star.read(str(files[0]).replace("one.star", "two.star")).tables[-1]
    for label in last.columns:
        assert list(table[label]) == [last[label][2], last[label][0]], label


# tilt images that were taken out


@pytest.mark.filterwarnings("ignore:.*takes row i for image i:tomoset.LossyWarning")
@settings(deadline=None, max_examples=15)
@given(tomograms(), st.permutations(range(N)), st.sampled_from(DIALECTS), st.sampled_from(DIALECTS))
def test_tilt_images_that_were_taken_out_come_back(
    made: Tomogram, order: list[int], first: str, second: str
) -> None:
    read = written_and_read(TomogramSet([made]), first)["TS_01"]
    whole = replace(read, image_size=(64, 48)).placed()
    less = whole.exclude([order[0]], "ice on  it").exclude([0, 1], "dark")
    assert less.n_tilts == 1
    for source in (less.source, None):
        there = written_and_read(TomogramSet([replace(less, source=source)]), second)["TS_01"]
        assert [e.row for e in there.exclusions] == [e.row for e in less.exclusions]
        assert [e.reason for e in there.exclusions] == ["ice on it", "dark", "dark"]
        back = there.placed(image_size=(64, 48)).restore()
        same_tomogram(whole, back, "image_index")
        points = [[20.0, 30.0, 4.0], [60.0, 1.0, 19.0]]
        np.testing.assert_allclose(back.project(points), whole.project(points), atol=1e-6)
        np.testing.assert_allclose(back.defocus(points), whole.defocus(points), atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*takes row i for image i:tomoset.LossyWarning")
@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_relion_reads_is_before_what_was_taken_out(dialect: str, tmp_path: Path) -> None:
    t = Tomogram(
        name="a", n_tilts=3, optics=Optics(pixel_size=2.0), stack="a.mrcs", pre_exposure=[0.0, 3.0, 6.0],
    )  # fmt: skip
    path = tmp_path / "set.star"
    TomogramSet([t.exclude([1], "ice"), replace(t, name="b")]).write(path, dialect)
    file = star.read(path if dialect == "relion4" else tmp_path / "tilt_series/a.star")
    expected = ["global", "a", "b"] if dialect == "relion4" else ["a"]
    assert [*file.names] == [*expected, "tomoset_excluded_a"]
    out = file["tomoset_excluded_a"]
    assert list(out["rlnMicrographName"]) == ["000002@a.mrcs"]
    assert list(out["tomosetReason"]) == ["ice"]
    # Texts stay, whether the image is in or out.
    read = tomoset.read(path)
    read.write(tmp_path / "again/set.star")
    again = star.read(str(file.path).replace(str(tmp_path), str(tmp_path / "again")))
    assert [dict(x.columns) for x in again] == [dict(x.columns) for x in file]
    read.with_tomograms([read["a"].restore(), read["b"]]).write(path)
    assert "tomoset_excluded_a" not in star.read(str(file.path)).names
    assert tomoset.read(path)["a"].pre_exposure.tolist() == [0.0, 3.0, 6.0]  # type: ignore[union-attr]


def test_what_was_taken_out_moves_along() -> None:
    from tomoset.project.transform import transform_tomogram

    P = geometry.rigid_projections(
        np.array([[0, -30.0, 85], [0, 0, 85], [0, 30, 85]]), np.zeros((3, 2)), size=(64, 48, 20), image_size=(64, 48)
    )  # fmt: skip
    t = Tomogram(
        name="a", n_tilts=3, optics=Optics(pixel_size=2.0), stack="a.mrcs", size=(64, 48, 20), projections=P,
        image_size=(64, 48), defocus_u=[3e4] * 3, defocus_v=[2e4] * 3,
    )  # fmt: skip
    move = geometry.rotation_x(10.0)
    moved, points = transform_tomogram(t, move), [[10.0, 20.0, 3.0]]
    back = transform_tomogram(t.exclude([1], "ice"), move).restore()
    np.testing.assert_allclose(back.project(points), moved.project(points), atol=1e-9)
    np.testing.assert_allclose(back.defocus(points), moved.defocus(points), atol=1e-6)
    bent = Deformation(kind="linear", grid=(3, 3), coefficients=np.zeros((2, 3)))
    later = replace(t.exclude([1], "ice"), deformation=bent)
    with pytest.raises(tomoset.ModelError, match="some tilt images have deformation"):
        later.restore()


@pytest.mark.parametrize("label", ["XShiftAngst", "YShiftAngst", "ZRot", "YTilt", "XTilt"])
def test_a_misspelt_column_of_an_alignment_loses_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    monkeypatch.chdir(tmp_path)
    moved = geometry.translation((3, 4, 0)) @ rigid_tomogram().projections
    TomogramSet([rigid_tomogram(stack=None, projections=moved)]).write("one.star", "relion5")
    path = Path("tilt_series/TS_01.star")
    path.write_text(path.read_text().replace(f"rlnTomo{label}", "rlnMine"))
    tomoset.read("one.star").write("again/one.star")
    before, after = (star.read(p)["TS_01"] for p in (path, "again" / path))
    assert {name: list(after[name]) for name in before.labels} == {
        name: list(before[name]) for name in before.labels
    }


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_the_table_of_excluded_images_keeps_its_comments_and_is_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    monkeypatch.chdir(tmp_path)
    series = rigid_tomogram(stack="a.mrcs").exclude([4], "ice")
    TomogramSet([series]).write("one.star", dialect)
    path = Path("one.star" if dialect == "relion4" else "tilt_series/TS_01.star")
    text = path.read_text()
    head, table = text.split("data_tomoset_excluded_TS_01")
    path.write_text(f"{head}\n# mine\n\ndata_tomoset_excluded_TS_01{table}")
    tomoset.read("one.star").write("again/two.star")
    assert "# mine" in "".join(f.read_text() for f in Path("again").rglob("*.star"))
    path.write_text(f"{text}\ndata_tomoset_excluded_TS_01{table}")
    with pytest.raises(tomoset.FileFormatError, match="2 tables are called data_tomoset_excl"):
        tomoset.read("one.star")
