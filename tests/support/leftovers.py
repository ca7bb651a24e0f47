"""Fail a test that leaves something running: tasks, threads, child processes or connections of this process."""

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

# How long to wait for things that are ending. This takes long on a busy machine.
GRACE_S = 10.0
OWN_FILES = Path("/proc/self/fd")
# Names of threads that stay: they hash passwords, and hold the copies of the template database.
THREADS_OF_THE_PROCESS = ("argon2", "database-clones")
T = TypeVar("T")


async def tasks_left() -> list[str]:
    """Return the other tasks of this loop that still run. Waits for tasks that are ending."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        _, tasks = await asyncio.wait(tasks, timeout=GRACE_S)
    return [f"the task {task.get_name()}: {task.get_coro()!r}" for task in tasks]


@dataclass(frozen=True)
class Running:
    """What runs at a moment: threads, child processes (by pid and start time) and connections (by inode)."""

    threads: frozenset[threading.Thread]
    children: frozenset[psutil.Process]
    connections: frozenset[str]

    @classmethod
    def now(cls) -> "Running":
        return cls(frozenset(_threads()), frozenset(_children()), frozenset(_sockets()))


_processes_of_the_session: set[psutil.Process] = set()
_sockets_of_the_session: set[str] = set()
_fork_servers: set[psutil.Process] = set()


def forks_for_tests(server: psutil.Process) -> None:
    """Count ``server`` as shared by all tests. Each of its child processes belongs to the test that started it."""
    _processes_of_the_session.add(server)
    _fork_servers.add(server)


def keep_for_the_session(*pids: int) -> None:
    """Allow the processes ``pids`` to outlive the test that started them, because later tests use them."""
    _processes_of_the_session.update(psutil.Process(pid) for pid in pids)


@contextmanager
def for_the_session() -> Iterator[None]:
    """Count everything that the block starts as shared by all tests, such as servers and connections to them."""
    before = Running.now()
    yield
    _processes_of_the_session.update(set(_children()) - before.children)
    _sockets_of_the_session.update(set(_sockets()) - before.connections)


def left_since(before: Running, *, processes: bool) -> list[str]:
    """Return what has started since ``before`` and does not end soon. Kill such child processes.

    ``processes``: also look at child processes.
    """
    threads = _remaining(lambda: _threads() - before.threads)
    children = _remaining(lambda: set(_children()) - before.children - _processes_of_the_session) if processes else ()
    leftovers = [f"the thread {thread.name}" for thread in threads]
    for child in children:
        leftovers.append(f"the process {_command(child)}")
        child.kill()
    known = before.connections | _sockets_of_the_session
    if set(_sockets()) - known:
        # Closes connections of unreachable objects. Their warnings then appear here and not in another test.
        gc.collect()
        sockets = _remaining(lambda: set(_connections()) - known)
        leftovers += [f"a connection: {_connections().get(inode, inode)}" for inode in sockets]
    return leftovers


def _remaining(look: Callable[[], set[T]]) -> set[T]:
    deadline = monotonic() + GRACE_S
    while (remaining := look()) and monotonic() < deadline:
        sleep(0.05)
    return remaining


def _threads() -> set[threading.Thread]:
    """Return the threads that Python started and that must end with a test.

    Threads that native libraries started are left out: once they have called Python, they stay in the list.
    """
    return {
        thread
        for thread in threading.enumerate()
        if not isinstance(thread, threading._DummyThread) and not thread.name.startswith(THREADS_OF_THE_PROCESS)
    }


def _children() -> Iterator[psutil.Process]:
    """Yield the child processes of this process and of the fork servers, without zombies."""
    for child in chain.from_iterable(_children_of(parent) for parent in (psutil.Process(), *_fork_servers)):
        try:
            if child.status() != psutil.STATUS_ZOMBIE:
                yield child
        except psutil.NoSuchProcess:
            continue


def _children_of(process: psutil.Process) -> Iterator[psutil.Process]:
    """Yield the children from /proc where possible, because psutil reads every process of the machine."""
    lists = list(Path(f"/proc/{process.pid}/task").glob("*/children"))
    if not lists:
        yield from process.children()
    for path in lists:
        try:
            pids = path.read_text().split()
        except OSError:  # the thread has ended, and its children belong to another thread now
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
    """Yield the inodes of this process's sockets. Yields nothing on a system without /proc."""
    for entry in OWN_FILES.iterdir() if OWN_FILES.is_dir() else ():
        try:
            target = os.readlink(entry)
        except OSError:
            continue
        if target.startswith("socket:"):
            yield target


def _connections() -> dict[str, str]:
    """Return the TCP connections of this process: by inode, both addresses and the status."""
    connections = {}
    for connection in psutil.Process().net_connections(kind="inet"):
        if connection.raddr and connection.type == socket.SOCK_STREAM:
            try:
                inode = os.readlink(OWN_FILES / str(connection.fd))
            except OSError:
                continue
            connections[inode] = f"{connection.laddr} to {connection.raddr}, {connection.status}"
    return connections


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves something running, because it would disturb other tests. Set up first, torn down last."""
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
    """Fail an asynchronous test that leaves tasks running. Checked before the loop ends and cancels them."""
    if inspect.iscoroutinefunction(request.function):
        request.getfixturevalue("in_the_loop")
