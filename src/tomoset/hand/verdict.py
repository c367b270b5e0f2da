"""From the odds of series to a verdict on each, and on the set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a set says of its hand.

    Parameters
    ----------
    log_odds : float
        Natural logarithm of the odds of +1 against -1 for the set: of one series its own; else
        each counts for no more than the odds that it was not mixed up.
    hand : int or None
        +1 or -1; None: it cannot be told.
    series : dict
        The same of each series by itself.
    against : tuple of str
        Series that say the opposite of the set, by themselves.
    odds : dict
        Natural logarithms of the odds of each series by itself.
    """

    log_odds: float
    hand: int | None
    series: dict[str, int | None]
    against: tuple[str, ...]

    odds: dict[str, float]

    def of(self, name: str) -> int | None:
        """The hand of a series: its own verdict, or else that of the set."""
        own = self.series.get(name)
        return self.hand if own is None else own

    def odds_of(self, name: str) -> float | None:
        """The log-odds on which that rests; None if nothing is known."""
        if self.series.get(name) is None and self.hand is not None:
            return self.log_odds
        return self.odds.get(name)


def decide(log_odds: float, error_rate: float) -> int | None:
    """The hand, if odds are good enough.

    Examples
    --------
    >>> decide(8.0, 0.001), decide(-8.0, 0.001), decide(5.0, 0.001)
    (1, -1, None)
    """
    if abs(log_odds) < math.log((1 - error_rate) / error_rate):
        return None
    return 1 if log_odds > 0 else -1


def verdict(series: Mapping[str, float], error_rate: float) -> Verdict:
    """Put series together.

    One microscope has one hand, but a series may have been mixed up: with half the rate of wrong
    verdicts, each is taken to say nothing of the others. So no single one can outvote all.

    Parameters
    ----------
    series : mapping
        Natural logarithm of the odds of +1 against -1 of each series.
    error_rate : float
        How often a verdict may be wrong.

    Examples
    --------
    >>> verdict({"a": 20.0, "b": 9.0, "c": -30.0}, 0.001).against
    ('c',)
    >>> verdict({"a": 3.0, "b": 3.0, "c": 2.5}, 0.001).hand
    1
    """
    odd = math.log(error_rate / 2)
    values = list(series.values())
    # A series that is alone outvotes nobody, and is the set.
    total = values[0] if len(values) == 1 else sum(_bounded(value, odd) for value in values)
    hand = decide(total, error_rate)
    own = {name: decide(value, error_rate) for name, value in series.items()}
    against = tuple(n for n, h in own.items() if None not in (h, hand) and h != hand)
    return Verdict(log_odds=total, hand=hand, series=own, against=against, odds=dict(series))


def _bounded(log_odds: float, odd: float) -> float:
    """Log-odds of one series, which is mixed up with a probability of exp(odd)."""
    one = _add(log_odds, odd)
    other = _add(0.0, log_odds + odd)
    return one - other


def _add(a: float, b: float) -> float:
    """Logarithm of exp(a) + exp(b)."""
    return max(a, b) + math.log1p(math.exp(-abs(a - b)))
