"""Simulated sets of RELION, and the truth beside them, read back by the package."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import mrcfile
import numpy as np
import pytest

import tomoset
from tests.builders.measures import reprojection_error
from tomoset import geometry
from tomoset import simulate as sim
from tomoset.cli import main
from tomoset.images.stack import read_header
from tomoset.project import open_project

SMALL = ["--series", "1", "--tilts", "9", "--size", "128", "120", "60", "--beads", "3"]
MANY = [
    *SMALL, "--angpix", "8", "--molecules", "6", "--motion", "25", "--deformation", "2",
    "--density", "2",
]  # fmt: skip


def truth_of(project: Path) -> dict[str, np.ndarray]:
    truth = json.loads((project / "truth" / "TS_01.json").read_text())
    return {key: np.array(value) for key, value in truth.items()}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of RELION 4 with all that there is, its alignment off by known errors."""
    out = tmp_path_factory.mktemp("simulated") / "project"
    errors = ["--shift-error", "1.5", "--tilt-offset", "2", "--hand", "1"]
    assert main(["simulate", str(out), *MANY, *errors, "--format", "relion4"]) == 0
    return out


def test_the_true_set_projects_molecules_and_beads_to_their_images(project: Path) -> None:
    true, truth = tomoset.read(project / "truth" / "tomograms.star"), truth_of(project)
    tomogram = true["TS_01"]
    assert tomogram.hand == 1
    assert tomogram.image_size == (128, 120)  # the stack is found
    linked = {"particles": "particles.star", "trajectories": "motion.star"}
    paths = {name: project / "truth" / file for name, file in linked.items()}
    sets = open_project(project / "truth" / "tomograms.star", **paths)
    particles, motion = sets.particles, sets.trajectories
    np.testing.assert_allclose(particles.positions, truth["molecules_px"], atol=1e-9)
    expected = geometry.euler_matrix(*truth["molecule_angles"].T)
    np.testing.assert_allclose(particles.orientations, expected, atol=1e-9)
    for i, name in enumerate(particles.particle_names):
        where = particles.positions[i] + motion.shifts_px(name, pixel_size=8.0)
        seen = np.stack([tomogram.project(v[None])[n, 0] for n, v in enumerate(where)])
        np.testing.assert_allclose(seen, truth["molecule_images_px"][:, i], atol=2e-5)
        assert not motion[name][truth["pre_exposure"] == 0].any()
    seen = tomogram.project(truth["beads_px"])
    np.testing.assert_allclose(seen, truth["bead_images_px"], atol=2e-5)
    assert tomogram.deformation is not None
    np.testing.assert_allclose(
        tomogram.deformation.coefficients, truth["deformation_px"], atol=1e-9
    )


def test_the_written_set_is_off_as_asked(project: Path) -> None:
    written = tomoset.read(project / "tomograms.star")["TS_01"]
    true = tomoset.read(project / "truth" / "tomograms.star")["TS_01"]
    truth = truth_of(project)
    assert written.deformation is None
    np.testing.assert_allclose(written.tilt_angles - true.tilt_angles, 2.0, atol=1e-6)
    np.testing.assert_allclose(written.tilt_angles, truth["written_tilts"], atol=1e-6)
    off = truth["written_transforms"] - truth["transforms"]
    assert not off[:, :, :2].any()
    assert 0.7 < off[:, :, 2].std() < 2.3
    np.testing.assert_array_equal(written.defocus_u, true.defocus_u)


def test_the_volumes_are_where_they_say(project: Path) -> None:
    truth = truth_of(project)
    with mrcfile.open(project / "truth" / "TS_01_density.mrc") as density:
        volume = density.data.copy()
        assert density.voxel_size.x == pytest.approx(16.0)
        assert mrcfile.validate(project / "truth" / "TS_01_density.mrc")
    assert volume.shape == (30, 64, 60)
    gold = np.argwhere(volume > 1.8)[:, ::-1] * 2
    nearest = np.linalg.norm(gold[:, None] - truth["beads_px"], axis=-1).min(axis=1)
    assert len(gold) > 3 * 8
    assert nearest.max() * 8 < 50
    with mrcfile.open(project / "truth" / "molecule.mrc") as molecule:
        assert molecule.voxel_size.x == pytest.approx(8.0)
        made = sim.molecule_map(sim.Molecule.made(), 8.0)
        np.testing.assert_array_equal(molecule.data, made)


def test_relion_5_reads_the_same(tmp_path: Path) -> None:
    out = tmp_path / "project"
    assert main(["simulate", str(out), *SMALL, "--format", "relion5"]) == 0
    written, true = (
        tomoset.read(out / name)["TS_01"] for name in ("tomograms.star", "truth/tomograms.star")
    )
    truth = truth_of(out)
    points = truth["beads_px"]
    np.testing.assert_allclose(written.project(points), true.project(points), atol=2e-4)
    np.testing.assert_allclose(written.project(points), truth["bead_images_px"], atol=2e-4)
    np.testing.assert_allclose(written.defocus(points), true.defocus(points), atol=0.01)
    assert main(["check", str(out / "tomograms.star"), "--strict"]) == 0


def test_bytes_are_unsigned(tmp_path: Path) -> None:
    one, other = tmp_path / "bytes", tmp_path / "counts"
    assert main(["simulate", str(one), *SMALL, "--bytes"]) == 0
    assert main(["simulate", str(other), *SMALL]) == 0
    path = one / "TS_01" / "TS_01.mrc"
    raw = path.read_bytes()
    assert struct.unpack_from("<2i", raw, 152) == (1146047817, 0)
    assert raw[152:156] == b"IMOD"
    header = read_header(path)
    assert (header.size, header.n_images, header.mode) == ((128, 120), 9, 0)
    assert struct.unpack_from("<2f", raw, 76) == (0.0, 255.0)
    pixels = np.frombuffer(raw, np.uint8, offset=1024).reshape(9, 120, 128)
    with mrcfile.open(other / "TS_01" / "TS_01.mrc") as stack:
        counts = stack.data.astype(float)
    low, high = counts.min(), counts.max()
    np.testing.assert_allclose(pixels, (counts - low) * 255 / (high - low), atol=0.501)


def test_one_seed_gives_one_project(project: Path, tmp_path: Path) -> None:
    errors = ["--shift-error", "1.5", "--tilt-offset", "2", "--hand", "1"]
    same = tmp_path / "same"
    assert main(["simulate", str(same), *MANY, *errors, "--format", "relion4"]) == 0
    made = sorted(p.relative_to(same) for p in same.rglob("*.*"))
    assert len(made) == 2 + 6 + 6
    for file in made:
        assert (same / file).read_bytes() == (project / file).read_bytes(), file


def test_molecules_are_taken_from_a_map(project: Path, tmp_path: Path) -> None:
    out, given = tmp_path / "mapped", str(project / "truth" / "molecule.mrc")
    copies = ["--molecules", "2", "--map", given, "--angpix", "10", "--no-ctf"]
    assert main(["simulate", str(out), *SMALL, *copies, "--format", "relion4"]) == 0
    with mrcfile.open(out / "truth" / "molecule.mrc") as molecule:
        made = sim.molecule_map(sim.Molecule.made(), 10.0)
        ours = molecule.data
        side = min(len(ours), len(made))
        one, other = (
            v[(slice((len(v) - side) // 2, (len(v) + side) // 2),) * 3].ravel()
            for v in (ours, made)
        )
    assert np.corrcoef(one, other)[0, 1] > 0.9


def test_vesicles_are_in_the_truth(tmp_path: Path) -> None:
    out = tmp_path / "project"
    assert main(["simulate", str(out), *SMALL, "--angpix", "12", "--vesicles", "2"]) == 0
    truth = truth_of(out)
    assert truth["vesicles_px"].shape == (2, 3)
    assert (truth["vesicle_radii"] < truth["slab"] / 2).all()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--molecules", "2", "--map", "nothing.mrc"], 1, "no such density map"),
        (
            ["--molecules", "2", "--map", "text.mrc"],
            1,
            "text.mrc: expected images in MRC or TIFF, found a text",
        ),
        (["--map", "text.mrc"], 2, "say how many, by --molecules"),
        (["--motion", "5"], 2, "say how many there are, by --molecules"),
        (["--molecules", "900"], 2, "take fewer, larger images or larger pixels"),
        (["--vesicles", "1", "--angpix", "1"], 2, "no room for vesicles"),
        (["--hand", "0"], 2, "--hand must be 1 or -1"),
        (["--format", "relion5", "--magnification-error", "0.01"], 2, "cannot say magnification"),
    ],
)
def test_impossible_requests_are_refused(
    options: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.mrc").write_text("no map")
    assert main(["simulate", "out", *SMALL, *options]) == code
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_help_is_in_groups_and_fits_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    titles = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert [title.split()[0].strip(":") for title in titles] == [
        "Project", "Images", "Specimen", "Lamella", "Microscope", "Errors", "Other",
    ]  # fmt: skip
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("dialect", ["relion4", "relion5"])
def test_a_project_with_molecules_is_ready_to_be_aligned_by_them(
    dialect: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    things = ["--series", "1", "--tilts", "11", "--size", "300", "280", "120", "--beads", "0"]
    copies = ["--molecules", "12", "--shift-error", "1.5", "--format", dialect]
    assert main(["simulate", "P", *things, *copies]) == 0
    said = capsys.readouterr().out
    command = next(line for line in said.splitlines() if "align particles" in line).split()
    monkeypatch.chdir(tmp_path / "P")
    assert main(command[1:]) == 0
    given, aligned, true = (
        tomoset.read(f"{folder}tomograms.star")["TS_01"] for folder in ("", "Aligned/", "truth/")
    )
    seen = truth_of(tmp_path / "P")["molecule_images_px"]

    assert reprojection_error(true, seen) < 0.01
    assert reprojection_error(aligned, seen) < 0.3 * reprojection_error(given, seen)
    picks = open_project("tomograms.star", particles="particles.star").particles
    assert np.abs(picks.positions - given.triangulate(seen)).max() < 1e-3
