"""What an alignment found, in one file for each tomogram: what is too much for a record."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.particles import PARAMETERS, ParticleFit
from tomoset.errors import FileFormatError
from tomoset.files import atomic_write
from tomoset.model import Deformation

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """What the new sets need of a `ParticleFit`.

    Parameters
    ----------
    projections : (n_tilts, 4, 4) array
    positions : (n_particles, 3) array
        0-based voxels.
    deviations : (n_tilts, 8) array
        Of `PARAMETERS`; NaN where nothing could change.
    trajectories : (n_particles, n_tilts, 3) array
        [Å]
    deformation : Deformation or None
    """

    projections: Array
    positions: Array
    deviations: Array
    trajectories: Array
    deformation: Deformation | None

    @classmethod
    def of(cls, fit: ParticleFit) -> Findings:
        """What a fit found."""
        return cls(
            projections=fit.projections,
            positions=fit.positions,
            deviations=fit.deviations,
            trajectories=fit.trajectories,
            deformation=fit.deformation,
        )

    def write(self, path: str) -> None:
        """Write them, whole or not at all."""
        arrays = {
            "projections": self.projections,
            "positions": self.positions,
            "deviations": self.deviations,
            "trajectories": self.trajectories,
        }
        if (bent := self.deformation) is not None:
            arrays["grid"] = np.array(bent.grid)
            arrays["kind"] = np.array(bent.kind)
            arrays["coefficients"] = bent.coefficients
        with atomic_write(path) as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Findings:
        """Read them.

        Raises
        ------
        FileFormatError
            If it is no such file, or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                deformation = None
                if "kind" in arrays:
                    columns, rows = arrays["grid"].tolist()
                    deformation = Deformation(
                        kind=str(arrays["kind"]),
                        grid=(columns, rows),
                        coefficients=arrays["coefficients"],
                    )
                return cls(
                    projections=arrays["projections"],
                    positions=arrays["positions"],
                    deviations=arrays["deviations"],
                    trajectories=arrays["trajectories"],
                    deformation=deformation,
                )
        except (ValueError, KeyError, EOFError, OSError) as problem:
            raise FileFormatError(
                f"what was found of a tomogram cannot be read ({problem}); align it again",
                path=path,
            ) from problem

    def by_name(self) -> dict[str, Array]:
        """Standard deviations as `Tomogram.deviations`; none for what nothing could change."""
        return {
            name: np.array([float(f"{value:.4g}") for value in values])
            for name, values in zip(PARAMETERS, self.deviations.T, strict=True)
            if np.isfinite(values).any()
        }
