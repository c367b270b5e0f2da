"""The server of a viewer: it answers this machine, by its own name, and only who has the token.

No path of a request is one of a file. A page of another site can make a browser ask here, but has
no token; a name of another site that leads to this machine is refused by the name.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tomoset.errors import FileAccessError, TomosetError
from tomoset.report.view._answers import ANSWERS, Answer, Answers, BadQuestionError

#: By which names this machine calls itself.
_HOSTS = ("127.0.0.1", "localhost")
#: A request is not longer [bytes], and its sender not slower [s].
_LONGEST, _PATIENCE = 4096, 20.0
#: Of every answer.
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True)
class _RefusedError(Exception):
    """A request that is not answered, and the status that says so."""

    status: HTTPStatus


class Server:
    """Serves a set to this machine, as long as the ``with`` block lasts.

    Parameters
    ----------
    answers : Answers
        What is said of the set.
    port : int
        0: any that is free.

    Raises
    ------
    FileAccessError
        If the port is taken.
    """

    def __init__(self, answers: Answers, port: int = 0) -> None:
        self.token = secrets.token_urlsafe(24)
        try:
            self._server = ThreadingHTTPServer((_HOSTS[0], port), _handler(self, answers))
        except OSError as problem:
            raise FileAccessError(
                f"port {port} of this machine cannot be had ({problem.strerror}): give another by "
                "--port, or leave it away"
            ) from None
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{_HOSTS[0]}:{self.port}/{self.token}/"

    def serve(self) -> None:
        """Answer, until the process is told to stop."""
        self._server.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        """End `serve`, from another thread."""
        self._server.shutdown()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()

    def question(self, path: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """What a request asks for, if it may: a name of `ANSWERS`, and what is asked of it.

        Raises
        ------
        _RefusedError
            If it may not.
        """
        hosts = {f"{host}:{self.port}" for host in _HOSTS}
        if headers.get("Host", "").lower() not in hosts:
            raise _RefusedError(HTTPStatus.FORBIDDEN)
        if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise _RefusedError(HTTPStatus.FORBIDDEN)
        if len(path) > _LONGEST:
            raise _RefusedError(HTTPStatus.REQUEST_URI_TOO_LONG)
        parts = urlsplit(path)
        _, token, *rest = [*parts.path.split("/", 2), ""]
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            raise _RefusedError(HTTPStatus.FORBIDDEN)
        name = rest[0]
        if name not in ANSWERS:
            raise _RefusedError(HTTPStatus.NOT_FOUND)
        return name, dict(parse_qsl(parts.query, keep_blank_values=True))


def _handler(server: Server, answers: Answers) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "tomoset", ""
        timeout = _PATIENCE

        def do_GET(self) -> None:
            try:
                name, asked = server.question(self.path, self.headers)  # type: ignore[arg-type]
                answer, status = ANSWERS[name](answers, asked), HTTPStatus.OK
            except _RefusedError as refused:
                answer, status = _said(refused.status.phrase), refused.status
            except BadQuestionError as problem:
                answer, status = _said(str(problem)), HTTPStatus.BAD_REQUEST
            except (TomosetError, OSError) as problem:
                answer, status = _said(answers.told(problem)), HTTPStatus.UNPROCESSABLE_ENTITY
            except Exception as problem:  # a mistake in tomoset: the page says so, and goes on
                told = answers.told(f"a mistake in tomoset, {type(problem).__name__}: {problem}")
                answer, status = _said(told), HTTPStatus.INTERNAL_SERVER_ERROR
            self._send(answer, status)

        def _send(self, answer: Answer, status: HTTPStatus) -> None:
            self.send_response(status)
            for what, value in {**_HEADERS, **answer.headers}.items():
                self.send_header(what, value)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.content)))
            with contextlib.suppress(ConnectionError):  # the page asks for another image meanwhile
                self.end_headers()
                self.wfile.write(answer.content)

        def log_message(self, *_: Any) -> None:
            """Nothing: addresses have the token."""

    return Handler


def _said(text: str) -> Answer:
    return Answer("text/plain; charset=utf-8", text.encode("utf-8", "replace"))
