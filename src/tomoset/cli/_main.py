"""The root of the command line: ``tomoset COMMAND``."""

from __future__ import annotations

import _thread
import io
import os
import signal
import sys
from functools import partial

import click

from tomoset import __version__
from tomoset.cli._commands import LazyGroup
from tomoset.cli._shell import print_errors, say
from tomoset.cli._spelling import spelled
from tomoset.errors import TomosetError, spelling, typed


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done; 1 something is wrong with the data, or some series failed; "
    "2 wrong use.",
)
@click.version_option(__version__, prog_name="tomoset")
def root() -> None:
    """The tomogram set of a cryo-electron tomography project.

    Which tilt series there are, how each maps 3D space onto its images, its defocus and
    dose: RELION's tomograms.star and its kin.
    """


def main(arguments: list[str] | None = None) -> int:
    """Run a command line and return its exit code; no traceback reaches a user.

    Parameters
    ----------
    arguments : list of str, optional
        What stands after ``tomoset``; by default what the process was started with.
    """
    if arguments is None:
        _be_a_good_process()
    try:
        words = sys.argv[1:] if arguments is None else arguments
        spelling.set(partial(spelled, words=words))
        typed.set(("tomoset", *words))
        code = root.main(args=arguments, prog_name="tomoset", standalone_mode=False)
    except click.exceptions.Exit as leave:
        code = leave.exit_code
    except click.Abort as stop:
        told = getattr(stop.__cause__, "__notes__", ())
        code = 130 if told else _say(["stopped; the files that were there are as they were"], 130)
    except click.ClickException as problem:
        if type(problem) is click.UsageError:  # click's own name what was typed
            problem = click.UsageError(spelling.get()(problem.message), problem.ctx)
        said = io.StringIO()
        problem.show(said)
        code = _say(said.getvalue().rstrip("\n").split("\n"), problem.exit_code)
    except TomosetError as problem:
        print_errors([str(problem)])
        code = 1
    except KeyboardInterrupt:
        code = _say(["stopped; the files that were there are as they were"], 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as problem:
        place = f"{problem.filename}: " if problem.filename else ""
        code = _say([f"error: {place}{problem.strerror or problem}"], 1)
    except Exception as problem:
        if os.environ.get("TOMOSET_DEBUG"):
            raise
        code = _say(
            [
                f"error: {type(problem).__name__}: {problem}",
                "This is a mistake in tomoset; please report it, with the output of "
                "TOMOSET_DEBUG=1 and the same command.",
            ],
            1,
        )
    code = code if isinstance(code, int) else 0
    if arguments is None:
        sys.exit(code)
    return code


def _be_a_good_process() -> None:
    """End cleanly when told to, and print any name on any terminal."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    def again(lost: sys.UnraisableHookArgs) -> None:
        # A stop that comes while compiled code is loaded is caught there, printed and forgotten.
        if lost.exc_type is KeyboardInterrupt:
            _thread.interrupt_main()
        else:
            sys.__unraisablehook__(lost)

    sys.unraisablehook = again
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), stop)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _say(lines: list[str], code: int) -> int:
    for line in lines:
        say(line, err=True)
    return code
