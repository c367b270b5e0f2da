"""The finder of gold beads: images in, places and sights out; no files.

===============  ====================================================================
``template``     what a bead looks like
``transform``    spectra, ring by ring
``radius``       how large beads are, dark or bright
``detect``       bead-like places of one image
``vote``         places in space that many images show
``tracks``       the peaks of one place, and how likely they are by chance
``rough``        images moved and turned so that they agree
``search``       all of that, nearer and nearer
``whiten``       images in which all pixels count alike
``patches``      pieces of them
``centre``       a bead fitted to a patch; the mean bead
``confirm``      every place in every image
``find``         the whole way: `Finder`
===============  ====================================================================
"""
