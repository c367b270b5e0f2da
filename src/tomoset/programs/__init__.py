"""Programs: each does one thing with every tomogram of a set, and says what that changes.

A program is a file here, with a `Program` in it and the function that a user calls; what all of
them do in the same way stands in the files with an underscore.

==============  ==================================================================================
``_program``    what a program is: its work, its result, how that changes tomograms
``_task``       what the job of one tomogram knows, and what its result is of
``_results``    typed results as JSON and arrays
``_request``    jobs, records, and the new set, which is right at any time
``_linked``     particles and all else that refers to tomograms, where results change them
``_particles``  what programs that compare particles with a reference share
==============  ==================================================================================
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tomoset.programs._program import Program

#: The programs as a user types them, and the file of each, which is loaded when it is used.
PROGRAMS = {
    "find-fiducials": "find_fiducials",
    "align fiducials": "align_fiducials",
    "align images": "align_images",
    "erase-fiducials": "erase_fiducials",
    "align particles": "align_particles",
    "ctf": "estimate_ctf",
    "refine-ctf": "refine_ctf",
    "hand": "find_hand",
    "hand --geometric": "find_geometric_hand",
    "reconstruct": "reconstruct",
}


def program(name: str) -> Program[Any, Any]:
    """The program of a name in `PROGRAMS`."""
    found: Program[Any, Any] = import_module(f"tomoset.programs.{PROGRAMS[name]}").PROGRAM
    return found
