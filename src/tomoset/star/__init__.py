"""STAR text <-> tables of text. No label has a meaning here.

Reading is liberal and keeps every value as the text it was; writing is strict, the layout of
RELION 4 and 5. A table turns a column into numbers when it is asked to, and says file and line
when it cannot.

========================  =====================================================
``_table``                :class:`Table` and :class:`StarFile`
``_tokens``               one line: how values stand on it
``_cursor``, ``_parse``   the reader, in plain Python
``_packed``, ``_kernels``   the same for big loops: a column is a view of the file
``_numbers``              text <-> numbers
``_write``                the writer
``_report``               tables of numbers for people
========================  =====================================================

Examples
--------
>>> from tomoset import star
>>> file = star.loads('''
... data_global
...
... loop_
... _rlnTomoName #1
... _rlnTomoHand #2
... 001  -1.0
... 1e5  +1.0
... ''')
>>> list(file["global"]["rlnTomoName"])
['001', '1e5']
>>> file["global"].floats("rlnTomoHand")
array([-1.,  1.])
"""

from ._numbers import format_number, format_vector, format_vectors
from ._parse import loads, read
from ._report import parameter_columns, report_label, report_table, summary_table
from ._table import StarFile, Table
from ._write import dumps, encode, write

__all__ = [
    "StarFile",
    "Table",
    "dumps",
    "encode",
    "format_number",
    "format_vector",
    "format_vectors",
    "loads",
    "parameter_columns",
    "read",
    "report_label",
    "report_table",
    "summary_table",
    "write",
]
