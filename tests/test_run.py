"""Jobs by name: failures, killed processes, records, interruptions, progress, clusters."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tomoset.errors import AssumptionWarning, MissingFileError, ModelError, TomosetError
from tomoset.files import stamp
from tomoset.run import Records, Report, Resources, cores_of_engine, run
from tomoset.run._outcome import Outcome
from tomoset.run._progress import Bar, Lines, Pace, about
from tomoset.run._report import duration
from tomoset.run._resources import Engine

ROOT = Path(__file__).parents[1]
QUIET = Resources(quiet=True)
KILLED = "the process that worked on it was killed (out of memory?)"


# Work for other processes: they find it by its name in this module.


def work(task: Any) -> dict[str, Any]:
    """Do what the task says."""
    match task:
        case "bad":
            raise ValueError("a mistake")
        case "missing":
            raise MissingFileError("TS_01.mrc is not there; give another")
        case "disk":
            raise OSError(28, "No space left on device", "out.mrc")
        case "memory":
            raise MemoryError
        case "leave":
            sys.exit(3)
        case "no json":
            return {"x": object()}
        case "not a number":
            return {"x": float("nan")}
        case "warn":
            warnings.warn("an angle was assumed", AssumptionWarning, stacklevel=1)
            return {}
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "threads":
            names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
            return {name: os.environ.get(name) for name in names}
    return {"task": task, "pair": (1, 2)}


def records(folder: Path, *, options: object = 1, there: bool = True) -> Records[Any]:
    return Records(folder / "run", lambda task: [task, options], lambda result: there)


class Counted:
    """Work in this process, which says what it did."""

    def __init__(self) -> None:
        self.did: list[Any] = []

    def __call__(self, task: Any) -> dict[str, Any]:
        self.did.append(task)
        return work(task)


# Failures.

BAD = {
    "bad": "ValueError: a mistake",
    "missing": "TS_01.mrc is not there; give another",
    "disk": "out.mrc: No space left on device",
    "memory": "not enough memory",
    "leave": "SystemExit: 3",
    "no json": "TypeError: Object of type object is not JSON serializable",
    "not a number": "ValueError: Out of range float values are not JSON compliant",
}


@pytest.mark.parametrize("workers", [1, 2])
def test_what_fails_stops_no_other(workers: int) -> None:
    tasks = {name: name for name in ("z", *BAD, "a")}
    report = run(work, tasks, Resources(workers=workers, quiet=True))
    assert report.results == {n: {"task": n, "pair": [1, 2]} for n in ("z", "a")}
    assert list(report.results) == ["z", "a"]
    assert list(report.failed) == list(BAD)
    for name, message in BAD.items():
        assert report.failed[name].startswith(message)
    assert report.exit_code == 1


def test_traceback_only_for_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOMOSET_DEBUG", raising=False)
    assert "\n" not in run(work, {"a": "bad"}, QUIET).failed["a"]
    monkeypatch.setenv("TOMOSET_DEBUG", "1")
    failed = run(work, {"a": "bad", "b": "missing"}, QUIET).failed
    assert "test_run.py" in failed["a"]
    assert "\n" not in failed["b"]


def test_a_run_of_no_tasks_succeeds() -> None:
    report = run(work, {}, Resources("dask://nowhere:1", quiet=True))
    assert report.lines("made", "tomogram") == ["made 0 of 0 tomograms in 0.0 s"]
    assert report.exit_code == 0


def test_killed_worker_is_named_and_the_others_are_done() -> None:
    tasks = {name: name for name in ("a", "b", "kill", "c", "d")}
    report = run(work, tasks, Resources(workers=2, quiet=True))
    assert list(report.results) == ["a", "b", "c", "d"]
    assert report.failed == {"kill": KILLED}


def test_a_killed_single_job_is_reported() -> None:
    report = run(work, {"a": "kill"}, Resources(workers=2, quiet=True))
    assert report.failed == {"a": KILLED}


def test_what_cannot_be_sent_fails_alone() -> None:
    tasks: dict[str, Any] = {"a": "a", "b": lambda: 1, "c": "c"}
    report = run(work, tasks, Resources(workers=2, quiet=True))
    assert list(report.results) == ["a", "c"]
    assert "pickle" in report.failed["b"]


def test_threads_of_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    report = run(work, {"a": "threads"}, Resources(workers=2, threads=3, quiet=True))
    assert set(report.results["a"].values()) == {"3"}
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "NUMBA_NUM_THREADS" not in os.environ


@pytest.mark.parametrize("workers", [1, 2])
def test_warnings_reach_the_user(workers: int, tmp_path: Path) -> None:
    options = Resources(workers=workers, quiet=True)
    with pytest.warns(AssumptionWarning, match="an angle was assumed"):
        run(work, {"a": "warn"}, options, records(tmp_path))
    again = Resources(workers=workers, resume=True, quiet=True)
    with pytest.warns(AssumptionWarning, match="an angle was assumed"):
        assert run(work, {"a": "warn"}, again, records(tmp_path)).skipped == ("a",)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "assumed" in run(work, {"a": "warn"}, options, records(tmp_path)).failed["a"]


# Records.


def test_a_record_holds_the_name_result_and_description(tmp_path: Path) -> None:
    run(work, {"a/b": "x"}, QUIET, records(tmp_path))
    record = json.loads((tmp_path / "run" / "a_b.json").read_text())
    assert record["name"] == "a/b"
    assert record["result"] == {"task": "x", "pair": [1, 2]}
    every = {"name", "files", "fingerprint", "result", "seconds", "version", "warnings"}
    assert set(record) == every


def test_colliding_names_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    counted = Counted()
    with pytest.raises(ModelError, match="a/b and a_b would have one record"):
        run(counted, {"a/b": 1, "a_b": 2}, QUIET, records(tmp_path))
    assert not counted.did


def test_resume_does_only_the_rest(tmp_path: Path) -> None:
    first = run(work, {"a": "a", "b": "bad", "c": "c"}, QUIET, records(tmp_path))
    counted = Counted()
    tasks = {"a": "a", "b": "bad", "c": "c", "d": "d"}
    report = run(counted, tasks, Resources(resume=True, quiet=True), records(tmp_path))
    assert counted.did == ["bad", "d"]
    assert report.skipped == ("a", "c")
    assert report.results["a"] == first.results["a"]
    assert list(report.results) == ["a", "c", "d"]
    assert report.notes == {}


def test_without_resume_all_is_done_again(tmp_path: Path) -> None:
    counted = Counted()
    for _ in range(2):
        assert run(counted, {"a": "a"}, QUIET, records(tmp_path)).skipped == ()
    assert counted.did == ["a", "a"]


def test_resume_sees_other_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"TS_{i}" for i in range(5)]
    run(work, dict.fromkeys(names, "x"), QUIET, records(tmp_path, options=4))
    capsys.readouterr()
    report = run(
        work, dict.fromkeys(names, "x"), Resources(resume=True), records(tmp_path, options=8)
    )
    assert report.skipped == ()
    assert set(report.notes) == set(names)
    said = capsys.readouterr().err.splitlines()[0]
    assert said.startswith("TS_0, TS_1, TS_2 and 2 more: made with other options")


def test_resume_sees_that_the_output_is_gone(tmp_path: Path) -> None:
    run(work, {"a": "x"}, QUIET, records(tmp_path))
    report = run(
        work, {"a": "x"}, Resources(resume=True, quiet=True), records(tmp_path, there=False)
    )
    assert report.skipped == ()
    assert "not there any more" in report.notes["a"]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\xfe", b'{"name": "a"}', b'"a"'])
def test_a_damaged_record_is_done_again(tmp_path: Path, damage: bytes) -> None:
    run(work, {"a": "x"}, QUIET, records(tmp_path))
    path = tmp_path / "run" / "a.json"
    whole = path.read_bytes()
    path.write_bytes(damage)
    report = run(work, {"a": "x"}, Resources(resume=True, quiet=True), records(tmp_path))
    assert report.results["a"]["task"] == "x"
    assert "damaged" in report.notes["a"]
    assert json.loads(path.read_bytes()).keys() == json.loads(whole).keys()


def test_a_job_that_is_done_again_has_no_record_meanwhile(tmp_path: Path) -> None:
    """Or a later --continue would take the new file for the one of the old options."""
    run(work, {"a": "x"}, QUIET, records(tmp_path, options=4))

    def interrupted(task: Any) -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(interrupted, {"a": "x"}, QUIET, records(tmp_path, options=8))
    report = run(work, {"a": "x"}, Resources(resume=True, quiet=True), records(tmp_path, options=4))
    assert report.skipped == ()


def test_description_that_fails_is_one_failed_job(tmp_path: Path) -> None:
    (tmp_path / "a.mrc").write_bytes(b"1234")
    stamped = Records[Path](tmp_path / "run", stamp, lambda result: True)
    tasks = {name: tmp_path / f"{name}.mrc" for name in ("a", "b")}
    report = run(lambda path: {}, tasks, QUIET, stamped)
    assert list(report.results) == ["a"]
    assert report.failed == {"b": f"{tmp_path}/b.mrc: No such file or directory"}


def test_record_that_cannot_be_written(tmp_path: Path) -> None:
    def make_trouble(task: Any) -> dict[str, Any]:
        if task == "x":
            (tmp_path / "run" / "a.json").mkdir()
        return {}

    report = run(make_trouble, {"a": "x", "b": "y"}, QUIET, records(tmp_path))
    assert list(report.results) == ["b"]
    assert "a.json is a folder and cannot be written" in report.failed["a"]


def test_folder_of_records_is_made_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the folder should be")
    counted = Counted()
    with pytest.raises(OSError, match="run"):
        run(counted, {"a": "x"}, QUIET, records(tmp_path))
    assert not counted.did


def test_resume_needs_records() -> None:
    with pytest.raises(ModelError, match="no folder of records"):
        run(work, {"a": "x"}, Resources(resume=True))


# Interruptions.


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(condition: Any) -> None:
    for _ in range(1500):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("this took too long")


def begun(folder: Path, workers: int) -> tuple[subprocess.Popen[str], list[int]]:
    """A program in the middle of its slow jobs, and the processes that do them."""
    code = f"from tests.builders.stopped_program import main_to_stop as m; m({str(folder)!r}, {workers})"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until(lambda: sum(bool(p.read_text()) for p in folder.glob("*.pid")) == workers)
    return process, [int(p.read_text()) for p in folder.glob("*.pid")]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize(
    ("workers", "number", "to_all"),
    [
        (1, signal.SIGINT, True),
        (1, signal.SIGTERM, False),
        (2, signal.SIGINT, True),
        (2, signal.SIGTERM, False),
        (2, signal.SIGTERM, True),
    ],
)
def test_interruption_leaves_nothing_behind(
    tmp_path: Path, workers: int, number: signal.Signals, to_all: bool
) -> None:
    process, children = begun(tmp_path, workers)
    (os.killpg if to_all else os.kill)(process.pid, number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert not any(alive(pid) for pid in children)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["TS_01.json", "TS_02.json"]
    assert not list(tmp_path.glob(".*.tmp"))
    assert "stopped: 2 of 5 are done; --continue does the rest" in said
    assert "Traceback" not in said


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_processes_end_with_a_killed_parent(tmp_path: Path) -> None:
    process, children = begun(tmp_path, 2)
    process.kill()
    process.communicate(timeout=60)
    until(lambda: not any(alive(pid) for pid in children))
    assert not list(tmp_path.glob(".*.tmp"))


# Progress and report.


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_is_estimated() -> None:
    clock = Clock()
    pace = Pace(6, there=1, clock=clock)
    assert pace.left() is None
    pace.start("a")
    pace.start("b")
    clock.now = 10
    pace.end("a", failed=False)
    # b is as old as a was; three wait, two at a time.
    assert pace.left() == pytest.approx(3 * 10 / 2)
    pace.start("c")
    clock.now = 14
    assert pace.left() == pytest.approx((2 * 10 + 6) / 2)
    pace.end("b", failed=True)  # tells nothing of how long a job takes
    assert pace.left() == pytest.approx((2 * 10 + 6) / 2)
    clock.now = 34
    pace.end("c", failed=False)  # 24 s: the mean is 17 s
    assert pace.left() == pytest.approx(2 * 17 / 2)
    assert (pace.ended, pace.failed, pace.running()) == (4, 1, [])


def test_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Lines(Pace(50, there=1, clock=clock)) as lines:
        lines.start("TS_02")
        clock.now = 5
        lines.end("TS_02", Outcome(message="no\nTraceback", seconds=5))
        lines.start("TS_03")
        clock.now = 17
        lines.end("TS_03", Outcome({}, seconds=12.0))
    assert capsys.readouterr().err.splitlines() == [
        "2/50 TS_02 failed: no",
        "3/50 TS_03 done in 12 s (about 9 min left)",
    ]


def test_a_run_tells_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    run(work, {"a": "a", "b": "bad"})
    out, said = capsys.readouterr()
    assert out == ""
    assert [line.split(" in ")[0] for line in said.splitlines()] == [
        "1/2 a done",
        "2/2 b failed: ValueError: a mistake",
    ]
    run(work, {"a": "a", "b": "bad"}, QUIET)
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal in the place of standard error, which pytest changes after each fixture."""
    stream = Terminal()
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_a_terminal_shows_a_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = terminal(monkeypatch)
    run(work, {"TS_[1]": "a", "TS_2": "bad"})
    drawn = stream.getvalue()
    assert "TS_2 failed: ValueError: a mistake" in drawn
    assert "2/2" in drawn
    assert "1 failed" in drawn


def test_no_bar_on_a_dumb_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = terminal(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    run(work, {"a": "a"})
    assert stream.getvalue().startswith("1/1 a done in ")
    assert "\x1b" not in stream.getvalue()


def test_words_beside_the_bar_say_what_is_left_and_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal(monkeypatch)
    clock = Clock()
    bar = Bar(Pace(50, there=2, clock=clock))
    for i in range(7):
        bar.start(f"TS_[{i}]")
    clock.now = 60
    with bar:
        bar.end("TS_[0]", Outcome(message="no"))
        bar.end("TS_[1]", Outcome({}))
    assert bar.words(80) == (
        "4/50  1 min 20 s  1 failed  about 6 min left  TS_[2], TS_[3], TS_[4], TS_[5] and 1 more"
    )


def test_rich_is_not_loaded_without_a_terminal() -> None:
    code = (
        "import sys; from tomoset.run import run; run(lambda t: {}, {'a': 1});"
        "heavy = {'rich', 'dask', 'distributed', 'numpy', 'multiprocessing', 'concurrent.futures'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_report_is_text_and_json(tmp_path: Path) -> None:
    done = {f"TS_{i}": {"volume": f"rec_{i}.mrc"} for i in range(3)}
    report = Report(done, {"TS_9": "no images"}, ("TS_0",), 320.4, {"TS_1": "done again"})
    assert report.lines("reconstructed", "tomogram") == [
        "reconstructed 3 of 4 tomograms (1 was there already) in 5 min 20 s; 1 failed:",
        "  TS_9: no images",
    ]
    report.write(tmp_path / "summary.json")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary == report.summary()
    assert summary["done"] == ["TS_0", "TS_1", "TS_2"]
    assert summary["failed"] == {"TS_9": "no images"}
    assert summary["skipped"] == ["TS_0"]


def test_durations_are_written_in_words() -> None:
    assert duration(0) == "0.0 s"
    assert duration(9.96) == "10 s"
    assert duration(59.7) == "1 min"
    assert duration(3600) == "1 h"
    assert about(0.2) == "about 1 s"
    assert about(90) == "about 2 min"


def test_reasons_of_failures_are_lines_for_the_user() -> None:
    def fail(problem: Exception) -> dict[str, Any]:
        raise problem

    problems = {"a": TomosetError("say"), "b": MemoryError("3 GiB"), "c": OSError("odd")}
    said = {"a": "say", "b": "not enough memory (3 GiB)", "c": "OSError: odd"}
    assert run(fail, problems, QUIET).failed == said


# Engines and options.


def test_engines_are_parsed() -> None:
    assert Engine.parse("local").kind == "local"
    assert Engine.parse("tcp://10.0.0.1:8786/").address == "tcp://10.0.0.1:8786"
    assert Engine.parse("slurm") == Engine("slurm")
    assert Engine.parse("slurm?walltime=02:00:00&queue=cpu").settings["walltime"] == "02:00:00"
    assert cores_of_engine("slurm?cores=8") == 8
    assert cores_of_engine("dask://a:1") is None


@pytest.mark.parametrize(
    "engine",
    ["", "Local", "dask://", "dask://host", "slurm?cores=0", "slurm?gpus=1"]
    + ["slurm?cores=eight", "slurm?cores", "slurm?queue=", "local?cores=3", "ssh://a:1"],
)
def test_wrong_engines_are_refused(engine: str) -> None:
    with pytest.raises(ModelError, match=r"no engine|no setting|number of cores"):
        Resources(engine)


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"threads": 0}])
def test_wrong_numbers_of_workers_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ModelError, match="must be 1 or more"):
        Resources(**wrong)  # type: ignore[arg-type]


def from_command_line(*arguments: str) -> Resources | str:
    """The options, or what was said instead."""
    from tomoset.cli._run_options import RUN_OPTIONS, resources_from

    found: list[Resources] = []

    @click.command(params=list(RUN_OPTIONS))
    def command(**given: Any) -> None:
        found.append(resources_from(given))

    result = CliRunner().invoke(command, arguments)
    return found[0] if result.exit_code == 0 and found else result.output


def test_options_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from tomoset.cli import _run_options

    monkeypatch.setattr(_run_options, "usable_cores", lambda: 8)
    assert from_command_line() == Resources(threads=8)
    assert from_command_line("--workers", "3") == Resources(workers=3, threads=2)
    assert from_command_line("--workers", "20") == Resources(workers=20)
    assert from_command_line("--j", "5", "--continue") == Resources(threads=5, resume=True)
    cluster = from_command_line("--engine", "dask://a:1", "--j", "4", "--workers", "9")
    assert cluster == Resources("dask://a:1", 9, 4)
    assert from_command_line("--engine", "slurm?cores=6").threads == 6  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--engine", "locl"], "'locl' is no engine; give local, dask://HOST:PORT"),
        (["--j", "2", "--workers", "3"], "--j 3 or more"),
        (["--engine", "dask://a:1"], "give --j, such as --j 8"),
        (["--workers", "0"], "0 is not in the range"),
    ],
)
def test_wrong_options_on_the_command_line(arguments: list[str], said: str) -> None:
    found = from_command_line(*arguments)
    assert isinstance(found, str)
    assert said in " ".join(found.replace("│", " ").split())


def test_help_of_the_options() -> None:
    found = from_command_line("--help")
    assert isinstance(found, str)
    for option in ("--j N", "--workers M", "--engine ENGINE", "--continue"):
        assert option in found


# Clusters.


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a small Dask cluster that gives a job up when it kills its worker once."""
    distributed = pytest.importorskip("distributed")
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs="CRITICAL",
        ) as cluster,
    ):
        yield cluster.scheduler_address


def test_jobs_run_on_a_dask_cluster(scheduler: str, tmp_path: Path) -> None:
    engine = scheduler.replace("tcp", "dask")
    tasks = {name: name for name in ("a", "bad", "b", "kill", "c")}
    report = run(work, tasks, Resources(engine, quiet=True), records(tmp_path))
    assert list(report.results) == ["a", "b", "c"]
    assert report.failed == {"bad": "ValueError: a mistake", "kill": KILLED}
    assert sorted(p.stem for p in (tmp_path / "run").iterdir()) == ["a", "b", "c"]
    again = run(work, {"a": "a"}, Resources(engine, resume=True, quiet=True), records(tmp_path))
    assert again.skipped == ("a",)


def test_a_missing_scheduler_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    from tomoset.run import _cluster

    monkeypatch.setattr(_cluster, "ANSWER", 0.2)
    with pytest.raises(
        TomosetError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9 .*start one"
    ):
        _cluster.dask_pool("tcp://127.0.0.1:9", None)


class FakeClient:
    """What a client of a SLURM cluster is to us, in threads."""

    status = "running"

    def __init__(self, cluster: Any, **_: Any) -> None:
        self.pool = ThreadPoolExecutor(1)

    def get_executor(self, **_: Any) -> ThreadPoolExecutor:
        return self.pool

    def nthreads(self) -> dict[str, int]:
        return {}

    def close(self) -> None:
        self.pool.shutdown()


class FakeJob:
    """A SLURM job that is not taken."""

    async def start(self) -> None:
        raise RuntimeError("sbatch: error: invalid partition")


class FakeSlurm:
    """A cluster that writes down what it is told."""

    job_cls = FakeJob
    takes_jobs = True
    said: dict[str, Any]

    def __init__(self, **given: Any) -> None:
        type(self).said = {**given, "scaled": set()}
        self.job = given["job_cls"]()

    def scale(self, jobs: int) -> None:
        import asyncio

        self.said["scaled"].add(jobs)
        if not self.takes_jobs:
            with pytest.raises(RuntimeError):
                asyncio.run(self.job.start())

    def close(self) -> None:
        self.said["closed"] = True


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeSlurm]:
    jobqueue = pytest.importorskip("dask_jobqueue")
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(jobqueue, "SLURMCluster", FakeSlurm)
    monkeypatch.setattr(distributed, "Client", FakeClient)
    (tmp_path / "sbatch").write_text("#!/bin/sh\n")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return FakeSlurm


def test_slurm_gets_its_settings(slurm: type[FakeSlurm]) -> None:
    import dask

    engine = "slurm?cores=8&memory=32GB&walltime=02:00:00&queue=cpu&account=lab"
    tasks = {str(i): i for i in range(3)}
    with dask.config.set({"jobqueue.slurm.job-script-prologue": ["module load x"]}):
        report = run(work, tasks, Resources(engine, workers=5, threads=6, quiet=True))
    assert list(report.results) == ["0", "1", "2"]
    said = slurm.said
    assert said["scaled"] == {3}  # not more than there is to do
    assert said["closed"]
    # One task at a time, with all cores of its SLURM job.
    assert (said["cores"], said["processes"], said["job_cpu"]) == (1, 1, 8)
    assert said["memory"] == "32GB"
    assert said["scheduler_options"]["dashboard_address"] == ":0"
    assert (said["walltime"], said["queue"], said["account"]) == ("02:00:00", "cpu", "lab")
    assert said["job_script_prologue"][:2] == ["module load x", "export NUMBA_NUM_THREADS=6"]


def test_slurm_from_its_configuration_file(slurm: type[FakeSlurm]) -> None:
    import dask

    with dask.config.set({"jobqueue.slurm.cores": 12}):
        assert cores_of_engine("slurm") == 12
        run(work, {"a": 1}, Resources("slurm", threads=12, quiet=True))
    assert slurm.said["job_cpu"] == 12
    assert "memory" not in slurm.said
    assert cores_of_engine("slurm") is None


def test_slurm_that_takes_no_job(slurm: type[FakeSlurm], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "takes_jobs", False)
    with pytest.raises(TomosetError, match="SLURM does not take the job: sbatch: error: invalid"):
        run(work, {"a": 1}, Resources("slurm?cores=2", quiet=True))


def test_missing_slurm_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(TomosetError, match="there is no sbatch here"):
        run(work, {"a": 1}, Resources("slurm?cores=2", quiet=True))


def test_cluster_packages_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(TomosetError, match=r"needs distributed.*tomoset\[cluster\]"):
        run(work, {"a": 1}, Resources("dask://a:1", quiet=True))
