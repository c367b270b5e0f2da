"""Where the files are that a set names."""

from __future__ import annotations

from pathlib import Path


def find_file(name: str, star_path: str | None) -> Path | None:
    """A file that a set names, looked for from each folder above the set, then from here.

    RELION's paths start in the project folder, which is the working folder of its programs;
    a set is often looked at from elsewhere, and its own project comes first.
    """
    folders = [] if star_path is None else list(Path(star_path).absolute().parents)[:5]
    for folder in (*folders, Path()):
        if (folder / name).is_file():
            return folder / name
    return None
