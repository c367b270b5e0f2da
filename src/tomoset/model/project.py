"""The sets that belong together, and what ties them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tomoset import star
from tomoset.errors import ModelError
from tomoset.model.fiducials import Fiducials
from tomoset.model.manifolds import ManifoldSet
from tomoset.model.particles import ParticleSet
from tomoset.model.tomogram_set import TomogramSet
from tomoset.model.trajectories import TrajectorySet

StrPath = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Project:
    """A tomogram set and the sets that refer to it.

    Parameters
    ----------
    tomograms : TomogramSet
        Always there.
    particles, manifolds, trajectories : optional
        None where the project has none.
    fiducials : mapping of str to Fiducials
        By tomogram name, where the set names a file.
    references : mapping of str to str
        The other entries of the optimisation set, RELION's label to path as the file says it:
        reference maps, mask, FSC, and what nobody knows.
    optimisation_set : StarFile, optional
        The text of the optimisation set it came from.

    Raises
    ------
    ModelError
        If fiducials are of a tomogram that is not in the set.

    Examples
    --------
    >>> from tomoset import Optics, Tomogram
    >>> one = Tomogram(name="001", n_tilts=41, optics=Optics(pixel_size=1.35))
    >>> Project(tomograms=TomogramSet([one]))
    <Project: 1 tomograms>
    """

    tomograms: TomogramSet
    particles: ParticleSet | None = None
    manifolds: ManifoldSet | None = None
    trajectories: TrajectorySet | None = None
    fiducials: Mapping[str, Fiducials] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)
    optimisation_set: star.StarFile | None = None

    def __post_init__(self) -> None:
        for name in self.fiducials:
            if name not in self.tomograms:
                raise ModelError(f"there are fiducials of {name!r}, but no such tomogram")
        for what in ("fiducials", "references"):
            object.__setattr__(self, what, MappingProxyType(dict(getattr(self, what))))

    def __repr__(self) -> str:
        parts = [f"{len(self.tomograms)} tomograms"]
        if self.particles is not None:
            parts.append(f"{len(self.particles)} particles")
        if self.manifolds is not None:
            parts.append(f"{sum(map(len, self.manifolds.values()))} manifolds")
        if self.trajectories is not None:
            parts.append(f"{len(self.trajectories)} trajectories")
        if self.fiducials:
            parts.append(f"fiducials of {len(self.fiducials)}")
        return f"<Project: {', '.join(parts)}>"
