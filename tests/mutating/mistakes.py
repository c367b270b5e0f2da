"""Mistakes that a person could make: a sign, a bound, a constant, a condition."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_OTHERS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


@dataclass(frozen=True)
class Mistake:
    """One change of a file: what stands from one place to another is replaced."""

    path: Path
    begin: int
    end: int
    line: int
    old: str
    new: str

    def apply(self, text: bytes) -> bytes:
        """The text of the file with the mistake."""
        return text[: self.begin] + self.new.encode() + text[self.end :]


def _changed(node: ast.AST) -> ast.expr | None:
    """A node with a mistake in it; None where there is none to make."""
    other: ast.expr | None = None
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _OTHERS:
        ops = [_OTHERS[type(node.ops[0])](), *node.ops[1:]]
        other = ast.Compare(node.left, ops, node.comparators)  # type: ignore[arg-type]
    elif isinstance(node, ast.BinOp) and type(node.op) in _OTHERS:
        other = ast.BinOp(node.left, _OTHERS[type(node.op)](), node.right)  # type: ignore[arg-type]
    elif isinstance(node, ast.BoolOp):
        other = ast.BoolOp(_OTHERS[type(node.op)](), node.values)  # type: ignore[arg-type]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        other = node.operand
    elif isinstance(node, ast.IfExp):
        other = ast.IfExp(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        other = ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        other = ast.Constant(node.value + 1)
    return other


def _counted(tree: ast.AST) -> Iterator[ast.AST]:
    """All that is computed: no annotations, no texts of messages, nothing that only a type checker reads."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for name, value in ast.iter_fields(node):
            children = value if isinstance(value, list) else [value]
            skipped = (
                name in ("annotation", "returns", "decorator_list", "format_spec")
                or isinstance(node, ast.Raise | ast.JoinedStr)
                or (
                    isinstance(node, ast.keyword)
                    and node.arg in ("stacklevel", "frozen", "kw_only")
                )
                or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
            )
            waiting += [] if skipped else [c for c in children if isinstance(c, ast.AST)]


def mistakes_in(path: Path) -> Iterator[Mistake]:
    """All of a file, in its order."""
    text = path.read_bytes()
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node in _counted(ast.parse(text)):
        new = _changed(node)
        if new is None:
            continue
        assert isinstance(node, ast.expr)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        said = ast.unparse(ast.fix_missing_locations(new))
        simple = isinstance(new, ast.Constant)
        old = text[begin:end].decode()
        found.append(Mistake(path, begin, end, node.lineno, old, said if simple else f"({said})"))
    yield from sorted(found, key=lambda m: (m.begin, m.end))
