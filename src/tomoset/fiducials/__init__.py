"""Gold beads: found in the tilt images and in space, aligned by, erased.

================================  =====================================================
``finder``                        where they are, from images alone
``from_imod``                     where IMOD saw them
``align_one``                     alignment by them; ``align_report`` is what it says of itself
``erase``, ``erase_series``       images without them: one, and those of a series
``outputs``                       tables and models of them
``options``, ``align_options``    what is wanted
================================  =====================================================
"""
