"""A project for tilt images that were made smaller: the same specimen in larger pixels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import AssumptionWarning, LossyWarning, ModelError, some_of
from tomoset.geometry import DeformationBasis
from tomoset.images.mrc import stack_path
from tomoset.images.tilt_series import TiltSeries
from tomoset.model import Deformation, Fiducials, Manifold, Optics, ParticleSet, Project, Tomogram
from tomoset.model.quantities import refuse_impossible

Array = npt.NDArray[np.float64]

#: A deformation that is off by more is said [px].
_OFF = 1e-3


@dataclass(frozen=True, kw_only=True)
class _Binning:
    """What becomes of pixels: p' = (p - offset) / factor; and of voxels, v' = v / factor."""

    factor: float
    averaged: bool
    image_size: tuple[int, int] | None
    binned_size: tuple[int, int] | None
    images: str

    def pixels(self, points: Array) -> Array:
        return geometry.binned(points, self.factor, averaged=self.averaged)

    def optics(self, optics: Optics) -> Optics:
        size = optics.pixel_size
        return replace(optics, pixel_size=None if size is None else size * self.factor)


def rebin(
    project: Project,
    factor: float,
    *,
    images: str | None = None,
    averaged: bool = False,
    image_size: tuple[int, int] | None = None,
    binned_size: tuple[int, int] | None = None,
) -> Project:
    """A project for tilt images that were binned: numbers change, and what is seen where does not.

    Voxel i of the new tomogram is voxel factor x i of the old one; pixels too, or they are means
    (docs/conventions.md, 'Tomograms'). Å, degrees, doses, and defocus at each point, stay.

    Parameters
    ----------
    project : Project
        All of it read; where it is aligned, of known sizes.
    factor : float
        Pixels of now in one of then, above 0.
    images : str, optional
        What the binned images are called: ``{folder}``, ``{image}`` and ``{ending}`` stand for
        parts of the old path, ``{name}`` for the tomogram. ``{folder}{image}_bin4{ending}``, with
        the factor, if not given. What is not there is a warning.
    averaged : bool
        Whether a pixel is the mean of those that it covers, as IMOD's ``newstack -bin`` makes them;
        else pixel 0 stays pixel 0, as by Fourier cropping.
    image_size : (int, int), optional
        Of the tilt images as they were, where they are not there [px].
    binned_size : (int, int), optional
        Of the binned images [px]; that of the files, or as many whole pixels as fit, if not given.

    Raises
    ------
    ModelError
        If the factor is impossible, or a size that is needed is not known.

    Examples
    --------
    >>> from tomoset import ParticleSet, TomogramSet
    >>> one = Tomogram(name="a", n_tilts=1, optics=Optics(pixel_size=2.0), size=(40, 40, 20))
    >>> picks = ParticleSet(tomogram_names=["a"], coordinates=[[20, 20, 10]])
    >>> small = rebin(Project(tomograms=TomogramSet([one]), particles=picks), 4)
    >>> small.tomograms["a"].size, small.particles.coordinates.tolist()
    ((10, 10, 5), [[5.0, 5.0, 2.5]])
    """
    refuse_impossible("binning", factor)
    names = "{folder}{image}_bin" + f"{factor:g}" + "{ending}" if images is None else images
    how = _Binning(
        factor=factor,
        averaged=averaged,
        image_size=image_size,
        binned_size=binned_size,
        images=names,
    )
    particles, manifolds = project.particles, project.manifolds
    after = project.with_sets(
        tomograms=project.tomograms.with_tomograms(
            _tomogram(t, how) for t in project.tomograms.values()
        ),
        particles=None if particles is None else _particles(particles, how),
        trajectories=project.trajectories,  # Å
        manifolds=manifolds
        and manifolds.with_manifolds(
            {name: [_manifold(m, factor) for m in some] for name, some in manifolds.items()}
        ),
        fiducials={name: _fiducials(beads, how) for name, beads in project.fiducials.items()},
    )
    _say_absent(after)
    return after


def _tomogram(t: Tomogram, how: _Binning) -> Tomogram:
    placed = t.placed(image_size=t.image_size or how.image_size)
    if placed.alignment is not None:
        placed.need_projections()  # an error that says what is not known
    named = _renamed(placed, how).with_excluded(lambda tilt: _renamed(tilt, how))
    size = how.binned_size or _found_size(named) or _whole(placed.image_size, how.factor)
    return _scaled(named, size, how).with_excluded(lambda tilt: _scaled(tilt, size, how))


def _whole(size: tuple[int, int] | None, factor: float) -> tuple[int, int] | None:
    """As many whole pixels as fit."""
    if size is None:
        return None
    return max(1, int(size[0] / factor)), max(1, int(size[1] / factor))


def _scaled(t: Tomogram, image_size: tuple[int, int] | None, how: _Binning) -> Tomogram:
    b, projections, made = how.factor, t.projections, t.reconstruction
    if projections is not None:
        projections = projections.copy()
        projections[:, :2, 3] = how.pixels(projections[:, :2, 3])
        projections[:, 2, 3] /= b
    deformation = t.deformation
    if deformation is not None:
        old, new = t.need_image_size(), image_size or t.need_image_size()
        deformation, shifts = _deformation(t.name, deformation, old, new, how)
        if projections is not None:
            projections[:, :2, 3] += shifts
    size, origin = t.size, t.depth_origin
    if size is not None:
        origin = np.asarray(size) / 2 if origin is None else origin
        x, y, z = size
        size = (max(1, int(x / b + 0.5)), max(1, int(y / b + 0.5)), max(1, int(z / b)))
    return replace(
        t,
        optics=how.optics(t.optics),
        size=size,
        image_size=image_size,
        projections=projections,
        deformation=deformation,
        depth_origin=None if origin is None else origin / b,
        reconstruction=made and replace(made, binning=made.binning / b),
        deviations={
            what: v / b if what in ("shift_x", "shift_y") else v for what, v in t.deviations.items()
        },
    )


def _deformation(
    name: str,
    deformation: Deformation,
    old: tuple[int, int],
    new: tuple[int, int],
    how: _Binning,
) -> tuple[Deformation, Array]:
    """The same displacements in new pixels, and shifts of the projections that go with it."""
    b, coefficients = how.factor, deformation.coefficients
    origin = how.pixels(np.zeros(2))
    basis, now = deformation.basis(old), deformation.basis(new)
    none = np.zeros((len(coefficients), 2))
    if deformation.kind == "linear":
        # q' = p' + C (p' - centre of the old image), about the centre of the new one
        C = basis.matrix(coefficients)
        apart = np.asarray(new) / 2 - how.pixels(np.asarray(old) / 2)
        shifts = np.linalg.solve(np.eye(2) + C, (C @ apart)[..., None])[..., 0]
        return deformation, np.asarray(shifts)
    if np.array_equal(np.asarray(new) * b, old) and not origin.any():
        return replace(deformation, coefficients=coefficients / b), none
    found, off = _fitted(basis, now, coefficients, how)
    if off > _OFF:
        warnings.warn(
            f"tomogram {name!r}: the 2D deformation in binned images of another extent is off by "
            f"up to {off:.2g} px of these",
            LossyWarning,
            stacklevel=6,
        )
    return replace(deformation, coefficients=found), none


def _fitted(
    basis: DeformationBasis, now: DeformationBasis, coefficients: Array, how: _Binning
) -> tuple[Array, float]:
    """Coefficients of the nearest displacements over the new image, and how far they are off."""
    across = [np.linspace(0, side, 25) for side in now.image_size]
    points = np.stack(np.meshgrid(*across), axis=-1).reshape(-1, 2)
    before = geometry.unbinned(points, how.factor, averaged=how.averaged)
    target = np.array([basis.displacement(c, before) for c in coefficients]) / how.factor
    design = now.design(points).reshape(-1, now.count)
    found = np.linalg.lstsq(design, target.reshape(len(coefficients), -1).T, rcond=1e-9)[0].T
    again = np.array([now.displacement(c, points) for c in found]).reshape(target.shape)
    return np.asarray(found), float(np.abs(again - target).max(initial=0.0))


def _particles(particles: ParticleSet, how: _Binning) -> ParticleSet:
    sizes, source = particles.pixel_sizes, particles.source
    return replace(
        particles,
        coordinates=particles.coordinates / how.factor,
        pixel_sizes=None if sizes is None else sizes * how.factor,
        optics={number: how.optics(o) for number, o in particles.optics.items()},
        source=None if source is None else source.rebinned(how.factor),
    )


def _manifold(manifold: Manifold, factor: float) -> Manifold:
    return replace(manifold, params=manifold.params / factor)  # centre and radii are all voxels


def _fiducials(beads: Fiducials, how: _Binning) -> Fiducials:
    seen = beads.observations
    if seen is not None:
        error = seen.uncertainty
        error = None if error is None else error / how.factor
        seen = replace(seen, points=how.pixels(seen.points), uncertainty=error)
    return replace(beads, points=beads.points / how.factor, observations=seen)


def _renamed(t: Tomogram, how: _Binning) -> Tomogram:
    """The tomogram with the names of its binned images."""
    new = _namer(t, how.images)
    single = "{image}" in how.images
    if t.images is not None and not single:
        raise ModelError(
            f"tomogram {t.name!r} has single images, so their names need {{image}} (`images`)"
        )
    halves = t.half_images
    if halves is not None and not single:
        warnings.warn(
            f"tomogram {t.name!r}: images of even and odd frames are not named any more, as the "
            "names of binned images have no {image}",
            LossyWarning,
            stacklevel=6,
        )
        halves = None
    return replace(
        t,
        stack=None if t.stack is None else new(t.stack),
        images=None if t.images is None else tuple(map(new, t.images)),
        half_images=halves and (tuple(map(new, halves[0])), tuple(map(new, halves[1]))),
    )


def _namer(t: Tomogram, pattern: str) -> Callable[[str], str]:
    def new(name: str) -> str:
        number, at, path = name.rpartition("@")
        file = stack_path(path)
        folder, base = os.path.split(file)
        image, ending = os.path.splitext(base)
        made = pattern
        for mark, text in (
            ("{folder}", os.path.join(folder, "")),
            ("{image}", image),
            ("{ending}", ending),
            ("{name}", t.name),
        ):
            made = made.replace(mark, text)
        return f"{number}{at}{made}{path[len(file) :]}"

    return new


def _found_size(t: Tomogram) -> tuple[int, int] | None:
    """What the binned images are like, if the first is there."""
    if (t.stack is None and t.images is None) or not t.n_tilts:
        return None
    sections = t.image_sections()
    if not os.path.isfile(sections[0][0]):
        return None
    with TiltSeries(t.name, sections[:1]) as images:
        return images.size


def _say_absent(project: Project) -> None:
    absent = [
        path
        for t in project.tomograms.values()
        if t.stack is not None or t.images is not None
        for path in dict.fromkeys(path for path, _ in t.image_sections())
        if not os.path.isfile(path)
    ]
    if absent:
        warnings.warn(
            f"{len(absent)} files of binned images are not there, and are to be made: "
            f"{some_of(absent, 3)}",
            AssumptionWarning,
            stacklevel=3,
        )
