"""The public names: documented, and their examples run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import sys
from pathlib import Path

import click
import pytest

import tomoset

MODULES = sorted(
    ["tomoset"]
    + [
        m.name
        for m in pkgutil.walk_packages(tomoset.__path__, "tomoset.")
        if "_kernels" not in m.name
    ]
)


def test_all_is_what_is_public() -> None:
    assert set(tomoset.__all__) == {n for n in dir(tomoset) if n in tomoset._HOME}
    for name in tomoset.__all__:
        assert getattr(tomoset, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'moon'"):
        tomoset.moon  # noqa: B018
    assert len(tomoset.__all__) <= 39


def test_functions_stay_what_they_are_when_folders_of_their_names_are_imported() -> None:
    for name in ("check", "reconstruct"):
        importlib.import_module(f"tomoset.{name}")
        assert inspect.isfunction(getattr(tomoset, name))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that examples are in."""
    folder = tmp_path_factory.mktemp("examples")
    tomoset.simulate_project(
        folder,
        n_series=1,
        tilts=9,
        size=(128, 128, 64),
        beads=4,
        molecules=3,
        format="relion5",
    )
    return folder


@pytest.mark.parametrize("name", tomoset.__all__)
def test_public_names_are_documented(name: str) -> None:
    thing = getattr(tomoset, name)
    assert inspect.getdoc(thing)
    if inspect.isfunction(thing) or (
        inspect.isclass(thing) and not issubclass(thing, BaseException | Warning)
    ):
        assert ">>>" in (inspect.getdoc(thing) or "")


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_docstrings_run(
    module: str, simulated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(simulated)
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_errors_are_one_tree() -> None:
    for name in tomoset.__all__:
        thing = getattr(tomoset, name)
        if inspect.isclass(thing) and issubclass(thing, Exception):
            root = tomoset.TomosetWarning if issubclass(thing, Warning) else tomoset.TomosetError
            assert issubclass(thing, root)
            builtin = [b for b in thing.__mro__ if b.__module__ == "builtins"]
            assert thing in (root,) or builtin[0] is not Exception


def test_options_are_given_by_name(tmp_path: Path) -> None:
    tomograms = tomoset.TomogramSet([])
    with pytest.raises(tomoset.ModelError, match="no option 'bining'; there are binning, "):
        tomoset.reconstruct(tomograms, tmp_path, bining=4)
    with pytest.raises(tomoset.ModelError, match="'box' has to be given"):
        tomoset.refine_ctf(tomoset.Project(tomograms=tomograms), tmp_path)
    with pytest.raises(tomoset.ModelError, match="threads must be 1 or more"):
        tomoset.reconstruct(tomograms, tmp_path, threads=0)


def test_help_of_functions_has_their_options() -> None:
    assert "binning : float" in (inspect.getdoc(tomoset.reconstruct) or "")
    assert "    box : int" in (inspect.getdoc(tomoset.align_particles) or "")


def test_simulating_has_the_defaults_of_its_command() -> None:
    from tomoset.cli._main import root
    from tomoset.cli.simulate import simulate
    from tomoset.simulate.write import ProjectOptions

    whole = click.Context(root, **root.context_settings)
    given = simulate.make_context("simulate", ["somewhere"], parent=whole).params
    others = ("target", "output", "overwrite", "j", "lamella")
    defaults = {name: value for name, value in given.items() if name not in others}
    assert ProjectOptions(**defaults) == ProjectOptions()


def test_particles_as_a_table() -> None:
    pytest.importorskip("pandas")
    particles = tomoset.ParticleSet(
        tomogram_names=["a", "b"],
        coordinates=[[1, 2, 3], [4, 5, 6]],
        origins=[[2, 0, 0], [0, 0, 0]],
        angles=[[10, 20, 30], [0, 0, 0]],
        pixel_sizes=[2.0, 2.0],
        halves=[0, 1],
        visible=[[True, False, True], [True]],
    )
    table = particles.to_dataframe()
    assert list(table.columns) == [
        *("tomogram", "name", "x", "y", "z", "rot", "tilt", "psi"),
        *("half", "pixel_size", "visible"),
    ]
    assert table["x"].tolist() == [0.0, 4.0]
    assert table.loc[0, ["rot", "tilt", "psi"]].astype(float).round(9).tolist() == [10, 20, 30]
    assert table["visible"].tolist() == [2, 1]


def test_without_pandas_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    particles = tomoset.ParticleSet(tomogram_names=["a"], coordinates=[[1, 2, 3]])
    with pytest.raises(tomoset.UnsupportedError, match=r"pip install 'tomoset\[frames\]'"):
        particles.to_dataframe()
