"""Tests of tomoset; what is set here holds before any library is loaded."""

import os

# Workers of pytest share the cores: threads of OpenMP and BLAS that wait for work by spinning
# would take a third of the time from the others.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
