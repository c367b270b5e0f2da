"""``tomoset history`` and ``tomoset undo``: what was done in a folder, and taking it back."""

from __future__ import annotations

import os
import shlex

import click

from tomoset.cli._shell import count, print_json, say

_PATH = click.argument("path", metavar="SET", type=click.Path(exists=True))


def _folder(path: str) -> str:
    return path if os.path.isdir(path) else os.path.dirname(path) or "."


@click.command()
@_PATH
@click.option("--json", "as_json", is_flag=True, help="Print a table that a program can read.")
def history(path: str, as_json: bool) -> int:
    """Show what was done in the folder of a set: each command, what it wrote, what it said.

    SET is a set, or its folder. With a set, its own lines are shown, and those of the sets that
    it was made of.
    """
    from tomoset.project.history import ancestry

    found = ancestry(path)
    if as_json:
        print_json({"history": [{"folder": one.folder, **vars(one.entry)} for one in found]})
        return 0
    for one in found:
        entry = one.entry
        undone = " (undone)" if one.undone else ""
        say(f"{entry.time}  {one.folder}  {entry.number}{undone}: {shlex.join(entry.command)}")
        wrote = [name for name in entry.writes if not name.startswith(".tomoset")]
        replaced = f", {len(entry.kept)} replaced" if entry.kept else ""
        say(f"  wrote {count(len(wrote), 'file')}{replaced}, tomoset {entry.version}")
        for text in entry.said[:3]:
            say(f"  {text}")
        if len(entry.said) > 3:
            say(f"  ... and {len(entry.said) - 3} more (--json has all)")
    if not found:
        say(f"{path}: there is no history")
    return 0


@click.command()
@_PATH
@click.option("--json", "as_json", is_flag=True, help="Print a table that a program can read.")
def undo(path: str, as_json: bool) -> int:
    """Take back what the last command wrote in the folder of a set.

    What it replaced comes back, and what it made goes, if nothing has changed since; the history
    says so. Undo again to take back the command before.
    """
    from tomoset.project.history import undo as take_back

    folder = _folder(path)
    entry = take_back(folder)
    new = len(entry.writes) - len(entry.kept)
    if as_json:
        print_json({"folder": folder, "undone": entry.number, "command": list(entry.command)})
        return 0
    say(f"{folder}: undone {shlex.join(entry.command)}")
    say(f"  {count(len(entry.kept), 'file')} as before, {new} removed")
    return 0
