"""Gold beads: found in the tilt images and in space, aligned by, erased.

================================  =====================================================
``finder``                        where they are, from images alone
``from_imod``                     where IMOD saw them
``find_set``                      ``find-fiducials``
``align_one``, ``align_set``      ``align fiducials``; ``align_report`` is what it writes
``erase``, ``erase_set``          ``erase-fiducials``; ``erase_job`` is one tomogram
``task``, ``outputs``             what their jobs share; ``options``, ``align_options``
================================  =====================================================
"""
