"""One tomogram: its tilt series, how each image sees the specimen, and its CTF."""

from __future__ import annotations

import math
import warnings
from copy import copy
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import AssumptionWarning, ModelError
from tomoset.images.boxes import ParticleImages, extract_boxes
from tomoset.images.ctf import Ctf
from tomoset.model._tomogram_images import TomogramImages
from tomoset.model.source import Source

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Tomogram(TomogramImages):
    """A tilt series with its alignment and its CTF: one row of a tomogram set.

    Values per tilt image are arrays in the order of the table; what is not known is None.
    All arrays are read-only; a changed tomogram is a new one (`dataclasses.replace`).

    Parameters
    ----------
    name : str
        Unique in the set. Always text.
    n_tilts : int
        Number of tilt images.
    optics : Optics
        Pixel size, voltage, aberration, contrast.
    hand : int
        +1 or -1: the sign of defocus against depth in the image frame. The mirror image of
        a volume is another thing.
    stack : str, optional
        Path of the image stack, as the file says it.
    image_index : (n,) int array, optional
        Slice of the stack, from 0, that each row means; None: row i is slice i.
    images : tuple of str, optional
        Paths of single tilt images, where there is no stack.
    half_images : (tuple of str, tuple of str), optional
        Images made of the even and of the odd frames of each movie, ``number@stack`` or single
        ones. One of the two may be empty, and is then not known.
    movies : tuple of str, optional
        The movie that each tilt image was made of.
    image_size : (int, int), optional
        Width and height of the tilt images [px]. Needed for a deformation.
    size : (int, int, int), optional
        x, y, z of the tomogram [bin-1 px].
    projections : (n, 4, 4) array, optional
        From 0-based bin-1 voxels to 0-based image pixels; row z is depth along the beam.
    alignment : Alignment, optional
        What `placed` makes projections of, where a size was not known.
    defocus_u, defocus_v : (n,) arrays, optional
        Underfocus along and across `defocus_angle` [Å], at `depth_origin`.
    defocus_angle : (n,) array, optional
        From image x to the U axis, counter-clockwise [deg].
    phase_shift : (n,) array, optional
        Of a phase plate [deg].
    ctf_scale, b_factor : (n,) arrays, optional
        Factor on the CTF; B-factor [Å²].
    ctf_max_resolution, ctf_figure_of_merit : (n,) arrays, optional
        To which Thon rings are seen [Å]; how well they fit, 0 to 1.
    pre_exposure : (n,) array, optional
        What the specimen had received before each image [e/Å²].
    nominal_tilts : (n,) array, optional
        Angles of the stage [deg].
    nominal_axis : (n,) array, optional
        Direction of the tilt axis in each image as the microscope knows it, before any alignment,
        counter-clockwise from y [deg].
    exposure : (n,) array, optional
        What it received while each image was taken [e/Å²].
    acquisition : (n,) int array, optional
        When each image was taken, from 0 for the first one. `acquisition_order` has the rows.
    fractional_dose : float, optional
        Dose of one tilt image [e/Å²].
    defocus_slope : float
        Factor on the change of defocus with depth; 1 unless measured.
    depth_origin : (3,) array, optional
        The voxel, from 0, where the table's defocus holds. RELION 4: size/2 - 1; RELION 5:
        size/2, which is the default.
    fiducials : str, optional
        Path of a STAR file of 3D fiducials.
    deformation : Deformation, optional
        2D deformation of the tilt images.
    reconstruction : Reconstruction, optional
        The volumes that were made of it.
    deviations : mapping of str to (n,) array
        Standard deviation of what was determined of each tilt image, NaN where it was not:
        ``x_tilt``, ``tilt``, ``rotation`` [deg], ``shift_x``, ``shift_y`` [px],
        ``magnification``, ``stretch``, ``skew`` of the alignment; ``defocus``,
        ``astigmatism`` [Å], ``defocus_angle``, ``phase_shift`` [deg], ``ctf_scale`` of the CTF.
    hand_log_odds : float, optional
        What the images say of the hand: natural logarithm of the odds of +1 against -1.
    ice : Ice, optional
        What the contrast of the images says of the ice.
    unfinished : tuple of str
        Programs that were to work on it and have not, because they failed or were stopped.
    exclusions : tuple of Exclusion
        Tilt images that were taken out by `exclude`.
    source : Source, optional
        Text it was read from.

    Raises
    ------
    ModelError
        If a shape, the hand or a matrix contradicts the rest.

    Examples
    --------
    >>> from tomoset import Optics, Tomogram
    >>> from tomoset import geometry
    >>> t = Tomogram(name="TS_01", n_tilts=3, optics=Optics(pixel_size=2.0), hand=-1,
    ...              size=(100, 100, 40), projections=geometry.rotation_y([-60, 0, 60]))
    >>> t.project([[10.0, 20.0, 0.0]]).round(9).tolist()
    [[[5.0, 20.0]], [[10.0, 20.0]], [[5.0, 20.0]]]
    """

    @property
    def acquisition_order(self) -> npt.NDArray[np.int64]:
        """Rows in the order in which they were taken: (n,) int array.

        As `acquisition` says, or else in that of their dose; equal doses keep the table's order.

        Raises
        ------
        ModelError
            If there is neither.

        Examples
        --------
        >>> from tomoset import Optics, Tomogram
        >>> t = Tomogram(name="a", n_tilts=3, optics=Optics(pixel_size=1.0),
        ...              pre_exposure=[6.0, 0.0, 3.0])
        >>> t.acquisition_order.tolist()
        [1, 2, 0]
        """
        when = self.pre_exposure if self.acquisition is None else self.acquisition
        if when is None or np.isnan(when).any():
            lack = "has no doses" if when is None else "has doses that are not known"
            raise ModelError(f"tomogram {self.name!r} {lack}, so its order is not known")
        return np.argsort(when, kind="stable")

    @property
    def tilt_angles(self) -> Array:
        """Tilt of each image about the tomogram's y axis [deg]: (n,) array."""
        if self.projections is None and self.alignment is not None:
            return np.asarray(self.alignment.angles[:, 1])
        return geometry.tilt_angles(self.need_projections())

    @property
    def x_tilt_angles(self) -> Array:
        """Tilt of each image about the tomogram's x axis [deg]: (n,) array."""
        if self.projections is None and self.alignment is not None:
            return np.asarray(self.alignment.angles[:, 0])
        return geometry.x_tilt_angles(self.need_projections())

    @property
    def tilt_axis_angles(self) -> Array:
        """Direction of the tilt axis in each image, counter-clockwise from y [deg]: (n,)."""
        if self.projections is None and self.alignment is not None:
            return np.asarray(self.alignment.angles[:, 2])
        return geometry.tilt_axis_angles(self.need_projections())

    def project(self, points: npt.ArrayLike) -> Array:
        """Where points of the tomogram lie in every tilt image.

        Parameters
        ----------
        points : (n_points, 3) array
            x, y, z in 0-based bin-1 voxels.

        Returns
        -------
        (n_tilts, n_points, 2) float64 array
            x, y in 0-based pixels, the 2D deformation included.

        Raises
        ------
        ModelError
            If the tomogram is not aligned.
        """
        plane = geometry.apply(self.need_projections(), _points(points))[..., :2]
        if self.deformation is None:
            return plane
        return plane + self.deformation.displacement(plane, image_size=self.need_image_size())

    def depth(self, points: npt.ArrayLike) -> Array:
        """Depth of points along the beam.

        Parameters
        ----------
        points : (n_points, 3) array
            x, y, z in 0-based bin-1 voxels.

        Returns
        -------
        (n_tilts, n_points) float64 array
            Against `depth_origin` [px].

        Raises
        ------
        ModelError
            If the tomogram is not aligned, or has no size to measure from.

        Examples
        --------
        >>> from tomoset import Optics, Tomogram
        >>> from tomoset import geometry
        >>> t = Tomogram(name="a", n_tilts=1, optics=Optics(pixel_size=2.0), size=(8, 8, 8),
        ...              projections=geometry.rotation_y([0.0]), defocus_u=[20000.0],
        ...              defocus_v=[19000.0], hand=-1)
        >>> t.depth([[4, 4, 7]]).tolist(), t.defocus([[4, 4, 7]]).tolist()
        ([[3.0]], [[[19994.0, 18994.0]]])
        """
        along = self._beam() @ (_points(points) - self._depth_origin()).T
        return np.asarray(along)

    def _beam(self) -> Array:
        """Direction of the beam in the tomogram, per tilt image: known before all sizes are."""
        if self.projections is None and self.alignment is not None:
            return np.asarray(geometry.rigid_rotations(self.alignment.angles)[:, 2, :3])
        return self.need_projections()[:, 2, :3]

    def _depth_origin(self) -> Array:
        if self.depth_origin is not None:
            return self.depth_origin
        return np.asarray(self.need_size(), dtype=np.float64) / 2

    def defocus(self, points: npt.ArrayLike) -> Array:
        """Defocus of points in every tilt image.

        See docs/conventions.md, 'Depth, defocus and the hand'.

        U and V change with depth by hand x pixel size x slope x depth, the same amount.

        Parameters
        ----------
        points : (n_points, 3) array
            x, y, z in 0-based bin-1 voxels.

        Returns
        -------
        (n_tilts, n_points, 2) float64 array
            Defocus U and V [Å].

        Raises
        ------
        ModelError
            If there is no alignment or no CTF.
        """
        centre = np.stack(self.need_defocus(), axis=-1)
        change = self._defocus_per_depth() * self.depth(points)
        return np.asarray(centre[:, None, :] + change[..., None])

    def _defocus_per_depth(self) -> float:
        return self.hand * self.need_pixel_size() * self.defocus_slope

    def ctf(self, tilt: int, depth: float = 0.0) -> Ctf:
        """The contrast transfer function of a place in a tilt image.

        Parameters
        ----------
        tilt : int
            Row of the table, from 0.
        depth : float
            Of the place, as `depth` gives it [px].

        Returns
        -------
        Ctf
            Its scale and B-factor included; radiation is not.

        Raises
        ------
        ModelError
            If there is no CTF.

        Examples
        --------
        >>> from tomoset import Optics, Tomogram
        >>> t = Tomogram(name="a", n_tilts=1, optics=Optics(pixel_size=2.0), hand=-1,
        ...              defocus_u=[20000.0], defocus_v=[19000.0])
        >>> t.ctf(0, depth=3.0).defocus_v
        18994.0
        """
        change = self._defocus_per_depth() * depth if depth else 0.0

        def value(field: str, default: float) -> float:
            values: Array | None = getattr(self, field)
            found = default if values is None else float(values[tilt])
            if math.isnan(found):
                raise ModelError(
                    f"tomogram {self.name!r}, tilt image {tilt + 1}: {field.replace('_', ' ')} is "
                    "not known; estimate it, or exclude the image"
                )
            return found

        self.need_defocus()
        return Ctf(
            defocus_u=value("defocus_u", 0.0) + change,
            defocus_v=value("defocus_v", 0.0) + change,
            defocus_angle=value("defocus_angle", 0.0),
            voltage=self.optics.need("voltage"),
            spherical_aberration=self.optics.need("spherical_aberration"),
            amplitude_contrast=self.optics.need("amplitude_contrast"),
            phase_shift=value("phase_shift", 0.0),
            b_factor=value("b_factor", 0.0),
            scale=value("ctf_scale", 1.0),
        )

    def with_depth_origin(self, origin: npt.ArrayLike) -> Tomogram:
        """The same tomogram, its table of defocus valid at another voxel.

        Defocus anywhere stays what it was: U and V change by hand x pixel size x slope x depth
        of the new origin (docs/relion.md, 'Conversion of RELION 4 and 5', step 5). Without an
        alignment or a defocus there is nothing to change.
        """
        new = np.asarray(origin, dtype=np.float64)
        return self._with_depth_origin(new).with_excluded(lambda t: t._with_depth_origin(new))

    def _with_depth_origin(self, new: Array) -> Tomogram:
        aligned = self.projections is not None or self.alignment is not None
        if not aligned or self.defocus_u is None or self.defocus_v is None:
            return replace(self, depth_origin=new)
        if np.array_equal(new, self._depth_origin()):
            return self if self.depth_origin is not None else replace(self, depth_origin=new)
        change = self._defocus_per_depth() * self.depth(new[None])[:, 0]
        return replace(
            self,
            depth_origin=new,
            defocus_u=self.defocus_u + change,
            defocus_v=self.defocus_v + change,
        )

    def placed(
        self,
        size: tuple[int, int, int] | None = None,
        image_size: tuple[int, int] | None = None,
    ) -> Tomogram:
        """Projections from a waiting `alignment`, as soon as all sizes are known.

        Parameters
        ----------
        size : (int, int, int), optional
            x, y, z of the tomogram [bin-1 px]; its own if not given.
        image_size : (int, int), optional
            Width and height of the tilt images [px]; their own if not given.

        Returns
        -------
        Tomogram
            With the sizes, and with projections if none is missing any more.
        """
        size, image_size = size or self.size, image_size or self.image_size
        return self._placed(size, image_size).with_excluded(lambda t: t._placed(size, image_size))

    def _placed(
        self, size: tuple[int, int, int] | None, image_size: tuple[int, int] | None
    ) -> Tomogram:
        sized = replace(self, size=size, image_size=image_size)
        pixel = self.optics.pixel_size
        if self.alignment is None or size is None or image_size is None or pixel is None:
            return sized
        if self.alignment.directions_only:
            warnings.warn(
                f"tomogram {self.name!r}: its alignment has directions only, no shifts; the middle "
                "of the tomogram is taken to be in the middle of each image",
                AssumptionWarning,
                stacklevel=4,
            )
        projections = geometry.rigid_projections(
            self.alignment.angles, self.alignment.shifts / pixel, size=size, image_size=image_size
        )
        return replace(sized, projections=projections, alignment=None)

    def triangulate(self, image_points: npt.ArrayLike) -> Array:
        """The way back of `project`: points of the tomogram from what the images show.

        Parameters
        ----------
        image_points : (n_tilts, n_points, 2) array
            x, y in 0-based pixels; NaN where a point was not seen.

        Returns
        -------
        (n_points, 3) float64 array
            0-based bin-1 voxels, by least squares; NaN where the views do not fix a point.

        Raises
        ------
        ModelError
            If the shape is wrong, or the tomogram is not aligned.

        Examples
        --------
        >>> from tomoset import Optics, Tomogram
        >>> from tomoset import geometry
        >>> t = Tomogram(name="a", n_tilts=2, optics=Optics(pixel_size=2.0),
        ...              projections=geometry.rotation_y([-30.0, 30.0]))
        >>> t.triangulate(t.project([[3.0, 4.0, 5.0]])).round(6).tolist()
        [[3.0, 4.0, 5.0]]
        """
        seen = np.asarray(image_points, dtype=np.float64)
        if seen.ndim != 3 or seen.shape[0] != self.n_tilts or seen.shape[2] != 2:
            raise ModelError(
                f"image points must have shape ({self.n_tilts}, n_points, 2), not {seen.shape}"
            )
        if self.deformation is not None:
            seen = self.deformation.undo(seen, image_size=self.need_image_size())
        return geometry.triangulate(self.need_projections(), seen)

    def with_source(self, source: Source) -> Self:
        """The same tomogram, with the text that it was read from."""
        new = copy(self)  # nothing else changes, so nothing is checked again
        object.__setattr__(new, "source", source)
        return new

    def extract(self, points: npt.ArrayLike, box: int) -> ParticleImages:
        """Cut a box out of every tilt image about each of some points.

        Parameters
        ----------
        points : (n_points, 3) array
            x, y, z in 0-based bin-1 voxels.
        box : int
            Of the boxes [px].

        Returns
        -------
        ParticleImages
            ``boxes``, (n_points, n_tilts, box, box), 0 outside of the images; and where in its
            box each point is. ``centred()`` has all of them in the middle.

        Raises
        ------
        ModelError
            If the tomogram is not aligned, or the box is empty.
        TomosetError
            As `open_images`.

        Examples
        --------
        >>> import tomoset
        >>> tomogram = tomoset.read("tomograms.star")["TS_01"]
        >>> tomogram.extract([[64, 64, 32], [40, 50, 30]], box=32).boxes.shape
        (2, 9, 32, 32)
        """
        with self.open_images() as images:
            at = self.placed(image_size=images.size).project(points)
            return extract_boxes(images, at.swapaxes(0, 1), box)

    def __repr__(self) -> str:
        aligned = self.projections is not None or self.alignment is not None
        size = "x".join(map(str, self.size)) if self.size else "no size"
        pixel = self.optics.pixel_size
        return (
            f"<Tomogram {self.name!r}: {self.n_tilts} tilt images, {size}, "
            f"{'no pixel size' if pixel is None else f'{pixel:g} Å'}, hand {self.hand:+d}, "
            f"{'aligned' if aligned else 'not aligned'}>"
        )


def _points(points: npt.ArrayLike) -> Array:
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 3:
        raise ModelError(f"points must have shape (n_points, 3), not {array.shape}")
    return array
