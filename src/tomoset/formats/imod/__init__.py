"""IMOD's alignments: etomo folders in, tomograms out.

https://bio3d.colorado.edu/imod/doc/man/tilt.html and newstack.html.
"""
