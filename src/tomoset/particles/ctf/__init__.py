"""Defocus and scale of tilt images, by their particles."""
