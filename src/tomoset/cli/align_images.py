"""``tomoset align images``: better alignments without markers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tomoset.cli._groups import choice, flag, grouped_command, number
from tomoset.cli._run_options import FIGURES, RUN_OPTIONS, carry_out, set_options, usage_errors
from tomoset.cli._shell import FINITE, common_options

if TYPE_CHECKING:
    from tomoset.align.images.result import ImageOptions


class _NumberOr(click.ParamType[str | float]):
    """A number, or one word."""

    name = "number"

    def __init__(self, word: str) -> None:
        self._word = word

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | float:
        if value == self._word:
            return self._word
        try:
            return float(FINITE.convert(value, param, ctx))
        except click.BadParameter:
            self.fail(f"{value!r} is neither a number nor {self._word!r}", param, ctx)


_GROUPS = {
    "What": (
        *set_options("Folder for the new set, reports and figures."),
        number(
            "--axis",
            _NumberOr("unknown"),
            None,
            "A|unknown",
            "Direction of the tilt axis, degrees counter-clockwise from the images' y, or unknown: "
            "all are tried.  [default: what the set says]",
        ),
        number(
            "--thickness",
            _NumberOr("auto"),
            "auto",
            "A|auto",
            "Of the specimen, Å, or auto: found.",
        ),
        flag("--level", "Lay the specimen flat in the middle, and all sets with it."),
    ),
    "Where it runs": (
        *RUN_OPTIONS,
        choice(
            "--device",
            ["cpu", "cuda"],
            "cpu",
            "What computes: only the processor can so far; cuda is refused.",
        ),
        FIGURES,
    ),
}


@grouped_command(_GROUPS, "images")
@common_options
def images(**given: Any) -> int:
    """Align tilt series by their images alone, without markers.

    \b
        tomoset align images tomograms.star --o Aligned
        tomoset align images tomograms.star --o Aligned --axis 85 --level

    For images with angles (tomoset import images, import mdoc), and to improve an alignment. All
    images are fitted at once, as views of one slab of matter; how thick it is, how it lies and
    how well each number is known are part of the answer. Images that show nothing are kept aside
    (tomoset include puts them back), images that the others do not confirm are named. Where
    images do not support an alignment, the old one stays, with the reason.

    The hand cannot be seen so: tomoset hand finds it.
    """
    from tomoset.programs.align_images import align_images

    return carry_out(given, align_images, _options(given))


def _options(given: dict[str, Any]) -> ImageOptions:
    from tomoset.align.images.result import ImageOptions

    thickness = None if given["thickness"] == "auto" else given["thickness"]
    with usage_errors():
        return ImageOptions(axis=given["axis"], thickness=thickness, level=given["level"])
