"""Conditions on quantities, such as ``tilts > 30 and range > 90``: parsed, never run as code."""

from __future__ import annotations

import ast
import difflib
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError

Mask = npt.NDArray[np.bool_]
#: A quantity of several series or tilt images: numbers, NaN where unknown; or texts, "" there.
Values = npt.NDArray[Any]

#: Longer and deeper ones are nobody's.
_LONGEST, _DEEPEST = 1000, 50

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"abs": np.abs}


@dataclass(frozen=True, eq=False)
class Told:
    """Where a condition is true, and where nobody knows: (n,) masks, never both."""

    true: Mask
    unknown: Mask

    @property
    def false(self) -> Mask:
        """Where it is neither."""
        return ~(self.true | self.unknown)


class Condition:
    """A condition on quantities that have names.

    Numbers, texts in quotes, ``+ - * / % **``, ``abs()``, comparisons, ``and``, ``or``, ``not``.

    Parameters
    ----------
    text : str
        As a user has written it.

    Raises
    ------
    ModelError
        If it is something else.

    Examples
    --------
    >>> told = Condition("tilts > 30 and abs(axis) < 90").of(
    ...     3, {"tilts": np.array([41.0, 41, 20]), "axis": np.array([85, np.nan, np.nan])}.get)
    >>> told.true.tolist(), told.unknown.tolist()
    ([True, False, False], [False, True, False])
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            if len(text) > _LONGEST:
                raise SyntaxError(f"it has more than {_LONGEST} letters")
            self._tree = ast.parse(text.strip(), mode="eval").body
            self.names = tuple(dict.fromkeys(_names(self._tree)))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
            said = problem.msg if isinstance(problem, SyntaxError) else "it is nested too deep"
            raise self._error(
                f"{said}; write it like 'tilts > 30 and defocus < 50000', texts in quotes"
            ) from None

    def _error(self, what: str) -> ModelError:
        return ModelError(f"the condition {self.text!r} cannot be used: {what}")

    def of(self, n: int, look: Callable[[str], Values | None]) -> Told:
        """What it says of some series, or tilt images.

        Parameters
        ----------
        n : int
            How many.
        look : callable
            Gives (n,) values of a name.

        Raises
        ------
        ModelError
            If numbers and texts are mixed, or it is no condition.
        """
        with np.errstate(all="ignore"):
            told = self._value(self._tree, n, look)
        if not isinstance(told, Told):
            raise self._error("it is a value, not true or false: compare it, as in 'tilts > 30'")
        return told

    def _value(self, node: ast.expr, n: int, look: Callable[[str], Values | None]) -> Values | Told:
        def value(part: ast.expr) -> Values | Told:
            return self._value(part, n, look)

        match node:
            case ast.BoolOp():
                return self._joined(node, [value(part) for part in node.values])
            case ast.UnaryOp(op=ast.Not()):
                told = self._told(value(node.operand))
                return Told(told.false, told.unknown)
            case ast.UnaryOp():
                number = self._number(value(node.operand))
                return -number if isinstance(node.op, ast.USub) else number
            case ast.Compare():
                return self._compared(
                    node, [value(part) for part in (node.left, *node.comparators)]
                )
            case ast.BinOp():
                left, right = (self._number(value(part)) for part in (node.left, node.right))
                return np.asarray(_ARITHMETIC[type(node.op)](left, right))
            case ast.Call(func=ast.Name(id=name)):
                return np.asarray(_FUNCTIONS[name](self._number(value(node.args[0]))))
            case ast.Name():
                return np.asarray(look(node.id))
            case ast.Constant(value=str()):
                return np.full(n, node.value)
            case _:
                return np.full(n, float(node.value))  # type: ignore[attr-defined]

    def _told(self, value: Values | Told) -> Told:
        if not isinstance(value, Told):
            raise self._error("'and', 'or' and 'not' stand between comparisons, as in 'tilts > 30'")
        return value

    def _number(self, value: Values | Told) -> Values:
        if isinstance(value, Told) or value.dtype.kind == "U":
            raise self._error("it calculates with what is no number")
        return value

    def _joined(self, node: ast.BoolOp, values: list[Values | Told]) -> Told:
        parts = list(map(self._told, values))
        if isinstance(node.op, ast.And):
            true = np.all([part.true for part in parts], axis=0)
            return Told(true, ~true & ~np.any([part.false for part in parts], axis=0))
        true = np.any([part.true for part in parts], axis=0)
        return Told(true, ~true & np.any([part.unknown for part in parts], axis=0))

    def _compared(self, node: ast.Compare, values: list[Values | Told]) -> Told:
        sides = [self._side(value) for value in values]
        if len({side.dtype.kind == "U" for side in sides}) > 1:
            raise self._error("it compares a text with a number; texts stand in quotes")
        unknown = np.any([side == "" if side.dtype.kind == "U" else np.isnan(side)
                          for side in sides], axis=0)  # fmt: skip
        pairs = zip(node.ops, sides, sides[1:], strict=False)
        true = np.all([_COMPARISONS[type(op)](a, b) for op, a, b in pairs], axis=0)
        return Told(true & ~unknown, unknown)

    def _side(self, value: Values | Told) -> Values:
        if isinstance(value, Told):
            raise self._error("it compares a comparison; join them by 'and' or 'or'")
        return value


def _names(node: ast.AST, depth: int = 0) -> Iterable[str]:
    """The names in a tree, of which all else is refused that is no condition."""
    if depth > _DEEPEST:
        raise RecursionError
    parts = list(ast.iter_child_nodes(node))
    match node:
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
            parts = [argument]
        case ast.Name():
            yield node.id
            return
        case ast.Constant(value=bool()):
            raise SyntaxError("True and False are no quantities")
        case ast.Constant(value=str() | int() | float()):
            if isinstance(node.value, int) and abs(node.value) > 10**300:
                raise SyntaxError("a number is too large")
        case ast.BoolOp() | ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd()):
            pass
        case ast.BinOp() if type(node.op) in _ARITHMETIC:
            pass
        case ast.Compare() if all(type(op) in _COMPARISONS for op in node.ops):
            pass
        case ast.boolop() | ast.unaryop() | ast.operator() | ast.cmpop():
            return
        case _:
            raise SyntaxError(f"{ast.unparse(node)[:40]!r} is no part of a condition")
    for part in parts:
        yield from _names(part, depth + 1)


def no_such_quantity(name: str, what: str, there: Iterable[str]) -> ModelError:
    """What to say of a name that is no quantity: those that are meant, and those there are."""
    every = sorted(dict.fromkeys(there))
    near = difflib.get_close_matches(name, every, n=1)
    hint = f"; did you mean {near[0]}?" if near else "."
    return ModelError(f"no quantity of {what} is called {name}{hint} There are {', '.join(every)}")
