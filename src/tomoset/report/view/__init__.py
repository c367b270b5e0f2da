"""`tomoset view`: the images of a set in a browser, served to this machine alone.

==============  ==================================================================================
``_answers``    `ANSWERS`, a list: what can be asked, and what is said of a set
``_server``     who may ask: this machine, by the right name, with the token
``_napari``     the same as layers of napari
==============  ==================================================================================
"""

from tomoset.report.view._answers import Answers
from tomoset.report.view._napari import show as show_in_napari
from tomoset.report.view._server import Server

__all__ = ["Answers", "Server", "show_in_napari"]
