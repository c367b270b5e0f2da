"""Damaged files, many of them, each given to the commands that read it: ``python -m tests.fuzzing``."""
