"""The images of a tomogram: where they are, and opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tomoset.errors import MissingFieldError, ModelError
from tomoset.images.mrc import stack_path
from tomoset.images.tilt_series import TiltSeries
from tomoset.model._tomogram_tilts import TomogramTilts
from tomoset.paths import image_sections


@dataclass(frozen=True, kw_only=True, eq=False)
class TomogramImages(TomogramTilts):
    """What `Tomogram` knows of the files of its images."""

    def image_sections(self) -> list[tuple[str, int]]:
        """File and section, from 0, of each tilt image; a ModelError if none are named."""
        if self.images is not None and self.stack is None:
            return image_sections(self.images)
        if self.stack is None:
            raise ModelError(f"tomogram {self.name!r} names no tilt images")
        index = range(self.n_tilts) if self.image_index is None else self.image_index.tolist()
        return [(stack_path(self.stack), section) for section in index]

    def named_files(self) -> Iterator[str]:
        """Paths of all files that it is made of: images, movies, fiducials; once each."""
        halves = self.half_images or ()
        names = [*(self.images or ()), *(self.movies or ()), *(n for h in halves for n in h or ())]
        stack = None if self.stack is None else stack_path(self.stack)
        paths = [stack, self.fiducials, *(path for path, _ in image_sections(names))]
        yield from dict.fromkeys(path for path in paths if path is not None)

    def half_sections(self) -> tuple[list[tuple[str, int]], ...]:
        """Files and sections of images of even and of odd frames; none where none are named.

        Raises
        ------
        MissingFieldError
            If only one of the two is named.
        """
        if self.half_images is None:
            return ()
        if not all(self.half_images):
            raise MissingFieldError(
                f"tomogram {self.name!r} names images of one half of the frames only; those of "
                "even and of odd frames belong together"
            )
        return tuple(map(image_sections, self.half_images))

    def open_images(self, sections: Sequence[tuple[str, int]] | None = None) -> TiltSeries:
        """The tilt images, in the order of the table, to be read one by one.

        Parameters
        ----------
        sections : sequence of (str, int), optional
            Files and sections, from 0, to take instead of the tomogram's own.

        Returns
        -------
        TiltSeries
            For use in ``with``, which closes files at its end.

        Raises
        ------
        MissingFileError
            If a file is not there.
        FileFormatError
            If a file is no image, is cut short, or does not fit the others or the set.
        ModelError
            If the tomogram names no images.

        Examples
        --------
        >>> import tomoset
        >>> with tomoset.read("tomograms.star")["TS_01"].open_images() as images:
        ...     len(images), images.size, images.read(0).shape
        (9, (128, 128), (128, 128))
        """
        sections = self.image_sections() if sections is None else sections
        whole = self.images is None and self.image_index is None
        return TiltSeries(self.name, sections, self.image_size, self.optics.pixel_size, whole=whole)
