"""Alignment of tilt series by their images alone, without markers. Numbers only.

From the ground up: `prepare` (images made ready), `plane` (mapped onto the middle of the specimen),
`pairs` and `graph` (a first place for every image, by all pairs at once), `windows` (spectra of parts
of the plane), `coherent` (how much of them is the specimen's), `slab` (the likelihood of all images),
`cameras` and `fit` (the most probable alignment), and `result`. `bound`: how well shifts can be known
at best.
"""
