"""Tiles that are dark do not count."""

from __future__ import annotations

import numpy as np

from tomoset.hand.trust import is_lit, trust


def test_tiles_without_electrons_and_those_that_scatter_more_count_less() -> None:
    power = np.array([1.0, 1.2, 0.9, 0.4, 0.02, 0.0, 1.0, 0.03, 0.01])[:, None] * np.ones(6)
    power[1, :3] = 500.0  # a bead, in the coarse half
    excess = np.array([1.0, 4.0, 1.0, 1.0, 1.0, 0.0, 2.0, 1.0, 1.0])
    np.testing.assert_allclose(trust(excess, power), [1, 0.25, 1, 1, 0, 0, 0.5, 0, 0])
    assert is_lit(np.ones(3)).all()
    assert is_lit(np.zeros(3)).all()  # no part is darker than the others
