"""Jobs on a Dask cluster: one that is there, or one made of SLURM jobs."""

from __future__ import annotations

import importlib
import logging
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from typing import Any

from tomoset.errors import ModelError, TomosetError, UnsupportedError
from tomoset.run._outcome import KILLED, Outcome, Work, explain, perform
from tomoset.run._resources import thread_variables

#: Seconds in which a scheduler must answer.
ANSWER = 10

_GONE = (
    "the Dask scheduler was stopped, or cannot be reached any more; start it again, and "
    "--continue does the rest"
)


class DaskPool:
    """The workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
        Connected to the scheduler.
    workers : int, optional
        Jobs at once; by default one for each worker that is there.
    cluster : dask_jobqueue.JobQueueCluster, optional
        A cluster that was made for this run, and ends with it.
    refusals : list of str
        Grows when the queue does not take a job of this cluster.
    """

    patience = 2.0

    def __init__(
        self, client: Any, workers: int | None, cluster: Any = None, refusals: Sequence[str] = ()
    ) -> None:
        self._killed = _package("distributed").KilledWorker
        self._client = client
        self._workers = workers
        self._cluster = cluster
        self._refusals = refusals
        # Not pure: two equal tasks are two jobs, and none is the one of an earlier run.
        self._executor = client.get_executor(pure=False)

    def slots(self) -> int:
        """How many jobs run at once: workers may come and go.

        Raises
        ------
        TomosetError
            The scheduler is gone, or SLURM takes none of the jobs.
        """
        if self._workers and len(self._refusals) >= self._workers and not self._client.nthreads():
            raise TomosetError(f"SLURM does not take the job: {self._refusals[-1]}")
        if self._cluster is not None:
            self._cluster.scale(jobs=self._workers)  # those whose time was over come again
        if self._workers:
            return self._workers
        try:
            return max(1, len(self._client.nthreads()))
        except (OSError, RuntimeError):
            raise TomosetError(_GONE) from None

    def submit(self, work: Work, task: Any) -> Future[Outcome]:
        """Have a job done."""
        future: Future[Outcome] = self._executor.submit(perform, work, task)
        return future

    def explain(self, problem: BaseException) -> str:
        """Why there is no outcome.

        Raises
        ------
        TomosetError
            The scheduler is gone, which is no job's fault.
        """
        if isinstance(problem, self._killed):
            return KILLED
        if isinstance(problem, CancelledError) or self._client.status != "running":
            raise TomosetError(_GONE) from None
        return explain(problem)

    def renew(self) -> None:
        """Nothing to do: the nannies start new workers."""

    def close(self) -> None:
        """Leave the cluster, which is as it was."""
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()

    def abandon(self) -> None:
        """Cancel what waits; what a worker of a foreign cluster works on comes to its end there."""
        self._executor.shutdown(wait=False)
        self.close()


def dask_pool(address: str, workers: int | None) -> DaskPool:
    """The workers of a cluster that is there.

    Raises
    ------
    UnsupportedError
        Dask is not installed.
    TomosetError
        No scheduler answers.
    """
    distributed = _package("distributed")
    _hush()
    try:
        client = distributed.Client(address, timeout=ANSWER, set_as_default=False)
    except (OSError, ValueError) as problem:
        raise TomosetError(
            f"no Dask scheduler answers at {address} ({problem}); start one by `dask scheduler`, "
            "and give the address that it prints"
        ) from None
    if not client.nthreads():
        print(f"no worker of {address} is there yet: waiting for one", file=sys.stderr)
    return DaskPool(client, workers)


def slurm_pool(settings: dict[str, str], workers: int, threads: int) -> DaskPool:
    """A cluster of SLURM jobs, each of which works on one task at a time.

    Parameters
    ----------
    settings : dict
        Cores, memory, walltime, queue and account of each SLURM job, where the configuration of
        dask-jobqueue is not to decide.
    workers : int
        SLURM jobs.
    threads : int
        Threads of numba, OpenMP and BLAS in each.

    Raises
    ------
    UnsupportedError
        dask-jobqueue is not installed, or there is no SLURM here.
    ModelError
        dask-jobqueue misses a setting.
    """
    if shutil.which("sbatch") is None:
        raise UnsupportedError(
            "there is no sbatch here: run this where SLURM jobs can be submitted, or take another "
            "--engine"
        )
    cores = slurm_cores(settings) or threads
    _hush()
    jobqueue, config = _package("dask_jobqueue"), _package("dask").config
    prologue = config.get("jobqueue.slurm.job-script-prologue", None) or []
    exports = [f"export {name}={n}" for name, n in thread_variables(threads).items()]
    # The usual port of the page that shows a cluster may be that of another run.
    page = {"dashboard_address": ":0"}
    page |= config.get("jobqueue.slurm.scheduler-options", None) or {}
    refusals: list[str] = []
    others = {key: value for key, value in settings.items() if key != "cores"}
    try:
        # To Dask a worker has one core, so that it takes one task at a time; SLURM gives it all.
        cluster = jobqueue.SLURMCluster(
            job_cls=_watched(jobqueue.SLURMCluster.job_cls, refusals),
            cores=1,
            processes=1,
            job_cpu=cores,
            scheduler_options=page,
            silence_logs="critical",
            job_script_prologue=[*prologue, *exports],
            **others,
        )
    except ValueError as problem:
        raise ModelError(
            f"slurm: {problem}; write it as slurm?memory=32GB, or into jobqueue.yaml "
            "(docs/cluster.md)"
        ) from None
    cluster.scale(jobs=workers)
    client = _package("distributed").Client(cluster, set_as_default=False)
    return DaskPool(client, workers, cluster, refusals)


def _watched(job: Any, refusals: list[str]) -> Any:
    """A kind of job that keeps what sbatch says, which Dask leaves in a task of its own."""

    async def start(self: Any) -> None:
        try:
            await job.start(self)
        except Exception as problem:
            refusals.append(str(problem).strip())
            raise

    return type(job.__name__, (job,), {"start": start})


def _hush() -> None:
    """Dask's loggers print tracebacks for what comes back to us as exceptions."""
    for name in ("distributed", "distributed.client", "tornado.application", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def slurm_cores(settings: dict[str, str]) -> int | None:
    """How many cores each SLURM job gets, by the engine's settings or by jobqueue.yaml.

    Raises
    ------
    UnsupportedError
        dask-jobqueue, whose configuration decides, is not installed.
    """
    if "cores" in settings:
        return int(settings["cores"])
    _package("dask_jobqueue")  # loads its part of the configuration
    for key in ("job-cpu", "cores"):
        if cores := _package("dask").config.get(f"jobqueue.slurm.{key}", None):
            return int(cores)
    return None


def _package(name: str) -> Any:
    """A package that only this engine needs."""
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        raise UnsupportedError(
            f"this engine needs {name}, which cannot be loaded ({problem}): "
            "pip install 'tomoset[cluster]'"
        ) from None
