"""Tilt series aligned by their particles: cross-correlations, one fit, the new sets."""
