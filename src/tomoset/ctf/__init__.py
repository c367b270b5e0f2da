"""Defocus, astigmatism and phase shift of a tilt series, from nothing but its images.

One likelihood of the whole series, in two looks at its images:

==============  ==================================================================================
``options``     what is wanted
``nominal``     where the specimen lies in series that are not aligned
``beads``       images without what has rings of its own
``coarse``      the defocus that all images have in common, by power spectra of large tiles
``sectors``     spectra of small tiles, focused back, band by band and direction by direction
``terms``       what they say of the parameters of one image, and their derivatives
``prior``       what images of a series have in common, learnt from them
``absorbed``    thickness, by how dark images are
``known``       parameters of a series, and what is known of them before
``fit``         all parameters of the series at once, and how sure they are
``seen``        which images show rings, and how fine
``search``      these, about the defoci that may be right, and which of them is
``measure``     all of it, one after the other
``compare``     tables of other programs, in units of the error
``report``      what is written of it
==============  ==================================================================================
"""
