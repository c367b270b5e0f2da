"""Small mistakes put into the source, one at a time, for the tests to notice: ``python -m tests.mutating``."""
