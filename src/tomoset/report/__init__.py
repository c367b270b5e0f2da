"""A set as a page to look at: one HTML file that opens anywhere, and a viewer of its images.

==============  ==================================================================================
``_gather``     what is known of a set: tables, findings, results of programs, history
``_results``    what each program's result adds: `READERS`, a list
``_history``    what was done to make a series, and what each step says of it
``_columns``    what the overview has of a series, and the tables of one of each tilt image: lists
``_charts``     `CHARTS`, lists by section: what is drawn by tilt, as SVG
``_drawings``   the specimen's box, beads and fields of arrows, as SVG
``_points``     beads and particles of each tomogram
``_sight``      which point of the specimen a place in an image may be
``_pictures``   images, small, as JPEG
``_sections``   `SECTIONS`, a list: what the page of a series has
``_paths``      no absolute path leaves the machine
``_page``       templates, style and scripts, and what a browser is allowed
``_write``      the files
``view``        the server of `tomoset view`
==============  ==================================================================================
"""

from tomoset.report._write import Options, Report, write_report

__all__ = ["Options", "Report", "write_report"]
