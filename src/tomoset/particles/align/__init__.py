"""Tilt series aligned by their particles: windows, one fit, the new sets."""
