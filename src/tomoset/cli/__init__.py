"""The command line: parse, one call, print."""

from tomoset.cli._main import main

__all__ = ["main"]
