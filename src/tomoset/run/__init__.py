"""One job per name, here or on a cluster: what fails stops no other, what is done stays done."""

from tomoset.run._engines import cores_of_engine
from tomoset.run._records import Records
from tomoset.run._report import Report
from tomoset.run._resources import Resources
from tomoset.run._run import run
from tomoset.run._threads import one_thread
from tomoset.run._wanted import chosen, documented, filled, wanted

__all__ = [
    "Records",
    "Report",
    "Resources",
    "chosen",
    "cores_of_engine",
    "documented",
    "filled",
    "one_thread",
    "run",
    "wanted",
]
