"""The public names: documented, and their examples run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

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
    assert len(tomoset.__all__) <= 36


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
