"""Where jobs run, and how many at once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tomoset.errors import ModelError

#: What may stand behind ``slurm?``; all else is a matter of Dask's jobqueue.yaml.
SLURM_SETTINGS = ("cores", "memory", "walltime", "queue", "account")


@dataclass(frozen=True)
class Engine:
    """Where jobs run, taken apart.

    Parameters
    ----------
    kind : str
        ``local``, ``dask`` or ``slurm``.
    address : str
        Of a Dask scheduler, as Dask writes it.
    settings : dict
        Of each SLURM job.
    """

    kind: str
    address: str = ""
    settings: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Engine:
        """Read what a user writes.

        Raises
        ------
        ModelError
            It is none of the engines.

        Examples
        --------
        >>> Engine.parse("dask://node1:8786").address
        'tcp://node1:8786'
        >>> Engine.parse("slurm?cores=8&memory=32GB").settings
        {'cores': '8', 'memory': '32GB'}
        """
        if text == "local":
            return cls("local")
        if found := re.fullmatch(r"(?:dask|tcp)://([^/?\s]+:\d+)/?", text):
            return cls("dask", address=f"tcp://{found[1]}")
        kind, _, settings = text.partition("?")
        if kind == "slurm":
            return cls("slurm", settings=_slurm_settings(settings))
        raise ModelError(
            f"{text!r} is no engine; give local, dask://HOST:PORT (where a Dask scheduler "
            "listens), slurm, or slurm?cores=8&memory=32GB"
        )


def _slurm_settings(text: str) -> dict[str, str]:
    settings: dict[str, str] = {}
    for part in filter(None, text.split("&")):
        key, _, value = part.partition("=")
        if key not in SLURM_SETTINGS or not value:
            raise ModelError(
                f"slurm: {part!r} is no setting; write {'=..., '.join(SLURM_SETTINGS)}=..., joined "
                "by &; other settings are made in jobqueue.yaml (docs/cluster.md)"
            )
        if key == "cores" and not (value.isdecimal() and int(value) > 0):
            raise ModelError(f"slurm: cores={value} is not a number of cores, such as cores=8")
        settings[key] = value
    return settings


#: Kinds of files of figures.
FIGURES = ("png", "pdf", "svg", "none")


@dataclass(frozen=True)
class Resources:
    """Where and how jobs run: nothing that a result depends on.

    Parameters
    ----------
    engine : str
        ``local``, ``dask://HOST:PORT`` (or ``tcp://``), ``slurm``, or ``slurm?cores=8&memory=32GB``
        with any of cores, memory, walltime, queue and account.
    workers : int, optional
        Jobs at once, with SLURM the number of SLURM jobs. By default 1, on a Dask cluster as
        many as it has workers.
    threads : int
        Threads of each job: processes that are started for jobs tell numba, OpenMP and BLAS.
    device : str
        Where arrays are computed, ``cpu`` or ``cuda``, by programs that can use a GPU.
    memory : int
        Temporary arrays of a job that take more bytes than this are kept in a file.
    resume : bool
        Take what an earlier run recorded, where it holds.
    overwrite : bool
        Replace files that others made, or this program of another set, but never one that is read.
    quiet : bool
        Do not tell how far the jobs are.
    figures : str
        Kind of the files of figures: one of `FIGURES`. What an earlier run has drawn stays.

    Raises
    ------
    ModelError
        The engine or the kind of figures is none, or a number is less than 1.

    Examples
    --------
    >>> Resources(workers=4, threads=2).engine
    'local'
    """

    engine: str = "local"
    workers: int | None = None
    threads: int = 1
    device: str = "cpu"
    memory: int = 2 << 30
    resume: bool = False
    overwrite: bool = False
    quiet: bool = False
    figures: str = "png"

    def __post_init__(self) -> None:
        Engine.parse(self.engine)
        if self.figures not in FIGURES:
            raise ModelError(f"figures can be {', '.join(FIGURES)}, not {self.figures!r}")
        for what in ("workers", "threads", "memory"):
            number = getattr(self, what)
            if number is not None and number < 1:
                raise ModelError(f"{what} must be 1 or more, not {number}")

    @property
    def is_alone(self) -> bool:
        """Whether jobs run in this process, one after the other."""
        return Engine.parse(self.engine).kind == "local" and self.workers in (None, 1)


def thread_variables(threads: int) -> dict[str, str]:
    """What numba, OpenMP and BLAS read when they are loaded."""
    names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return dict.fromkeys(names, str(threads))
