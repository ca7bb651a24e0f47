"""Send commands at a steady rate, regardless of the responses, and repeat each until it is answered."""

import asyncio
import time
from collections.abc import Coroutine
from itertools import count

import httpx

from contracts.users import Role
from tests.chaos.clients import Clients
from tests.chaos.ledger import Command, Ledger
from tests.support.system import bearer

TRY_TIMEOUT_S = 12.0
# Connecting takes this long only when this process is busy. With a shorter timeout, hundreds of clients would connect
# again at once and keep the process busy, so that no request is sent any more.
CONNECT_TIMEOUT_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
AT_MOST_IN_FLIGHT = 400


class Load:
    """Sends ``rate`` commands a second to the replicas in turn, and records every response in ``ledger``.

    A command is sent again to the other replica, with the same Idempotency-Key, until it gets a final response.
    """

    def __init__(self, urls: list[str], head_id: int, clients: Clients, *, rate: float) -> None:
        self.ledger = Ledger()
        self._urls = urls
        self._head_id = head_id
        self._clients = clients
        self._rate = rate
        self._turn = count()
        self._sending: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Send commands until ``stop`` is called. Return when every command has been answered."""
        loop = asyncio.get_running_loop()
        # No limit of connections. With a limit, httpcore offers each idle connection to all waiting requests, which
        # takes all of the CPU when there are hundreds.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=40, keepalive_expiry=3)
        async with httpx.AsyncClient(
            timeout=httpx.Timeout(TRY_TIMEOUT_S, connect=CONNECT_TIMEOUT_S), limits=limits
        ) as client:
            began = due = loop.time()
            while not self._stopped.is_set():
                if len(self._sending) < AT_MOST_IN_FLIGHT:
                    self._send_one(client)
                else:
                    self.ledger.skipped += 1
                due += 1 / self._rate
                await asyncio.sleep(max(due - loop.time(), 0))
            self.ledger.sent_for_s = loop.time() - began
            while self._sending:  # a response may start another task
                await asyncio.gather(*self._sending)

    def stop(self) -> None:
        """Make ``run`` send no further commands."""
        self._stopped.set()

    def _send_one(self, client: httpx.AsyncClient) -> None:
        command = self._clients.next_command()
        self.ledger.commands.append(command)
        self._begin(self._until_answered(client, command))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _until_answered(self, client: httpx.AsyncClient, command: Command) -> None:
        pause_s = FIRST_PAUSE_S
        while command.status is None:
            url = self._urls[next(self._turn) % len(self._urls)]
            command.tries += 1
            headers = bearer(Role(command.role), command.user_id) | {"Idempotency-Key": command.key}
            try:
                answer = await client.request(command.method, url + command.path, json=command.body, headers=headers)
            except httpx.TransportError as error:
                self.ledger.tries[command.kind, _outcome(error)] += 1
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                self.ledger.tries[command.kind, str(answer.status_code)] += 1
                if answer.status_code in (429, 503):
                    await asyncio.sleep(min(float(answer.headers.get("Retry-After", 1)), 1.0))
                    continue
                command.status, command.answer = answer.status_code, answer.json()
        command.ended = time.monotonic()
        if command.accepted:
            self._clients.answered(command)
            if command.kind in ("publish", "create and publish"):
                self._begin(self._until_selected(client, command))

    async def _until_selected(self, client: httpx.AsyncClient, publication: Command) -> None:
        path, state, pause_s = f"/api/jobs/{publication.job_id}", "queued", 0.3
        while state not in ("succeeded", "failed"):
            await asyncio.sleep(pause_s)
            # Grows, because hundreds of clients that poll three times a second would leave no capacity for commands.
            pause_s = min(pause_s * 1.5, 3.0)
            url = self._urls[next(self._turn) % len(self._urls)]
            try:
                answer = await client.get(url + path, headers=bearer(Role.HEAD, self._head_id))
            except httpx.TransportError:
                continue
            state = answer.json()["state"] if answer.status_code == 200 else state
        self._clients.opened(publication.drive_id)


def _outcome(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.ConnectTimeout):
        return "not connected"
    return "timed out" if isinstance(error, httpx.TimeoutException) else "connection lost"
