"""The viewer says of a set what the set says, to this machine alone, and to who has its token."""

from __future__ import annotations

import http.client
import io
import json
import shlex
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.builders.command import run
from tests.builders.image_stacks import write_images, write_map
from tests.builders.pages import Page
from tests.builders.random_projects import random_project
from tomoset.errors import AssumptionWarning, FileAccessError, ModelError, UnsupportedError
from tomoset.model import Project, Reconstruction
from tomoset.project import open_project
from tomoset.report.view import Answers, Server, show_in_napari
from tomoset.report.view._answers import ANSWERS, BadQuestionError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Two series with images, and a volume of the first; in the working folder as ``p``."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    made = random_project(2, series=2)
    first, second = made.tomograms.values()
    for t in (first, second):
        shape = (t.n_tilts, *t.need_image_size()[::-1])
        write_images(f"{t.name}.mrc", rng.normal(100, 10, shape).astype(np.float32))
    x, y, z = first.need_size()
    write_map("rec.mrc", rng.normal(0, 1, (z, y, x)).astype(np.float32))
    first = replace(first, reconstruction=Reconstruction(path="rec.mrc", binning=1.0))
    made = made.with_sets(tomograms=made.tomograms.with_tomograms([first, second]))
    made.write("p", "relion4")
    return open_project("p")


@pytest.fixture
def answers(project: Project) -> Answers:
    return Answers(project, "p")


@pytest.fixture
def server(answers: Answers) -> Iterator[Server]:
    with Server(answers) as server:
        thread = threading.Thread(target=server.serve)
        thread.start()
        yield server
        server.stop()
        thread.join()


def ask(
    server: Server, path: str, host: str | None = None, method: str = "GET", **headers: str
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    if host != "":
        connection.putheader("Host", host or f"127.0.0.1:{server.port}")
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    return connection.getresponse()


def said(of: Answers, name: str, **asked: Any) -> Any:
    return json.loads(ANSWERS[name](of, {k: str(v) for k, v in asked.items()}).content)


def picture(of: Answers, name: str, **asked: Any) -> np.ndarray:
    from PIL import Image

    content = ANSWERS[name](of, {k: str(v) for k, v in asked.items()}).content
    return np.asarray(Image.open(io.BytesIO(content)), dtype=np.float64)


def test_who_has_the_token_is_answered(server: Server) -> None:
    answer = ask(server, f"/{server.token}/")
    assert answer.status == 200
    page = Page(answer.read().decode())
    policy = page.policy
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert answer.headers["Content-Security-Policy"].endswith("frame-ancestors 'none'")
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    names = [one.text for one in page.root.all("option")]
    assert names == ["TS_01", "TS_02"]
    assert ask(server, f"/{server.token}/", f"localhost:{server.port}").status == 200


@pytest.mark.parametrize("host", ["", "evil.example", "evil.example:{port}", "127.0.0.1", "[::1]"])
def test_other_hosts_are_refused(server: Server, host: str) -> None:
    assert ask(server, f"/{server.token}/", host.format(port=server.port)).status == 403


@pytest.mark.parametrize("token", ["", "x", "{token}x", "../{token}", "%2e%2e", "series.json"])
def test_nothing_is_answered_without_the_token(server: Server, token: str) -> None:
    for rest in ("", "/", "/series.json?n=0"):
        answer = ask(server, "/" + token.format(token=server.token[:-1]) + rest)
        assert answer.status == 403
        assert answer.read() == b"Forbidden"


def test_pages_of_other_sites_are_refused(server: Server) -> None:
    path = f"/{server.token}/"
    assert ask(server, path, Sec_Fetch_Site="cross-site").status == 403
    assert ask(server, path, Sec_Fetch_Site="same-origin").status == 200


@pytest.mark.parametrize(
    "path",
    ["p/tomograms.star", "../p/tomograms.star", "/etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "x\\y"],
)
def test_no_path_is_that_of_a_file(server: Server, path: str) -> None:
    assert ask(server, f"/{server.token}/{path}").status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_nothing_can_be_written(server: Server, method: str) -> None:
    assert ask(server, f"/{server.token}/", method=method).status == 501


def test_other_machines_do_not_reach_it(server: Server) -> None:
    assert server._server.server_address[0] == "127.0.0.1"
    assert len(server.token) >= 32
    with Server(Answers(open_project("p"), "p")) as other:
        assert other.token != server.token
    with pytest.raises(FileAccessError, match="--port"):
        Server(Answers(open_project("p"), "p"), server.port)


@pytest.mark.parametrize(
    "query",
    ["", "n=2", "n=-1", "n=x", "n=0&i=99", "n=0&i=1e0", "n=00000000000000", "n=0&i=%D9%A1"],
)
def test_questions_that_make_no_sense_are_said_so(server: Server, query: str) -> None:
    answer = ask(server, f"/{server.token}/tilt.jpg?{query}")
    assert answer.status == 400
    assert b"must be" in answer.read()


def test_what_is_missing_is_said_without_absolute_paths(
    project: Project, server: Server, tmp_path: Path
) -> None:
    Path("TS_01.mrc").unlink()
    answer = ask(server, f"/{server.token}/tilt.jpg?n=0&i=0")
    text = answer.read().decode()
    assert answer.status == 422
    assert "TS_01.mrc" in text
    assert str(tmp_path) not in text
    assert ask(server, f"/{server.token}/slice.jpg?n=1&z=3").status == 422
    assert ask(server, f"/{server.token}/tilt.jpg?n=1&i=0").status == 200


def test_points_are_where_the_set_projects_them(project: Project, answers: Answers) -> None:
    t = project.tomograms["TS_01"]
    about = said(answers, "series.json", n=0)
    assert about["tilts"] == t.n_tilts
    assert about["angles"] == pytest.approx(t.tilt_angles, abs=0.01)
    (beads, particles) = about["points"]
    assert beads["at"] == pytest.approx(t.project(project.fiducials["TS_01"].points), abs=0.06)
    assert project.particles is not None
    inside = project.particles.positions[project.particles.by_tomogram()["TS_01"]]
    assert particles["at"] == pytest.approx(t.project(inside), abs=0.06)


def test_a_point_is_followed_from_an_image_and_from_space(
    project: Project, answers: Answers
) -> None:
    t = project.tomograms["TS_01"]
    point = [20.0, 25.0, 14.0]
    found = said(answers, "follow.json", n=0, x=20, y=25, z=14)
    expected = t.project([point])[:, 0]
    assert found["at"] == pytest.approx(expected, abs=0.006)
    x, y = expected[2].tolist()
    again = said(answers, "follow.json", n=0, i=2, x=x, y=y, z=14)
    assert again["point"] == pytest.approx(point, abs=0.006)
    with pytest.raises(BadQuestionError, match="x must be a number"):
        said(answers, "follow.json", n=0, x="nan", y=1, z=1)


def test_images_are_those_of_the_files_the_first_row_lowest(
    project: Project, answers: Answers
) -> None:
    t = project.tomograms["TS_01"]
    with t.open_images() as images:
        image = images.read(1)
    shown = picture(answers, "tilt.jpg", n=0, i=1)
    assert shown.shape == image.shape
    assert np.corrcoef(shown[::-1].ravel(), image.ravel())[0, 1] > 0.95
    x, y, z = t.need_size()
    assert picture(answers, "slice.jpg", n=0, z=z - 1).shape == (y, x)
    boxes = picture(answers, "boxes.jpg", n=0, x=x / 2, y=y / 2, z=z / 2)
    assert boxes.shape == (96, 96 * t.n_tilts)


def test_the_command_takes_these_images_out(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "exclude", "p", "--tn", "TS_01", "--index", "2", "-o", "q")[0] == 0
    answers = Answers(open_project("q"), "q")
    command = said(answers, "command.json", n=0, tilts="1,0")["command"]
    # The second image is out, so that rows 0 and 1 are the first and the third.
    assert command == "tomoset exclude q --tn TS_01 --index 1,3 -o less/"
    assert run(capsys, *shlex.split(command)[1:])[0] == 0
    left = open_project("less").tomograms["TS_01"]
    assert left.n_tilts == project.tomograms["TS_01"].n_tilts - 3
    assert said(answers, "command.json", n=0, tilts="")["command"] is None


def test_names_are_text_in_page_and_command(project: Project) -> None:
    name = "</option><script>'; rm -rf $HOME #"
    first = replace(project.tomograms["TS_01"], name=name)
    renamed = Project(tomograms=project.tomograms.with_tomograms([first]))
    answers = Answers(renamed, "p")
    page = Page(ANSWERS[""](answers, {}).content.decode())
    assert [one.text for one in page.root.all("option")] == [name]
    assert len(page.root.all("script")) == 1
    command = said(answers, "command.json", n=0, tilts="0")["command"]
    assert shlex.split(command)[4] == name
    with pytest.raises(ModelError, match="no tomogram is called 'TS_9'"):
        Answers(project, "p", "TS_9")


def test_the_command_serves_and_ends(project: Project) -> None:
    code = "import sys, tomoset.cli; tomoset.cli.main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "view", "p", "TS_02"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    host, token = address.removeprefix("http://").rstrip("/").split("/")
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request("GET", f"/{token}/")
    page = Page(connection.getresponse().read().decode())
    chosen = [one.text for one in page.root.all("option") if "selected" in one.attributes]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert chosen == ["TS_02"]
    assert process.returncode == 0
    assert errors.endswith("ended\n")
    with pytest.raises(OSError, match="refused"):
        http.client.HTTPConnection(host, timeout=2).request("GET", "/")


def by_window(project: Project, viewer: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The windows that are opened, by a viewer that needs no screen."""
    windows: list[Any] = []

    def made(**given: Any) -> Any:
        windows.append(viewer(**given))
        return windows[-1]

    napari = sys.modules.get("napari") or types.ModuleType("napari")
    monkeypatch.setitem(sys.modules, "napari", napari)
    monkeypatch.setattr(napari, "Viewer", made, raising=False)
    monkeypatch.setattr(napari, "run", lambda: None, raising=False)
    show_in_napari(project, "TS_01")
    return windows


class StandIn:
    """What is asked of a viewer of napari."""

    def __init__(self, title: str, axis_labels: tuple[str, ...]) -> None:
        self.title, self.camera = title, types.SimpleNamespace(orientation2d=None)
        self.layers: dict[str, types.SimpleNamespace] = {}

    def add_image(self, data: Any, name: str, **more: Any) -> None:
        self.layers[name] = types.SimpleNamespace(data=data, **more)

    add_points = add_image


def check_layers(project: Project, windows: list[Any]) -> None:
    """Two windows have the images of the files, and points where the set has them."""
    tilts, space = windows
    t = project.tomograms["TS_01"]
    assert [tilts.title, space.title] == ["TS_01: tilt images", "TS_01: tomogram"]
    with t.open_images() as images:
        shown = np.asarray(tilts.layers["tilt images"].data[1])
        assert np.array_equal(shown, images.read(1))
    assert tilts.layers["tilt images"].data.shape[0] == t.n_tilts
    beads = project.fiducials["TS_01"].points
    flat = np.asarray(tilts.layers["beads"].data).reshape(t.n_tilts, len(beads), 3)
    assert flat[..., 0].tolist() == [[i] * len(beads) for i in range(t.n_tilts)]
    assert flat[..., :0:-1] == pytest.approx(t.project(beads), abs=1e-3)
    x, y, z = t.need_size()
    assert space.layers["tomogram"].data.shape == (z, y, x)
    assert np.asarray(space.layers["beads"].data)[:, ::-1] == pytest.approx(beads, abs=1e-3)
    assert {"particles", "beads"} <= {
        one if isinstance(one, str) else one.name for one in tilts.layers
    }


def test_napari_is_asked_for_the_same_as_layers(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "napari", None)
    with pytest.raises(UnsupportedError, match=r"tomoset\[view\]"):
        show_in_napari(project, "TS_01")
    windows = by_window(project, StandIn, monkeypatch)
    check_layers(project, windows)
    assert windows[0].camera.orientation2d == ("up", "right")


@pytest.mark.filterwarnings("ignore")  # of what napari is made of
def test_napari_itself_takes_these_layers(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    components = pytest.importorskip("napari.components", reason="pip install 'tomoset[view]'")
    windows = by_window(project, components.ViewerModel, monkeypatch)
    check_layers(project, windows)
    assert [str(one) for one in windows[0].dims.axis_labels] == ["tilt image", "y", "x"]


def test_what_napari_cannot_show_is_said(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("TS_01.mrc").unlink()
    with pytest.warns(AssumptionWarning, match=r"not shown: .*TS_01\.mrc"):
        space, tilts = by_window(project, StandIn, monkeypatch)
    assert list(tilts.layers) == ["beads", "particles"]
    assert list(space.layers) == ["tomogram", "beads", "particles"]
    (alone,) = project.tomograms.with_tomograms(
        [replace(t, reconstruction=None) for t in project.tomograms.values()][:1]
    ).values()
    bare = Project(tomograms=project.tomograms.with_tomograms([replace(alone, fiducials=None)]))
    with pytest.warns(AssumptionWarning), pytest.raises(ModelError, match="can be shown"):
        by_window(bare, StandIn, monkeypatch)
