"""Whether Docker answers: every way in which it does not, and engines of any version."""

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

# Each makes a server that is no good, and returns DOCKER_HOST.
Broken = Callable[[ExitStack, Path], str]


def never_answers(stack: ExitStack, _folder: Path) -> str:
    server = stack.enter_context(socket.create_server((LOOPBACK, 0)))
    return f"tcp://{LOOPBACK}:{server.getsockname()[1]}"


def refuses(_stack: ExitStack, _folder: Path) -> str:
    return f"tcp://{LOOPBACK}:{free_port()}"


def is_not_there(_stack: ExitStack, folder: Path) -> str:
    return f"unix://{folder / 'docker.sock'}"


def was_stopped(stack: ExitStack, folder: Path) -> str:
    """Its socket is still there, and nobody listens on it."""
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
def test_a_docker_that_does_not_answer_is_passed_over_and_leaves_no_socket(
    broken: Broken, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A socket that is left open is an error of this test: its ResourceWarning is raised here."""
    for name in ("DEVSTACK", *choice.GIVEN):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack:
        # The path of a Unix socket has 107 characters at most.
        monkeypatch.setenv("DOCKER_HOST", broken(stack, tmp_path_factory.mktemp("d")))
        began = monotonic()
        assert choice.kind() == "embedded"
        assert monotonic() - began < 30
    gc.collect()


def test_without_a_socket_docker_is_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", "")
    monkeypatch.setattr(docker_engine, "DEFAULT_SOCKET", tmp_path / "none")
    assert not docker_answers()


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """An engine that knows one version of the API: its address. It refuses requests of any other, as Docker does."""
    version: str = request.param

    class Engine(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.path.split("/")[1]
            known = asked in ("version", "_ping", f"v{version}")
            body = json.dumps({"ApiVersion": version} if known else {"message": "client version is not supported"})
            self.send_response(200 if known else 400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the request is in the test."""

    with ThreadingHTTPServer((LOOPBACK, 0), Engine) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"tcp://{LOOPBACK}:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("engine", ["1.43", "1.44", "1.52"], indirect=True)
def test_an_engine_of_any_version_is_used(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker 24 speaks 1.43 and nothing newer, Docker 29 nothing older than 1.44."""
    monkeypatch.setenv("DOCKER_HOST", engine)
    assert docker_answers()
