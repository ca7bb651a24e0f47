"""Detection of Docker: with engines of any version, and with servers that do not answer."""

import gc
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic

import pytest

from devstack import choice, docker_engine
from devstack.docker_engine import docker_answers
from devstack.ports import LOOPBACK, free_port

# Starts or names a broken server, and returns its DOCKER_HOST.
Broken = Callable[[ExitStack, Path], str]


def never_answers(stack: ExitStack, _folder: Path) -> str:
    server = stack.enter_context(socket.create_server((LOOPBACK, 0)))
    return f"tcp://{LOOPBACK}:{server.getsockname()[1]}"


def refuses(_stack: ExitStack, _folder: Path) -> str:
    return f"tcp://{LOOPBACK}:{free_port()}"


def is_not_there(_stack: ExitStack, folder: Path) -> str:
    return f"unix://{folder / 'docker.sock'}"


def was_stopped(stack: ExitStack, folder: Path) -> str:
    """Return a socket file on which no process listens."""
    stack.enter_context(socket.socket(socket.AF_UNIX)).bind(str(folder / "docker.sock"))
    return f"unix://{folder / 'docker.sock'}"


def hangs(stack: ExitStack, folder: Path) -> str:
    server = stack.enter_context(socket.socket(socket.AF_UNIX))
    server.bind(str(folder / "docker.sock"))
    server.listen()
    return f"unix://{folder / 'docker.sock'}"


def is_no_address(_stack: ExitStack, _folder: Path) -> str:
    return "nonsense"


def is_of_no_known_kind(_stack: ExitStack, _folder: Path) -> str:
    return "carrier-pigeon://loft"


@pytest.mark.parametrize(
    "broken", [never_answers, refuses, is_not_there, was_stopped, hangs, is_no_address, is_of_no_known_kind]
)
def test_a_docker_that_does_not_answer_is_not_used_and_no_socket_stays_open(
    broken: Broken, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The ResourceWarning of an open socket fails this test."""
    for name in ("DEVSTACK", *choice.GIVEN):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack:
        # A short folder: the path of a Unix socket has at most 107 characters.
        monkeypatch.setenv("DOCKER_HOST", broken(stack, tmp_path_factory.mktemp("d")))
        started_s = monotonic()
        assert choice.kind() == "embedded"
        assert monotonic() - started_s < 30
    gc.collect()


def test_docker_is_not_available_without_a_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", "")
    monkeypatch.setattr(docker_engine, "DEFAULT_SOCKET", tmp_path / "none")
    assert not docker_answers()


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the address of an engine that supports one API version. Like Docker, it refuses other versions."""
    version: str = request.param

    class Engine(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            first_segment = self.path.split("/")[1]
            known = first_segment in ("version", "_ping", f"v{version}")
            body = json.dumps({"ApiVersion": version} if known else {"message": "client version is not supported"})
            self.send_response(200 if known else 400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer((LOOPBACK, 0), Engine) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"tcp://{LOOPBACK}:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("engine", ["1.43", "1.44", "1.52"], indirect=True)
def test_an_engine_of_any_version_is_used(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker 24 supports API versions up to 1.43. Docker 29 supports 1.44 and later."""
    monkeypatch.setenv("DOCKER_HOST", engine)
    assert docker_answers()
