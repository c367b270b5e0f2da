"""Warp, WarpTools and M: alignments of tilt series come in, and go out."""
