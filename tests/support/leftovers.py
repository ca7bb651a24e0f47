"""What a test leaves behind fails that test: tasks, threads, child processes, connections of this process."""

import asyncio
import gc
import inspect
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar

import psutil
import pytest
import pytest_asyncio

# What was ended a moment ago may still be going: on a busy machine for long.
GRACE_S = 10.0
OWN_FILES = Path("/proc/self/fd")
# That which hashes passwords, and that which keeps the copies of the template.
THREADS_OF_THE_PROCESS = ("argon2", "database-clones")
T = TypeVar("T")


async def tasks_left() -> list[str]:
    """The tasks of this loop that still run, but for the caller. Waits a moment for those that are ending."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=GRACE_S)
    return [f"the task {task.get_name()}: {task.get_coro()!r}" for task in left]


@dataclass(frozen=True)
class Running:
    """What this process has at a moment: threads, children by pid and start, connections by inode."""

    threads: frozenset[threading.Thread]
    children: frozenset[psutil.Process]
    connections: frozenset[str]

    @classmethod
    def now(cls) -> "Running":
        return cls(frozenset(_threads()), frozenset(_children()), frozenset(_sockets()))


_of_the_session: set[psutil.Process] = set()
_sockets_of_the_session: set[str] = set()
_forking: set[psutil.Process] = set()


def forks_for_tests(server: psutil.Process) -> None:
    """``server`` is no test's, and its child processes are those of the test that asked for them."""
    _of_the_session.add(server)
    _forking.add(server)


def keep_for_the_session(*pids: int) -> None:
    """The processes ``pids`` run on after the test that started them: later tests use them."""
    _of_the_session.update(psutil.Process(pid) for pid in pids)


@contextmanager
def for_the_session() -> Iterator[None]:
    """What is started in the block is no test's: the servers that tests share, and connections to them."""
    before = Running.now()
    yield
    _of_the_session.update(set(_children()) - before.children)
    _sockets_of_the_session.update(set(_sockets()) - before.connections)


def left_since(before: Running, *, processes: bool) -> list[str]:
    """Return what was not there at ``before`` and does not end within a moment; child processes are ended.

    ``processes``: look at child processes, too.
    """
    threads = _those_that_stay(lambda: _threads() - before.threads)
    children = _those_that_stay(lambda: set(_children()) - before.children - _of_the_session) if processes else ()
    found = [f"the thread {thread.name}" for thread in threads]
    for child in children:
        found.append(f"the process {_command(child)}")
        child.kill()
    known = before.connections | _sockets_of_the_session
    if set(_sockets()) - known:
        gc.collect()  # what only garbage holds is no connection any more, but warns here and not in another test
        sockets = _those_that_stay(lambda: set(_connections()) - known)
        found += [f"a connection: {_connections().get(inode, inode)}" for inode in sockets]
    return found


def _those_that_stay(look: Callable[[], set[T]]) -> set[T]:
    deadline = monotonic() + GRACE_S
    while (found := look()) and monotonic() < deadline:
        sleep(0.05)
    return found


def _threads() -> set[threading.Thread]:
    """Return the threads that Python started and that must end with a test.

    A thread of a library in another language stays listed once it has called Python.
    """
    return {
        one
        for one in threading.enumerate()
        if not isinstance(one, threading._DummyThread) and not one.name.startswith(THREADS_OF_THE_PROCESS)
    }


def _children() -> Iterator[psutil.Process]:
    """Those of this process and of what forks for it, but for zombies: nothing runs in them."""
    for child in chain.from_iterable(_children_of(one) for one in (psutil.Process(), *_forking)):
        try:
            if child.status() != psutil.STATUS_ZOMBIE:
                yield child
        except psutil.NoSuchProcess:
            continue


def _children_of(process: psutil.Process) -> Iterator[psutil.Process]:
    """Ask the kernel where it says so: psutil reads every process of the machine, before and after each test."""
    lists = list(Path(f"/proc/{process.pid}/task").glob("*/children"))
    if not lists:
        yield from process.children()
    for path in lists:
        try:
            pids = path.read_text().split()
        except OSError:  # the thread has ended: its children are another's now
            yield from process.children()
            return
        for pid in pids:
            with suppress(psutil.NoSuchProcess):
                yield psutil.Process(int(pid))


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:200]
    except psutil.Error:
        return f"with pid {process.pid}"


def _sockets() -> Iterator[str]:
    """The inodes of this process's sockets; none where there is no /proc."""
    for entry in OWN_FILES.iterdir() if OWN_FILES.is_dir() else ():
        try:
            target = os.readlink(entry)
        except OSError:
            continue
        if target.startswith("socket:"):
            yield target


def _connections() -> dict[str, str]:
    """By inode, the ends of each connection of this process."""
    found = {}
    for connection in psutil.Process().net_connections(kind="inet"):
        if connection.raddr and connection.type == socket.SOCK_STREAM:
            try:
                inode = os.readlink(OWN_FILES / str(connection.fd))
            except OSError:
                continue
            found[inode] = f"{connection.laddr} to {connection.raddr}, {connection.status}"
    return found


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves something running, which would disturb another one. Set up first, torn down last."""
    before = Running.now()
    yield
    restarts = request.node.get_closest_marker("restarts_servers") is not None
    if left := left_since(before, processes=not restarts):
        pytest.fail(f"this test leaves behind {'; '.join(left)}")


@pytest_asyncio.fixture
async def in_the_loop() -> AsyncIterator[None]:
    yield
    if left := await tasks_left():
        pytest.fail(f"this test leaves behind {'; '.join(left)}")


@pytest.fixture(autouse=True)
def no_tasks_left(nothing_left: None, request: pytest.FixtureRequest) -> None:
    """The same for tasks, before the loop ends and cancels them. Not for a test that has no loop."""
    if inspect.iscoroutinefunction(request.function):
        request.getfixturevalue("in_the_loop")
