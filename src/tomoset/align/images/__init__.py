"""Alignment of tilt series by their images alone, without markers. Numbers only.

==================  ==============================================================================
``prepare``         images made ready: few pixels, an even background, no camera pattern
``plane``           images mapped onto the middle of the specimen
``pairs``           cross-correlations of all pairs that are near in tilt
``graph``           a place for every image, by all pairs at once
``start``           the axis, the pre-tilt and the places to begin with
``windows``         spectra of parts of the plane
``coherent``        how much of them is the specimen's
``slab``            the likelihood of all images (compiled in ``_kernels``)
``cameras``         what is free, and how windows follow it
``fit``             the most probable alignment
``thickness``       of the specimen
``certainty``       how well all of it is known
``verdict``         each image against what the others predict of it
``bound``           how well shifts can be known at best
``outcome``         what is said of it, with doubts
``align``           all of it, for one series
``result``          what is wanted, and what is found
==================  ==============================================================================
"""
