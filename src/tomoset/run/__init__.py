"""One job per name, here or on a cluster: what fails stops no other, what is done stays done."""

from tomoset.run._engines import cores_of_engine
from tomoset.run._records import VERSION, Records
from tomoset.run._report import Report
from tomoset.run._resources import Resources
from tomoset.run._room import Need, available_memory, free_disk, refuse_beyond
from tomoset.run._run import run
from tomoset.run._steps import doing, listening, shown
from tomoset.run._threads import one_thread
from tomoset.run._wanted import chosen, documented, filled, wanted

__all__ = [
    "VERSION",
    "Need",
    "Records",
    "Report",
    "Resources",
    "available_memory",
    "chosen",
    "cores_of_engine",
    "documented",
    "doing",
    "filled",
    "free_disk",
    "listening",
    "one_thread",
    "refuse_beyond",
    "run",
    "shown",
    "wanted",
]
