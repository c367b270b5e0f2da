"""Rules of check over whole projects: each broken once; what next programs need; which are asked."""

from __future__ import annotations

import importlib.util
import json
import random
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.builders.command import run
from tests.builders.image_stacks import write_stack
from tests.builders.imod_folder import make_folder
from tests.builders.mutations import mutated
from tests.builders.random_projects import random_project, write_random_project
from tomoset import star
from tomoset.check import RULES, check_project, chosen_codes, targets
from tomoset.errors import LossyWarning, TomosetError, UnsupportedError
from tomoset.formats import FORMATS, open_parts, read
from tomoset.model import (
    Optics,
    ParticleSet,
    Project,
    Tomogram,
    TomogramSet,
    TrajectorySet,
    VisibleTilts,
)

ROOT = Path(__file__).parents[1]
DIALECTS = ("relion4", "relion5")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sound() -> Project:
    """Of which no rule of particles and motion complains."""
    project = random_project(2)
    particles = project.particles
    assert particles is not None
    n = len(particles)
    still = {str(name): 0.1 * way for name, way in (project.trajectories or {}).items()}
    halves = np.arange(n) % 2
    return project.with_sets(
        particles=replace(particles, halves=halves), trajectories=TrajectorySet(still)
    )


def with_particles(project: Project, **changes: object) -> Project:
    assert project.particles is not None
    return project.with_sets(particles=replace(project.particles, **changes))  # type: ignore[arg-type]


def linked(project: Project) -> list[str]:
    asked = {rule.code for rule in RULES if rule.linked}
    return [p.code for p in check_project(project, codes=asked)]


def set_value(values: np.ndarray | None, row: object, value: object) -> np.ndarray:
    changed = np.array(values)
    changed[row] = value
    return changed


def broken(project: Project) -> dict[str, Project]:
    particles, motion = project.particles, project.trajectories
    assert particles is not None
    assert motion is not None
    n = len(particles)
    names = particles.particle_names.tolist()
    at = particles.coordinates
    jump = {**motion, names[0]: set_value(motion[names[0]], (1, 0), 80.0)}
    short = {**motion, names[0]: motion[names[0]][:-1]}
    tilts = [project.tomograms[name].n_tilts for name in particles.tomogram_names.tolist()]
    seen = [np.ones(k, bool) for k in tilts]
    twin = particles.select([*range(n), 0])
    twin = replace(twin, names=np.array([*names, "again"]))
    other = Optics(pixel_size=2.0, voltage=200.0)
    groups = {"optics_groups": np.ones(n, int), "optics": {1: other}}
    only = set(particles.tomogram_names.tolist()) - {"TS_01"}
    return {
        "P01": with_particles(project, coordinates=at * 4),
        "P02": with_particles(
            project, coordinates=set_value(at, in_same(particles, 1), at[in_same(particles, 0)] + 1)
        ),
        "P03": with_particles(project, halves=None),
        "P04": with_particles(project, halves=np.zeros(n, int)),
        "P05": with_particles(project, **groups),
        "P06": with_particles(project, angles=set_value(particles.angles, 0, np.nan)),
        "P07": with_particles(project, visible=[np.zeros(tilts[0], bool), *seen[1:]]),
        "P08": project.with_sets(
            particles=twin, trajectories=TrajectorySet({**motion, "again": motion[names[0]]})
        ),
        "P09": with_only(project, only),
        "M01": project.with_sets(trajectories=TrajectorySet({**motion, "nobody": np.ones((3, 3))})),
        "M02": project.with_sets(trajectories=TrajectorySet(jump)),
        "M02 ": project.with_sets(trajectories=TrajectorySet(short)),
    }


def in_same(particles: ParticleSet, number: int) -> int:
    """A particle of the first tomogram that holds two."""
    rows = next(rows for rows in particles.by_tomogram().values() if len(rows) > 1)
    return int(rows[number])


def with_only(project: Project, names: set[str]) -> Project:
    assert project.particles is not None
    rows = np.isin(project.particles.tomogram_names, list(names))
    particles = replace(project.particles).select(rows)
    kept = {n: w for n, w in (project.trajectories or {}).items() if n in particles.particle_names}
    return project.with_sets(particles=particles, trajectories=TrajectorySet(kept))


def test_a_sound_project_breaks_no_rule() -> None:
    assert linked(sound()) == []


def test_each_rule_of_linked_sets_is_broken_once() -> None:
    cases = broken(sound())
    for code, project in cases.items():
        found = set(linked(project))
        assert code.strip() in found
        assert len(found) <= 2, f"{code} came with {found}"
    assert {rule.code for rule in RULES if rule.linked} == {c.strip() for c in cases} | {"L04"}


def test_places_are_counted_once_for_all_tomograms(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, own = [], ParticleSet.positions.fget  # type: ignore[attr-defined]

    def positions(particles: ParticleSet) -> np.ndarray:
        asked.append(1)
        return np.asarray(own(particles))

    monkeypatch.setattr(ParticleSet, "positions", property(positions))
    assert linked(sound()) == []
    assert len(asked) == 2


def test_masks_of_another_length_are_said() -> None:
    project = sound()
    assert project.particles is not None
    masks = VisibleTilts.of([[True]] * len(project.particles))
    assert "P07" in linked(with_particles(project, visible=masks))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_links_of_files_say_is_among_the_problems(
    dialect: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Particles of names that differ by an ending; trajectories that do not fit; files away."""
    links = write_random_project(5, dialect, "p")
    code, out, _ = run(capsys, "check", links, "--json")
    assert code == 0
    assert {p["code"] for p in json.loads(out)["problems"]} <= {*RULE_CODES_OF_SOUND}
    file = Path("p/particles.star")
    text = file.read_text()
    file.write_text(text.replace("TS_02 ", "TS_2_Vol "))
    code, out, _ = run(capsys, "check", links, "--json", "--select", "L,P,M")
    said = {p["code"]: p["message"] for p in json.loads(out)["problems"]}
    assert code == 0
    assert "are left out" in said["L02"]
    assert "TS_2_Vol TS_02" in said["L02"]  # the map that puts it right
    assert "trajectories of no particle" in said["M01"]
    assert run(capsys, "check", links, "--select", "L", "--strict")[0] == 1
    file.unlink()
    code, out, _ = run(capsys, "check", links)
    assert code == 1
    assert "error   L01" in out


#: What may be said of projects of random series: odd sizes, motion, no half sets.
RULE_CODES_OF_SOUND = (
    *("R01", "R02", "S04", "D04", "D06", "C02", "C04", "G10", "G14", "H01", "H03", "L03"),
    *("P02", "P03", "P09", "M02", "F12", "G02", "G04"),
)


def test_sets_of_two_dialects_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    write_random_project(5, "relion4", "four")
    write_random_project(5, "relion5", "five")
    text = star.read("four/optimisation_set.star").first
    star.write(
        [text.with_columns({"rlnTomoParticlesFile": ["five/particles.star"]})],
        "four/optimisation_set.star",
    )
    _, out, _ = run(capsys, "check", "four/optimisation_set.star", "--select", "L04")
    assert "L04  the particles are of RELION 5, the tomograms of RELION 4" in out


# What the next program needs


def test_every_need_has_a_name_and_a_cure() -> None:
    from tomoset.check import _needs

    fields = {field for _, needed in targets().values() for field in needed}
    assert fields == set(_needs._CURES)
    for name in ("relion4-reconstruct", "relion5-polish", "relion5-reconstruct"):
        assert name in targets()
    for format in FORMATS:
        if format.writes:
            assert format.needs or format.name in ("cets", "portal"), format.name


def lacks(project: Project, target: str) -> list[tuple[str, str | None, str]]:
    found = check_project(project, codes={"N01", "N02", "N03"}, target=target)
    return [(p.code, p.tomogram, p.message) for p in found]


def test_what_the_next_program_lacks_is_an_error_with_a_cure() -> None:
    project = random_project(1, "relion5")
    assert lacks(project, "relion5-reconstruct") == []
    assert lacks(project, "relion5-polish") == [
        ("N01", None, "relion5-polish needs half sets of particles"),
        ("N01", None, "relion5-polish needs a first half map"),
        ("N01", None, "relion5-polish needs a second half map"),
    ]
    bare = [replace(t, pre_exposure=None) for t in project.tomograms.values()]
    less = Project(
        tomograms=project.tomograms.with_tomograms(
            [*bare[:1], *list(project.tomograms.values())[1:]]
        )
    )
    assert lacks(less, "relion5-reconstruct") == [
        ("N01", "TS_01", "relion5-reconstruct needs doses")
    ]
    assert ("N01", "TS_01", "relion5-align needs a nominal tilt axis") in lacks(
        less, "relion5-align"
    )
    (other, *_) = lacks(project, "relion4-reconstruct")
    assert other[0] == "N03"
    assert {code for code, _, _ in lacks(project, "warp")} <= {"N02"}
    with pytest.raises(UnsupportedError, match="there are relion4-reconstruct"):
        lacks(project, "relion6")


@pytest.mark.parametrize("target", sorted(targets()))
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_target_answers(target: str, dialect: str) -> None:
    for project in (
        random_project(2, dialect),
        Project(tomograms=random_project(2, dialect).tomograms),
    ):
        bare = project.tomograms.with_tomograms(
            [
                replace(t, size=None, projections=None, image_size=None, deformation=None)
                for t in project.tomograms.values()
            ]
        )
        lacks(project, target)
        assert lacks(Project(tomograms=bare), target)


#: Warp's files may be written without, and are not read then: wrpMovieName, wrpDose.
NOT_REFUSED = {("warp", "images"), ("warp", "pre_exposure")}


@pytest.mark.parametrize("target", ["imod", "aretomo", "warp", "eman2"])
def test_what_a_package_needs_is_what_its_files_cannot_be_written_without(target: str) -> None:
    project = random_project(2)
    for t in project.tomograms.values():
        write_stack(Path(t.stack or ""), t.n_tilts, t.need_image_size(), t.need_pixel_size())
    format, fields = targets()[target]
    every = {"projections", "size", "image_size", "pixel_size", "stack", "images", "defocus_u"}

    def write(field: str) -> None:
        series = [without(replace(t, deformation=None), field) for t in project.tomograms.values()]
        format.write(Project(tomograms=project.tomograms.with_tomograms(series)), field or "all")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LossyWarning)
        write("")
        for field in fields:
            if (target, field) not in NOT_REFUSED:
                with pytest.raises(TomosetError):
                    write(field)
        for field in every - {*fields, "images", "stack"}:
            write(field)


def without(t: Tomogram, field: str) -> Tomogram:
    if not field:
        return t
    if hasattr(t, field):
        return replace(t, **{field: None})
    return replace(t, optics=replace(t.optics, **{field: None}))


def test_for_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    links = write_random_project(5, "relion5", "p")
    code, out, _ = run(capsys, "check", links, "--for", "relion5-polish", "--select", "N")
    assert code == 1
    assert "error   N01  relion5-polish needs a first half map. Reconstruct it" in out
    code, out, _ = run(capsys, "check", links, "--for", "relion4-reconstruct", "--select", "N")
    assert "convert" in out
    assert "--to relion4" in out
    code, _, err = run(capsys, "check", links, "--for", "relion6")
    assert code == 2
    assert "relion5-polish" in err


# Which rules are asked


@pytest.mark.parametrize(
    ("select", "ignore", "codes"),
    [
        (["H"], [], {"H01", "H02", "H03"}),
        (["H"], ["H02"], {"H01", "H03"}),
        (["H02"], ["H"], {"H02"}),
        (["H01"], ["H01"], set()),
    ],
)
def test_rules_are_chosen_by_their_codes(
    select: list[str], ignore: list[str], codes: set[str]
) -> None:
    assert chosen_codes(select, ignore) == codes


def test_all_but_some() -> None:
    assert chosen_codes() is None
    every = {rule.code for rule in RULES}
    assert chosen_codes([], ["F"]) == {code for code in every if code[0] != "F"}


def test_an_unknown_code_names_near_ones(capsys: pytest.CaptureFixture[str]) -> None:
    write_random_project(5, "relion5", "p")
    for option in ("--select", "--ignore"):
        code, _, err = run(capsys, "check", "p", option, "f0")
        assert code == 2
        assert "no rule has a code that begins with 'f0'; did you mean F10, F09, F08?" in err
    with pytest.raises(UnsupportedError, match="did you mean"):
        chosen_codes(["%"])


def test_codes_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    links = write_random_project(5, "relion5", "p")
    _, out, _ = run(capsys, "check", links, "--json", "--select", "G10,H03", "--ignore", "H")
    said = json.loads(out)
    assert {p["code"] for p in said["problems"]} <= {"G10", "H03"}
    assert {
        "path",
        "tomograms",
        "error",
        "warning",
        "note",
        "problems",
        "warnings",
        "fixed",
        "written",
    } == set(said)


def test_nothing_of_a_project_is_looked_at_that_is_not_there() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert linked(Project(tomograms=random_project(1).tomograms)) == []


def test_the_page_of_rules_is_that_of_the_code() -> None:
    """`make docs` makes it."""
    spec = importlib.util.spec_from_file_location("make_rules", ROOT / "docs/make_rules.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = module.rules_page()
    assert (ROOT / "docs/rules.md").read_text() == page
    assert all(f"| {rule.code} |" in page for rule in RULES)


# What the microscope recorded


def recorded(t: Tomogram) -> set[str]:
    found = check_project(Project(tomograms=TomogramSet([t])), codes={"G13", "G14"})
    return {p.code for p in found}


def test_real_alignments_agree_with_the_microscope(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RELION's of EMPIAR-10164, from SerialEM's angles: every sign of them matters."""
    monkeypatch.chdir(shared / "data/relion5/EMPIAR-10164")
    reading = open_parts("AlignTiltSeries/job005/aligned_tilt_series.star")
    for t in reading.project.tomograms.values():
        assert t.nominal_axis is not None
        assert t.nominal_tilts is not None
        assert recorded(t) == set()
        turned = replace(t, nominal_axis=t.nominal_axis + 180)
        negated = replace(t, nominal_tilts=-t.nominal_tilts)
        assert recorded(turned) == {"G13"}
        assert recorded(negated) == {"G13"}
        assert recorded(replace(turned, nominal_tilts=negated.nominal_tilts)) == set()
        assert recorded(replace(t, nominal_axis=-t.nominal_axis)) >= {"G13"}
        assert recorded(replace(t, nominal_axis=t.nominal_axis + 90)) == {"G13"}
        assert recorded(replace(t, nominal_tilts=t.nominal_tilts + 12)) == set()  # a lamella
        moved = np.roll(t.nominal_tilts, 3)
        assert recorded(replace(t, nominal_tilts=moved)) == {"G14"}


@pytest.mark.parametrize(
    "turn", [[], ["--no-flip"], ["--flipYZ"], ["--flipYZ", "--flipZ"], ["--flipZ"]]
)
def test_a_tomogram_that_is_turned_about_x_agrees_too(
    turn: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    make_folder(Path("TS"))
    Path("TS/TS.rawtlt").write_text("-40\n-20\n0\n20\n40\n")
    source = ["TS"]
    if "--flipZ" in turn or "--flipYZ" in turn:
        Path("t.star").write_text(
            "data_\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesName\n_rlnTomoImportImodDir\n"
            "_rlnTomoImportCulledFile\nTS TS/TS.st TS c.mrc\n"
        )
        source = ["--i", "t.star"]
    code, _, err = run(
        capsys, "import", "imod", *source, "-o", "s.star", *turn, "--angpix", "2", "--fd", "3"
    )
    assert code == 0, err
    (t,) = read("s.star").values()
    nominal = np.array([-40.0, -20, 0, 20, 40])
    t = replace(t, nominal_tilts=nominal, nominal_axis=np.full(5, 85.0))
    assert recorded(t) == set()
    mirrored = np.linalg.det(t.need_projections()[0, :3, :3]) < 0
    assert recorded(replace(t, nominal_tilts=-nominal)) == (set() if mirrored else {"G13"})


# Damaged files


def damaged(count: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was not an answer, of projects with a damaged file each; none should be."""
    chance, wrong = random.Random(1), []
    for dialect in DIALECTS:
        write_random_project(5, dialect, dialect)
    files = [p for p in Path().rglob("*.star") if p.parent.name in DIALECTS]
    for i in range(count):
        file = chance.choice(files)
        whole = file.read_bytes()
        file.write_bytes(mutated(chance, whole))
        options = ("--for", f"{file.parts[0]}-polish", "--fix", "-o", f"out{i}")
        for given in (options[:2], options):
            code, _, err = run(capsys, "check", file.parts[0], *given)
            if code not in (0, 1) or "mistake in tomoset" in err:
                wrong.append(f"{i} {file} {err}")
        file.write_bytes(whole)
    return wrong


def test_60_damaged_projects_are_checked_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert damaged(60, capsys) == []


@pytest.mark.slow
def test_2000_damaged_projects_are_checked_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert damaged(2000, capsys) == []


def test_a_set_without_particles_is_checked_without_scipy() -> None:
    write_random_project(5, "relion5", "p")
    code = (
        "import sys; from tomoset.cli import main; main(['check', 'p/tomograms.star']);"
        "sys.exit(any(name in sys.modules for name in ('scipy', 'numba', 'tomoset.project')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
