"""The page of rules of ``tomoset check``: ``make docs``."""

from __future__ import annotations

from pathlib import Path

from tomoset.check import RULES, Rule, targets
from tomoset.check.fixes import FIXES

_HEAD = """# What `tomoset check` asks

Made by `make docs` of the rules in the code. `tomoset check --select F,D01 --ignore F11` asks some
of them, by the beginnings of their codes. Errors stop or spoil later work; warnings may; notes
(`--notes`) are good to know. Codes are never used again for another rule.
"""
_LETTERS = {
    "S": "The set and its names",
    "F": "Files",
    "D": "Doses",
    "C": "CTF",
    "V": "Values",
    "G": "Geometry",
    "H": "The hand of defocus",
    "L": "Sets that are linked",
    "P": "Particles",
    "M": "Motion of particles",
    "N": "What the next program needs",
    "R": "RELION",
}
_FIXES = """## What `--fix` repairs

`tomoset check SET --fix -o DST` writes a set in which these are repaired, says what was done, and
leaves SET as it is. What is repaired means the same before and after; names that seem to mean
others, units and signs are for people to put right.
"""
_TARGETS = """## What programs need

`tomoset check SET --for PROGRAM` makes what a program cannot do without an error (N01).
"""


def rules_page() -> str:
    """All of ``docs/rules.md``."""
    parts = [_HEAD]
    for letter, title in _LETTERS.items():
        rules = sorted((r for r in RULES if r.code[0] == letter), key=lambda rule: rule.code)
        rows = [f"| {r.code} | {r.severity} | {r.asks} | {_cure(r)} |" for r in rules]
        head = "| code | | what must be so | where it is not |\n|---|---|---|---|"
        parts.append("\n".join([f"## {title}\n", head, *rows, ""]))
    fixes = [f"| {fix.code} | {fix.does} |" for fix in FIXES]
    parts.append("\n".join([_FIXES, "| code | what is done |\n|---|---|", *fixes, ""]))
    needs = [f"| `{name}` | {', '.join(fields)} |" for name, (_, fields) in targets().items()]
    parts.append("\n".join([_TARGETS, "| program | needs |\n|---|---|", *needs, ""]))
    return "\n".join(parts)


def _cure(rule: Rule) -> str:
    return rule.cure if rule.command is None else f"{rule.cure} `tomoset {rule.command}`"


if __name__ == "__main__":
    (Path(__file__).parent / "rules.md").write_text(rules_page())
