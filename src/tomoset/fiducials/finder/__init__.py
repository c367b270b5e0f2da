"""The finder of gold beads: images in, positions and observations out; no files.

===============  ====================================================================
``template``     what a bead looks like
``transform``    spectra, ring by ring
``radius``       how large beads are, dark or bright
``detect``       detections in one image
``vote``         positions in space that many images show
``tracks``       the detections of one bead, and how likely they are by chance
``coarse``       images shifted and rotated so that they agree
``search``       all of that, nearer and nearer
``whiten``       images in which all pixels count alike
``patches``      pieces of them
``centre``       a bead fitted to a patch; the mean bead
``measure``      every bead in every image
``find``         all of it: `Finder`
===============  ====================================================================
"""
