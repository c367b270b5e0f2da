"""Files that are either whole or not there, also several at once; and small ones, read fast.

Everything that tomoset writes is written here: beside its place, in a staging folder, then put in
place by renaming. `together` puts several files in place, all of them or none: while they are put
there, a journal lists them, and a run that was killed meanwhile is taken back by the next one.
What may be replaced at all is a matter of a `Guard`. See docs/reliability.md.
"""

from tomoset.files._guard import Guard, identity_of, refuse_unless_star, stamp
from tomoset.files._lock import locked
from tomoset.files._names import file_name
from tomoset.files._read import read_bytes
from tomoset.files._staging import recover
from tomoset.files._transaction import (
    Transaction,
    atomic_folder,
    atomic_write,
    together,
    write,
)

__all__ = [
    "Guard",
    "Transaction",
    "atomic_folder",
    "atomic_write",
    "file_name",
    "identity_of",
    "locked",
    "read_bytes",
    "recover",
    "refuse_unless_star",
    "stamp",
    "together",
    "write",
]
