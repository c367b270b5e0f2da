"""Texts of RELION's files, with comments and columns that nobody knows."""

from __future__ import annotations

from tests.builders.tomograms import unaligned_tomogram
from tomoset import star
from tomoset.model import TomogramSet

GLOBAL = """
# version 30001

data_global

loop_
_rlnTomoName #1
_rlnTomoTiltSeriesName #2
_rlnTomoFrameCount #3
_rlnTomoSizeX #4
_rlnTomoSizeY #5
_rlnTomoSizeZ #6
_rlnTomoHand #7
_rlnTomoTiltSeriesPixelSize #8
_rlnVoltage #9
_rlnSphericalAberration #10
_rlnAmplitudeContrast #11
_rlnMyOwn #12
"""
ROWS = ["TS_01 a.mrc 2 64 48 30 -1.00000 1.350000 300.000000 2.700000 0.1 x", "nan b.mrc 2 64 48 30 -1 1.35 300 2.7 0.1 'y z'"]  # fmt: skip
LABELS = ["rlnTomoProjX", "rlnTomoProjY", "rlnTomoProjZ", "rlnTomoProjW", "rlnDefocusU",
          "rlnDefocusV", "rlnDefocusAngle", "rlnMicrographPreExposure", "rlnMine"]  # fmt: skip
TILTS = ["[1,0,0,3.5] [0,1,0,-2] [0,0,1,0] [0,0,0,1] 20000.000000 19000 30.0 0.000000 p",
         "[1,0,0,1e-3] [0,1.0,0,2] [0,0,1,0] [0,0,0,1] 20100.5 19100 -30.0 3.000000 q"]  # fmt: skip


def tilt_table(name: str, rows: list[str] | None = None) -> str:
    labels = "".join(f"_{label} #{i}\n" for i, label in enumerate(LABELS, 1))
    body = "\n".join(TILTS if rows is None else rows)
    return f"\n# a comment on {name}\n\ndata_{name}\n\nloop_\n{labels}{body}\n\n"


def tomograms_text(rows: list[str] | None = None, tables: str | None = None) -> str:
    tables = tilt_table("TS_01") + tilt_table("nan") if tables is None else tables
    return GLOBAL + "\n".join(ROWS if rows is None else rows) + "\n\n" + tables


CENTRED = [f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]
CORNER = [f"rlnCoordinate{axis}" for axis in "XYZ"]
ORIGINS = [f"rlnOrigin{axis}Angst" for axis in "XYZ"]
SUBTOMOGRAM = [f"rlnTomoSubtomogram{angle}" for angle in ("Rot", "Tilt", "Psi")]
TOMOGRAMS = TomogramSet([unaligned_tomogram(), unaligned_tomogram("001", (401, 403, 201), 2)])
OPTICS = "\n# version 30001\n\ndata_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnOpticsGroupName #2\n_rlnTomoTiltSeriesPixelSize #3\n_rlnMine #4\n1 first 1.350000 a\n2 second 1.3505 b\n\n"
PARTICLES_4 = OPTICS + "# version 30001\n\ndata_particles\n\nloop_\n" + "".join(
    f"_{label} #{i}\n" for i, label in enumerate(
        ["rlnTomoName", "rlnTomoParticleName", *CORNER, *ORIGINS, *SUBTOMOGRAM, "rlnAngleRot",
         "rlnAngleTilt", "rlnAnglePsi", "rlnOpticsGroup", "rlnRandomSubset", "rlnMyOwn"], 1)
) + """TS_01 TS_01/1 100.000000 200.50 1e2 1.350000 0.0 -2.7 10.0 20.00 30 1 2 nan 1 1 x
001 001/7 1.0 2 3 0 0 0 0 0 0 0.5 0 0 2 2 'y z'
TS_01 TS_01/9 5 6 7 -4.050000 1 2 90 45 0 0 0 0 1 1 empty

# the end
"""  # fmt: skip
PARTICLES_5 = "\n# version 50001\n\ndata_general\n\n_rlnTomoSubTomosAre2DStacks 1\n\n" + OPTICS.replace("30001", "50001") + "# version 50001\n# mine\n\ndata_particles\n\nloop_\n" + "".join(
    f"_{label} #{i}\n" for i, label in enumerate(
        ["rlnMyOwn", *CENTRED, "rlnTomoName", "rlnTomoVisibleFrames", *ORIGINS, "rlnOpticsGroup"], 1)
) + """a 100.000000 -50.0 2e2 TS_01 [1,0,1] 1.0 2.0 3.0 1
b -1.5 0 7.25 001 [0,1] 0 0 0.000 2

"""  # fmt: skip


def same_texts(a: star.StarFile, b: star.StarFile) -> bool:
    def texts(f: star.StarFile) -> list[object]:
        return [
            (t.name, t.comments, t.is_loop, {k: list(v) for k, v in t.columns.items()}) for t in f
        ] + [f.comments]

    return texts(a) == texts(b)


MANIFOLDS = """
# version 30001

data_TS_01

loop_
_rlnTomoManifoldIndex #1
_rlnMine #2
_rlnTomoManifoldParams #3
_rlnTomoManifoldType #4
1 a [10.50,20,30,5.0] sphere
2 b [1,2,3] ""
3 c [10,20,30,35.4490770181,1.0,0,0.50] spheroid

# on 001

data_001

loop_
_rlnTomoManifoldIndex #1
_rlnTomoManifoldParams #2
_rlnTomoManifoldType #3
1 [1,2,3,4] sphere

data_other

loop_
_rlnMoon #1
full

"""  # the spheroid has four coefficients: l = 0 and 1
MOTION = """
# version 30001

data_general

_rlnParticleNumber 2

# version 30001

data_TS_01/1

loop_
_rlnOriginXAngst #1
_rlnOriginYAngst #2
_rlnOriginZAngst #3
0.000000 0 0.0
1.50 -2 3e0
-1 0.25 0

data_001/1

loop_
_rlnOriginXAngst #1
_rlnOriginYAngst #2
_rlnOriginZAngst #3
_rlnMine #4
0 0 0 p
4 5 6 q

"""
