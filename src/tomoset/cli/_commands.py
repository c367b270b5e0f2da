"""The commands, as a list that a person can read. A command's module is loaded when it is used."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

import click


@dataclass(frozen=True)
class Entry:
    """A command: its name, one line of help, and ``module:attribute``."""

    name: str
    help: str
    target: str


COMMANDS = (
    Entry("simulate", "Make a small project with known truth.", "simulate:simulate"),
    Entry("import", "Make a tomogram set from another program's alignment.", "imports:imports"),
    Entry("formats", "List what can be read and written.", "formats:formats"),
    Entry("convert", "Write a set in another format, and verify it.", "convert:convert"),
    Entry(
        "find-fiducials",
        "Find gold beads, in images and in space.",
        "find_fiducials:find_fiducials",
    ),
    Entry(
        "erase-fiducials",
        "Take gold beads out of the tilt images.",
        "erase_fiducials:erase_fiducials",
    ),
    Entry("align", "Align tilt series: by gold beads, images, particles.", "align:align"),
    Entry("ctf", "Find defocus by the images alone.", "ctf:ctf"),
    Entry("refine-ctf", "Refine defocus and scale by particles.", "refine_ctf:refine_ctf"),
    Entry("hand", "Find the sign of defocus against depth.", "hand:hand"),
    Entry("reconstruct", "Make tomograms of the tilt series.", "reconstruct:reconstruct"),
    Entry("select", "Keep some tomograms of a project.", "select:select"),
    Entry("rename", "Give tomograms other names, everywhere.", "rename:rename"),
    Entry("exclude", "Take tilt images out, so that they can come back.", "exclude:exclude"),
    Entry("include", "Put tilt images back that were taken out.", "exclude:include"),
    Entry("merge", "Make one project of several.", "merge:merge"),
    Entry("split", "Make several projects of one.", "split:split"),
    Entry("crop", "Give tomograms a smaller box.", "box:crop"),
    Entry("pad", "Give tomograms a larger box.", "box:pad"),
    Entry("rebin", "Change a project to binned tilt images.", "rebin:rebin"),
    Entry("rebase", "Name files by other paths, everywhere.", "rebase:rebase"),
    Entry("diff", "Show what changed between two projects.", "diff:diff"),
    Entry("map", "Carry particles from one alignment to another.", "map:map_sets"),
    Entry("history", "Show what was done to make a set.", "history:history"),
    Entry("undo", "Take back what the last command wrote.", "history:undo"),
    Entry("info", "Show a tomogram set at a glance.", "info:info"),
    Entry("check", "Find what is wrong with a tomogram set.", "check:check"),
    Entry("report", "Show a set as a page: numbers, pictures, plots.", "report:report"),
    Entry("view", "Look at the images of a set in a browser.", "view:view"),
)


class LazyGroup(click.Group):
    """A group that knows its commands by name and help, and imports only the one that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [entry.name for entry in COMMANDS]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        for entry in COMMANDS:
            if entry.name == name:
                module, _, attribute = entry.target.partition(":")
                command = getattr(importlib.import_module(f"tomoset.cli.{module}"), attribute)
                assert isinstance(command, click.Command)
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(entry.name, entry.help) for entry in COMMANDS])
