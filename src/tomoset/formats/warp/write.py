"""Warp's files of tomograms: the way back of the importer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import numpy.typing as npt

from tomoset import geometry, star
from tomoset.errors import ModelError, UnsupportedError
from tomoset.formats._nearest import Nearest
from tomoset.formats._texts import exact_texts, number_texts
from tomoset.formats.warp.grids import Grid, from_deformation
from tomoset.formats.warp.importer import projections_of
from tomoset.formats.warp.series import WarpSeries
from tomoset.model import Tomogram, TomogramSet
from tomoset.paths import file_names

Array = npt.NDArray[np.float64]

#: Folders beside the settings, as WarpTools calls them.
PROCESSING, DATA = "warp_tiltseries", "tomostar"
#: Grids of one node that Warp writes with every series, and what they say then.
_OTHERS = (
    *(("GridDoseBfacs", 0.0), ("GridDoseBfacsDelta", 0.0), ("GridDoseBfacsAngle", 0.0)),
    *(("GridLocationBfacs", 0.0), ("GridLocationWeights", 1.0)),
)
_VOLUME_WARP = """\
	<GridVolumeWarp{axis} Width="1" Height="1" Depth="1" Duration="1">
		<Node X="0" Y="0" Z="0" W="0" Value="0" />
	</GridVolumeWarp{axis}>
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class WarpFiles:
    """What Warp's files say of a tomogram, with the tilt images that are excluded.

    Parameters
    ----------
    tomogram : Tomogram
        With all tilt images, and sizes.
    used : tuple of bool
        Which of them are not excluded.
    """

    tomogram: Tomogram
    used: tuple[bool, ...]

    @classmethod
    def of(cls, tomogram: Tomogram) -> WarpFiles:
        """The files of a tomogram.

        Raises
        ------
        UnsupportedError
            If something that Warp's files need is not known.
        """
        t = tomogram.placed()
        lacks = [
            what
            for what, value in (
                ("an alignment", t.projections),
                ("the size of the tomogram", t.size),
                ("the size of the tilt images", t.image_size),
                ("a pixel size", t.optics.pixel_size),
            )
            if value is None
        ]
        if lacks:
            raise UnsupportedError(
                f"tomogram {t.name!r}: Warp's files need {' and '.join(lacks)} (`size`, "
                "`image_size`, `pixel_size`)"
            )
        whole, out = t, {exclusion.row for exclusion in t.exclusions}
        try:
            whole = t.restore()
        except ModelError:  # those that were taken out do not fit any more
            out = set()
        used = tuple(row not in out for row in range(whole.n_tilts))
        if whole.projections is None:
            raise UnsupportedError(f"tomogram {t.name!r} is not aligned")
        whole = replace(whole, **dict.fromkeys(partly_known(whole)))  # type: ignore[arg-type]
        return cls(tomogram=whole.with_depth_origin(np.asarray(t.size) / 2), used=used)

    @property
    def pixel_size(self) -> float:
        """[Å]"""
        return self.tomogram.need_pixel_size()

    @property
    def volume(self) -> Array:
        """Size of the volume [px]."""
        return np.asarray(self.tomogram.size, dtype=np.float64)

    @property
    def image(self) -> Array:
        """Size of the tilt images [px]."""
        return np.asarray(self.tomogram.need_image_size(), dtype=np.float64)

    @property
    def is_mirrored(self) -> bool:
        """Whether depth is counted against Warp's: the projections are no rotations but mirrors."""
        linear = self.tomogram.need_projections()[:, :3, :3]
        return bool(np.linalg.det(linear).sum() < 0)

    @property
    def is_inverted(self) -> bool:
        """AreAnglesInverted: that defocus is less where Warp's depth is more."""
        return (self.tomogram.hand < 0) != self.is_mirrored

    @cached_property
    def series(self) -> WarpSeries:
        """The nearest alignment that Warp can say: shifts, and rotations with one tilt about x."""
        P, volume = self.tomogram.need_projections(), self.volume
        linear = P[:, :3, :3].copy()
        linear[np.linalg.det(linear) < 0, 2] *= -1
        angles = geometry.rigid_angles(geometry.nearest_rotation(linear))
        middle = geometry.apply(P, (volume / 2)[None])[:, 0, :2]
        return WarpSeries(
            path=self.tomogram.name,
            angles=(-angles[:, 1]).round(9),
            axis=angles[:, 2].round(9),
            offsets=((middle - self.image / 2) * self.pixel_size).round(9),
            use=np.array(self.used),
            level=(round(float(np.median(angles[:, 0])), 9), 0.0),
        )

    @cached_property
    def nearest(self) -> Nearest:
        """How far that is from the alignment, but for what bends the images."""
        said = projections_of(self.series, self.pixel_size, self.volume, self.image)
        return Nearest(tomogram=self.tomogram, read=said)

    @cached_property
    def movement(self) -> tuple[Grid, Grid, Array]:
        """Grids of movement [Å], and how far they are off in each tilt image [px]."""
        t, none = self.tomogram, Grid(values=np.zeros((1, 1, 1)))
        if t.deformation is None:
            return none, none, np.zeros(t.n_tilts)
        return from_deformation(t.deformation, t.need_image_size(), self.pixel_size)

    def movies(self, data: str) -> list[str]:
        """MoviePath from a folder: movies, or single images, or names for images of a stack.

        Warp looks for the image of a movie in the folder ``average`` beside it.
        """
        t = self.tomogram
        names = t.movies or t.images
        if names is None or not all(names):
            return [f"{t.name.replace('/', '_')}_{row:03d}.mrc" for row in range(1, t.n_tilts + 1)]
        return [os.path.relpath(_beside_average(name), data) for name in names]

    def doses(self) -> Array:
        """Before each image [e/Å²]; 0 where they are not known."""
        doses = self.tomogram.pre_exposure
        return np.zeros(self.tomogram.n_tilts) if doses is None else doses


def partly_known(t: Tomogram) -> list[str]:
    """Fields that are known of some tilt images only: Warp has one for each, or none."""
    fields = ("defocus_u", "defocus_v", "defocus_angle", "phase_shift", "ctf_scale")
    return [
        field
        for field in (*fields, "pre_exposure")
        if (values := getattr(t, field)) is not None and np.isnan(values).any()
    ]


def _beside_average(name: str) -> str:
    """Where Warp looks for the movie of an image in a folder of averages."""
    folder, file = os.path.split(name)
    inside = os.path.basename(folder) == "average"
    return os.path.join(os.path.dirname(folder), file) if inside else name


def texts_of(tomograms: TomogramSet, folder: str) -> tuple[str, dict[str, str]]:
    """The path of the settings, and the texts of all files, by their paths."""
    names = file_names(tomograms)
    files = {name: WarpFiles.of(t) for name, t in tomograms.items()}
    texts, data = {}, os.path.join(folder, DATA)
    for name, one in files.items():
        texts[os.path.join(folder, PROCESSING, f"{names[name]}.xml")] = _xml(one, data)
        texts[os.path.join(data, f"{names[name]}.tomostar")] = _tomostar(one, data)
    settings = os.path.join(folder, f"{PROCESSING}.settings")
    if files:
        texts[settings] = _settings(next(iter(files.values())))
    return settings, texts


def _xml(files: WarpFiles, data: str) -> str:
    series, px = files.series, files.pixel_size
    dimensions = [_joined(exact_texts(side * px)) for side in (files.image, files.volume)]
    attributes = {
        "DataDirectory": DATA,
        "AreAnglesInverted": str(files.is_inverted),
        "PlaneNormal": "0, 0, 0",
        "LevelAngleX": repr(series.level[0] + 0.0),
        "LevelAngleY": "0",
        "Bfactor": "0",
        "Weight": "1",
        "MagnificationCorrection": "1, 0, 0, 1",
        "ImageDimensionsAngstrom": dimensions[0],
        "VolumeDimensionsAngstrom": dimensions[1],
        "UnselectFilter": "False",
        "UnselectManual": "",
        "CTFResolutionEstimate": "0",
    }
    said = " ".join(f"{name}={quoteattr(value)}" for name, value in attributes.items())
    offsets = np.zeros((len(series.angles), 2)) if series.offsets is None else series.offsets
    columns: dict[str, Sequence[str]] = {
        "Angles": exact_texts(series.angles),
        "Dose": exact_texts(files.doses()) if files.tomogram.pre_exposure is not None else (),
        "UseTilt": [str(used) for used in files.used],
        "AxisAngle": exact_texts(series.axis),
        "AxisOffsetX": exact_texts(offsets[:, 0]),
        "AxisOffsetY": exact_texts(offsets[:, 1]),
        "MoviePath": files.movies(data),
        "FOVFraction": ["1"] * len(series.angles),
    }
    lists = "".join(
        f"\t<{tag}>{escape(chr(10).join(lines))}</{tag}>\n"
        for tag, lines in columns.items()
        if lines
    )
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<TiltSeries {said}>\n{lists}'
        f"{_ctf(files)}{_grids(files)}</TiltSeries>\n"
    )


def _joined(texts: Sequence[str]) -> str:
    return ", ".join(texts)


def _ctf(files: WarpFiles) -> str:
    """The element of what holds for all images; the grids have what is of each."""
    t, of = files.tomogram, files.tomogram.optics
    defocus = 1.0
    if t.defocus_u is not None and t.defocus_v is not None:
        defocus = float((t.defocus_u + t.defocus_v).mean()) / 2 * 1e-4
    values = {
        "PixelSize": files.pixel_size,
        "Voltage": of.voltage,
        "Cs": of.spherical_aberration,
        "Cc": 2.7,
        "Amplitude": of.amplitude_contrast,
        "Defocus": defocus,
        "DefocusDelta": 0.0,
        "DefocusAngle": 0.0,
        "PhaseShift": 0.0,
    }
    return f"\t<CTF>\n{_parameters(values)}\t</CTF>\n"


def _parameters(values: Mapping[str, object]) -> str:
    return "".join(
        f'\t\t<Param Name="{name}" Value={quoteattr(str(value))} />\n'
        for name, value in values.items()
    )


def _grids(files: WarpFiles) -> str:
    t = files.tomogram
    zero = np.zeros(1)
    values = {"GridCTF": zero, "GridCTFDefocusDelta": zero}
    values |= {"GridCTFDefocusAngle": zero, "GridCTFPhase": zero}
    if t.defocus_u is not None and t.defocus_v is not None:
        values["GridCTF"] = (t.defocus_u + t.defocus_v) / 2 * 1e-4
        values["GridCTFDefocusDelta"] = (t.defocus_u - t.defocus_v) * 1e-4
        if t.defocus_angle is not None:
            values["GridCTFDefocusAngle"] = t.defocus_angle
        if t.phase_shift is not None:
            values["GridCTFPhase"] = t.phase_shift / 180
    grids = {tag: Grid(values=column[:, None, None]) for tag, column in values.items()}
    x, y, _ = files.movement
    grids |= {"GridMovementX": x, "GridMovementY": y}
    scale = np.ones(1) if t.ctf_scale is None else t.ctf_scale
    grids |= {tag: Grid(values=np.full((1, 1, 1), value)) for tag, value in _OTHERS}
    grids["GridDoseWeights"] = Grid(values=scale[:, None, None])
    warps = "".join(_VOLUME_WARP.format(axis=axis) for axis in "XYZ")
    return "".join(_grid(tag, grid) for tag, grid in grids.items()) + warps


def _grid(tag: str, grid: Grid) -> str:
    depth, height, width = grid.values.shape
    texts = iter(number_texts(grid.values.ravel()))
    nodes = "".join(
        f'\t\t<Node X="{x}" Y="{y}" Z="{z}" Value="{next(texts)}" />\n'
        for z in range(depth)
        for y in range(height)
        for x in range(width)
    )
    size = f'Width="{width}" Height="{height}" Depth="{depth}"'
    return f'\t<{tag} {size} MarginX="0" MarginY="0" MarginZ="0">\n{nodes}\t</{tag}>\n'


def _tomostar(files: WarpFiles, data: str) -> str:
    """Of the tilt images that are used: Warp 2 starts from these where there is no .xml."""
    series, kept = files.series, np.flatnonzero(files.used)
    offsets = np.zeros((len(series.angles), 2)) if series.offsets is None else series.offsets
    movies = files.movies(data)
    columns = {
        "wrpMovieName": [movies[row] for row in kept],
        "wrpAngleTilt": exact_texts(series.angles[kept]),
        "wrpAxisAngle": exact_texts(series.axis[kept]),
        "wrpDose": exact_texts(files.doses()[kept]),
        "wrpAverageIntensity": ["1.000"] * len(kept),
        "wrpMaskedFraction": ["0.000"] * len(kept),
        "wrpAxisOffsetX": exact_texts(offsets[kept, 0]),
        "wrpAxisOffsetY": exact_texts(offsets[kept, 1]),
    }
    return star.dumps(star.StarFile((star.Table("", columns),)))


def _settings(files: WarpFiles) -> str:
    given = {
        "DataFolder": DATA,
        "ProcessingFolder": PROCESSING,
        "Extension": "*.tomostar",
        "PixelSize": files.pixel_size,
        "BinTimes": 0,
    }
    sides = zip("XYZ", files.volume.astype(int).tolist(), strict=True)
    tomo = {f"Dimensions{axis}": side for axis, side in sides}
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<Settings>\n'
        f"\t<Import>\n{_parameters(given)}\t</Import>\n"
        f"\t<Tomo>\n{_parameters(tomo)}\t</Tomo>\n</Settings>\n"
    )
