"""What the sign of the hand means, program by program, and what flips what.

What is said of other programs was read in their own code and manuals:

- RELION 4 and 5: ``Tomogram::getCtf`` and ``getDepthOffset`` (src/jaz/tomography/tomogram.cpp),
  import_tomograms.cpp (4.0: ``--hand``, -1 by default), import_tilt_series/serialem.py (5.0:
  ``--invert-defocus-handedness``), pipeline_jobs.cpp ("Invert defocus handedness?", Yes by
  default), and the page on the tomogram set. On AreTomo's angles in RELION 5: Burt et al.,
  FEBS Open Bio 14 (2024) 1788, which AreTomo3's code refers to.
- Warp: DefocusHandTiltseries.cs, TiltSeries.cs (``GetPositionInAllTilts``, ``AreAnglesInverted``),
  RelionParticleSeriesExport.cs (``GetRelionHand``), ImportTiltseries.cs (``--dont_invert``).
- AreTomo3: CRefineCtfMain.cpp, CGenAvgSpectrum.cpp, CTiltInducedZ.cpp, CAreTomoMain.cpp
  (``mFindCtf``), and the help of ``-TiltAxis``.
- IMOD: the manual pages of ctfplotter and ctfphaseflip (``InvertTiltAngles``), ctfphaseflip.cpp.
- EMAN2: e2spt_tomoctf.py (``--checkhand``).

What flips what follows from the geometry alone; tests/test_hand_explain.py verifies each line.
"""

from __future__ import annotations

EXPLANATION = """\
THE HAND

Two things go by this name:

  defocus hand    Does underfocus rise (+1) or fall (-1) with depth, row z of
                  the projections? `tomoset hand` measures it; rlnTomoHand.
  geometric hand  Are volumes mirror images of the specimen? Thon rings do
                  not tell; a structure of known hand does (--geometric).

WHAT FLIPS WHAT (flipped: right before, wrong after; and the other way round)

                                                     geometric   defocus
  rlnTomoHand x -1                                   stays       flipped
  row z of all matrices x -1                         stays       flipped
  tilt axis + 180 degrees                            flipped     flipped
  tilt angles x -1                                   flipped     flipped
  tilt axis + 180 degrees and tilt angles x -1       stays       stays
  --flipYZ --flipZ instead of neither (RELION 4)     stays       stays
  --flipYZ instead of neither (RELION 4)             flipped     stays
  volume and its coordinates mirrored, z to -z       flipped     stays
  images mirrored in x, tilt axis a to -a            stays       flipped
  images mirrored in x, tilt axis a to 180 - a       flipped     stays

rlnTomoHand moves no voxel; it changes the CTF of points off the depth where
the table of defocus holds. To rotate the axis moves everything: coordinates
no longer fit. So if a map has the right hand and the defocus hand is wrong,
change rlnTomoHand only; if both are wrong, rotate the axis, or negate the
tilts. One microscope, its images read in one way, has one defocus hand for
all volumes of the right geometric hand.

WHAT PROGRAMS CALL IT

  RELION 4  rlnTomoHand: defocus = table + hand x pixel size x slope x depth.
            import_tomograms --hand, by default -1.
  RELION 5  rlnTomoHand, the same. Import: +1, or -1 by
            --invert-defocus-handedness, which the GUI sets by default
            ("Invert defocus handedness?": Yes).
  Warp      AreAnglesInverted, of CTFs only. ts_defocus_hand measures, and
            sets it by --set_auto, --set_flip (true), --set_noflip (false).
            WarpTools writes rlnTomoHand +1 for flip, -1 for no flip.
            ts_import negates tilt angles, unless --dont_invert says not to:
            that is another thing (above).
  AreTomo3  dfHand: defocus = mean - dfHand x tan(tilt) x distance to the
            right of the axis, rlnTomoHand of the same angles. If it finds
            -1 it turns the axis by 180 degrees, unless -TiltAxis a -1
            forbids; it writes dfHand 1 either way.
  IMOD      No sign is kept. In aligned images at positive tilt the right
            side should be more underfocused: rlnTomoHand -1 of the same
            angles. If not, ctfplotter and ctfphaseflip need -invert
            (InvertTiltAngles), which moves no voxel.
  EMAN2     No sign is kept. e2spt_tomoctf.py --checkhand compares both, and
            advises --tltax turned by 180 degrees for a new reconstruction.
"""
