"""What is wanted of a simulated project."""

from __future__ import annotations

from dataclasses import dataclass

from tomoset.errors import ModelError
from tomoset.formats import format_named

#: Views of the last series that IMOD is to exclude, from the start and from the end.
_BLOCKED = (2, 3, 4, -2)


@dataclass(frozen=True, kw_only=True)
class LamellaOptions:
    """What a lamella has that plunged samples have not.

    Parameters
    ----------
    crowd, layers : int
        Globular molecules of several kinds in the field of view, and as densely beyond its sides;
        layers along depth that most of them are in, 0 for none.
    membranes : int
        Flat ones, every other one along the slab, the rest across it.
    curtains, surface : float
        Streaks of milling on each surface, rms height, and ice and dirt on both, rms thickness [Å].
    pretilt, x_tilt : float
        Of the slab, ice and all, about the tilt axis, and about x; tilts are then taken about the
        slab's normal [deg].
    """

    crowd: int = 0
    layers: int = 0
    membranes: int = 0
    curtains: float = 0.0
    surface: float = 0.0
    pretilt: float = 0.0
    x_tilt: float = 0.0


@dataclass(frozen=True, kw_only=True)
class MicroscopeOptions:
    """What a microscope does besides taking images.

    Parameters
    ----------
    snr : float, optional
        Signal-to-noise ratio at about 10 Å/px that shot noise is to give (docs/simulation.md).
    pattern : float
        Rms of a pattern that is fixed in the camera, a fraction.
    beam_edge : float
        The part of the image that the beam does not reach.
    doming : float
        How far the specimen is off its place in the first image, rms [Å].
    field_motion : float
        How far the field of view is off, rms in x and in y [Å].
    defocus_jitter : float
        Defocus of each image is off by this at most [µm].
    """

    snr: float | None = None
    pattern: float = 0.0
    beam_edge: float = 0.0
    doming: float = 0.0
    field_motion: float = 0.0
    defocus_jitter: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ProjectOptions(LamellaOptions, MicroscopeOptions):
    """What is in a simulated project, and what is wrong with its alignment.

    Parameters
    ----------
    n_series, seed : int
        Number of tilt series; the same seed gives the same project.
    format : str
        Name of the format of the alignment that is written.
    density : int, optional
        Binning of the true density, if it is to be written.
    tilts, range : int, float
        Images of a series, which are tilted from minus a range to it [deg].
    size : (int, int, int)
        Width and height of the images and depth of the tomogram [px].
    pixel_size : float
        [Å]
    ctf : bool
        Contrast transfer, of the defocus of each depth.
    defocus : float
        Mean underfocus [µm].
    hand : {1, -1}
        Sign of defocus against depth.
    noise : float
        Shot noise: that of the dose is 1.
    as_bytes : bool
        Stacks of bytes.
    beads, vesicles, molecules, specks : int
        How many there are of each in a series; specks show Thon rings.
    bead_radius : float
        [Å]
    thickness : float, optional
        Of the ice [Å]; None: 0.7 of the depth.
    inclined : float
        Pre-tilt of what is in the ice [deg].
    density_map : str, optional
        Path of a map of the molecule, instead of ours.
    motion, brownian : float
        How far molecules move in all, rms [Å]; standard deviation of the velocity of a Brownian
        motion along each axis [Å per e/Å²].
    deformation : float
        2D deformation of the images, rms [px].
    shift_error, rotation_error, tilt_error, magnification_error, tilt_offset : float
        Errors of the alignment that is written: rms [px, deg, deg, a fraction], and of all tilt
        angles [deg].
    shift_outliers : float
        The part of the images that the alignment has up to 500 Å off.

    Raises
    ------
    ModelError
        If options contradict each other.
    """

    n_series: int = 2
    seed: int = 1
    format: str = "imod"
    density: int | None = None
    tilts: int = 41
    range: float = 60.0
    size: tuple[int, int, int] = (256, 240, 100)
    pixel_size: float = 5.4
    ctf: bool = True
    defocus: float = 3.0
    hand: int = -1
    noise: float = 1.0
    as_bytes: bool = False
    beads: int = 20
    bead_radius: float = 50.0
    vesicles: int = 0
    molecules: int = 0
    specks: int = 0
    thickness: float | None = None
    inclined: float = 0.0
    density_map: str | None = None
    motion: float = 0.0
    brownian: float = 0.0
    deformation: float = 0.0
    shift_error: float = 0.0
    rotation_error: float = 0.0
    tilt_error: float = 0.0
    magnification_error: float = 0.0
    tilt_offset: float = 0.0
    shift_outliers: float = 0.0

    def __post_init__(self) -> None:
        if self.hand not in (1, -1):
            raise ModelError("--hand must be 1 or -1: the sign of defocus against depth")
        if self.density_map and not self.molecules:
            raise ModelError("--map is what molecules look like; say how many, by --molecules")
        for moving in ("motion", "brownian"):
            if getattr(self, moving) and not self.molecules:
                raise ModelError(
                    f"--{moving} moves molecules; say how many there are, by --molecules"
                )
        if self.layers and not self.crowd:
            raise ModelError("--layers are those of the crowd; say how many molecules, by --crowd")
        if self.snr is not None and self.noise != 1.0:
            raise ModelError("--snr and --noise both say how much noise there is: give one of them")
        format = format_named(self.format)
        if self.magnification_error and not format.can("magnification"):
            raise ModelError(
                f"{format.package} cannot say magnification: leave --magnification-error, or take "
                "another --format"
            )

    @property
    def names(self) -> list[str]:
        """Of the tilt series."""
        return [f"TS_{i:02d}" for i in range(1, self.n_series + 1)]

    @property
    def excluded(self) -> tuple[int, ...]:
        """Views, from 0, that the last series is to exclude, where the format can say it."""
        able = format_named(self.format).can("excluded views")
        return tuple(view % self.tilts for view in _BLOCKED) if able else ()
