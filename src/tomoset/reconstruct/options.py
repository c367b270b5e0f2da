"""What to reconstruct and how: the choices of ``tomoset reconstruct``."""

from __future__ import annotations

from dataclasses import dataclass

from tomoset.errors import ModelError

METHODS = ("wbp", "wiener", "sirt")
CTFS = ("none", "2d", "3d")
DATA_TYPES = ("float32", "float16", "int8")
#: What a volume is written as, by the end of its name.
FILES = (".mrc", ".zarr")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to reconstruct and how.

    Parameters
    ----------
    binning : float
        Voxel size against the pixel size of the tilt images; 1 or more.
    pixel_size : float, optional
        The voxel size itself [Å], instead of `binning`.
    size : (int, int, int), optional
        x, y, z of the tomogram [bin-1 px]; the set's if not given.
    method : {"wbp", "wiener", "sirt"}
        Weighted back-projection; the same as a Wiener filter of what the images transfer;
        simultaneous iterations.
    ctf : {"none", "2d", "3d"}
        Corrected not at all, for the middle of the tomogram, or for the depth of each voxel. By
        flipping phases, but for the Wiener filter, which has it in its numerator.
    dose : bool
        Damp what radiation has destroyed (Grant and Grigorieff).
    halves : bool
        Two more volumes from halves of the data, for denoising: of even and odd frames where
        the set names such images, of every other tilt elsewhere.
    iterations : int
        Of SIRT, at most.
    snr : float
        Signal to noise of the Wiener filter, as RELION's --SNR.
    taper : float
        Width over which images fade at their edges [px of the volume].
    thickness : float, optional
        Of the specimen [Å], for the exact filter; the tomogram's if not given.
    data_type : {"float32", "float16", "int8"}
        Of the volume's file.
    file : {".mrc", ".zarr"}
        Kind of the volume's file.

    Raises
    ------
    ModelError
        If a choice is not offered, impossible, or contradicts another.
    """

    binning: float = 4.0
    pixel_size: float | None = None
    size: tuple[int, int, int] | None = None
    method: str = "wbp"
    ctf: str = "none"
    dose: bool = False
    halves: bool = False
    iterations: int = 40
    snr: float = 10.0
    taper: float = 3.0
    thickness: float | None = None
    data_type: str = "float32"
    file: str = ".mrc"

    def __post_init__(self) -> None:
        for name, offered in (
            ("method", METHODS),
            ("ctf", CTFS),
            ("data_type", DATA_TYPES),
            ("file", FILES),
        ):
            if getattr(self, name) not in offered:
                raise ModelError(
                    f"{name} must be one of {', '.join(offered)}, not {getattr(self, name)!r}"
                )
        for name, least, most in (
            ("binning", 1, 1e4),
            ("pixel_size", 1e-3, 1e6),
            ("snr", 1e-6, 1e9),
            ("taper", 0, 1e4),
            ("thickness", 1, 1e8),
            ("iterations", 1, 10**6),
        ):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ModelError(f"{name} must be from {least:g} to {most:g}, not {value:g}")
        if self.size is not None and min(self.size) < 1:
            by = " x ".join(map(str, self.size))
            raise ModelError(f"a tomogram cannot have a size of {by} px")
        if self.method == "sirt" and self.ctf == "3d":
            raise ModelError(
                "SIRT compares the volume with whole images, which have no single depth: take "
                "--ctf 2d with sirt, or --ctf 3d with wbp or wiener"
            )
