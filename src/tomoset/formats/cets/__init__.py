"""CETS: documents of the cryo-EM tomography standard."""
