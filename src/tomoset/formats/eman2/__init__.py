"""EMAN2: info files of tilt series."""
