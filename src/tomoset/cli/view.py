"""``tomoset view``: the images of a set in a browser of this machine."""

from __future__ import annotations

import contextlib

import click

from tomoset.cli._shell import collected_warnings, print_warnings, say


@click.command()
@click.argument("path", metavar="SET", type=click.Path(exists=True))
@click.argument("name", metavar="[NAME]", required=False)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Of this machine; any that is free."
)
@click.option("--open", "opened", is_flag=True, help="Open the browser.")
@click.option("--napari", is_flag=True, help="Show the series in napari instead.")
def view(path: str, name: str | None, port: int, opened: bool, napari: bool) -> int:
    """Look at the tilt series and tomograms of a set, in a browser of this machine.

    Projected beads and particles are on the tilt images; a point that is clicked is followed
    through all tilts by the projections of the set; tilt images that are marked give the command
    that takes them out. Nothing is written. The address has a token, and works on this machine
    until the command ends (Ctrl-C). From another machine: ssh -L PORT:127.0.0.1:PORT, with --port.

    \b
        tomoset view Tomograms/tomograms.star TS_01
    """
    from tomoset.project import open_readable
    from tomoset.report.view import Answers, Server, show_in_napari

    with collected_warnings(strict=False) as warned:
        project = open_readable(path)
    print_warnings(warned)
    answers = Answers(project, path, name)
    if napari:
        with collected_warnings(strict=False) as warned:
            show_in_napari(project, name or next(iter(project.tomograms)))
        print_warnings(warned)
        return 0
    with Server(answers, port) as server:
        say(server.address)
        say("open this address in a browser of this machine; Ctrl-C ends it", err=True)
        if opened:
            import webbrowser

            webbrowser.open(server.address)
        # What is odd about images that are looked at is seen in them.
        with collected_warnings(strict=False), contextlib.suppress(KeyboardInterrupt):
            server.serve()
        say("ended", err=True)
    return 0
