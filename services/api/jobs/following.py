"""Follow a job as server-sent events: signed links for browsers, the limit on streams per user, the events.

Source: HTML Living Standard, section 9.2, "Server-sent events". A browser's ``EventSource`` cannot send an
Authorization header, so ``GET /api/jobs/{id}`` returns a link that opens the stream without one.
"""

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

import orjson
from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from chassis.errors import Contended, Forbidden, NotFound, Throttled, Unauthenticated, Unavailable
from chassis.tokens import Principal
from contracts.jobs import Job
from contracts.users import ORGANIZERS, Role
from services.api.context import Context
from services.api.http import strict_input
from services.api.http.access import ANYONE, Guard, SignedIn
from services.api.http.links import Links
from services.api.http.presentation import job_object

LINK_LIFE_S = 600
MAX_STREAMS_PER_USER = 10
# Interval at which an idle stream sends a comment, so that proxies keep it open, and checks its user's access.
HEARTBEAT_S = 5.0
RECONNECT_MS = 3_000
# Unix time in seconds.
EXPIRY = re.compile(r"[0-9]{1,12}")
EXPIRED = "This link has expired. Request the job again to get a new one."


def events_url(links: Links, job_id: UUID, caller: Principal) -> str:
    """Return a link with which ``caller`` can follow the job for ``LINK_LIFE_S`` seconds without a token.

    It expires earlier when the password of ``caller`` changes.
    """
    version = "" if caller.password_version is None else str(caller.password_version)
    return links.sign_briefly(_linked_path(job_id, str(caller.user_id), caller.role.value, version), life_s=LINK_LIFE_S)


def _linked_path(job_id: object, user: str, role: str, version: str) -> str:
    return f"/api/jobs/{job_id}/events?user={user}&role={role}&version={version}"


def visible(job: Job | None, caller: Principal) -> Job:
    """Return ``job`` if ``caller`` may see it. Raises ``NotFound``."""
    if job is None or (caller.role not in ORGANIZERS and job.requested_by != caller.user_id):
        raise NotFound("There is no such job.")
    return job


class SignedInOrLinked(SignedIn):
    """Admit a valid token, or a signed link of this job whose user still has access."""

    async def _admitted(self, request: Request) -> Principal:
        if not request.query_params.get("sig"):
            return await super()._admitted(request)
        # Refuse repeated parameters first: they would make the check of the signature ambiguous.
        await strict_input.refuse_unknown(request)
        guard: Guard = request.app.state.guard
        context: Context = request.app.state.context
        principal = _linked(request, context.links)
        guard.limits.take(principal.user_id)
        try:
            return await guard.changes.confirm(principal)
        except Unauthenticated as error:
            raise Forbidden(EXPIRED) from error


def _linked(request: Request, links: Links) -> Principal:
    user, role, version, expires, signature = (
        request.query_params.get(name, "") for name in ("user", "role", "version", "exp", "sig")
    )
    path = _linked_path(request.path_params["job_id"], user, role, version)
    if not (EXPIRY.fullmatch(expires) and links.is_valid(path, int(expires), signature)):
        raise Forbidden(EXPIRED)
    return Principal(int(user), Role(role), name="", email="", password_version=int(version) if version else None)


FOLLOWER = SignedInOrLinked(*ANYONE)


class OpenStreams:
    """Counts the open streams of each user in this process."""

    def __init__(self) -> None:
        self._open: Counter[int] = Counter()

    def enter(self, user_id: int) -> None:
        """Count one stream. Raises ``Throttled`` at ``MAX_STREAMS_PER_USER``; otherwise call ``leave`` when it ends."""
        if self._open[user_id] >= MAX_STREAMS_PER_USER:
            raise Throttled(
                f"You follow {MAX_STREAMS_PER_USER} jobs already. Close one of these streams first.", retry_after_s=5
            )
        self._open[user_id] += 1

    def leave(self, user_id: int) -> None:
        self._open[user_id] -= 1
        if not self._open[user_id]:
            del self._open[user_id]


class EventStream(StreamingResponse):
    """A stream of events that is counted in ``streams`` until it ends, for any reason."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], streams: OpenStreams, user_id: int) -> None:
        super().__init__(events, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._streams = streams
        self._user_id = user_id
        streams.enter(user_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.leave(self._user_id)


def event_id(job: Job) -> str:
    """Return the id of the event for the current ``job``. Equal content has an equal id."""
    return hashlib.sha256(orjson.dumps(job_object(job))).hexdigest()[:16]


async def events(
    ctx: Context, guard: Guard, caller: Principal, job: Job, last_seen: str | None, stopping: asyncio.Event
) -> AsyncIterator[bytes]:
    """Yield ``job`` each time it changes, and comments, until it ends, ``caller`` loses access or the server stops.

    ``last_seen``: the id of the client's last event, which is not sent again. Unknown ids are ignored.
    """
    yield f"retry: {RECONNECT_MS}\n\n".encode() if event_id(job) == last_seen else _event(job, first=True)
    while not job.state.ended:
        try:
            latest = await _next(ctx, job, stopping)
            if latest is None:
                return
            visible(latest, await guard.changes.confirm(caller))
        except (NotFound, Unauthenticated, Unavailable, Contended):
            return  # the client reconnects, and the response then reflects its access
        yield _event(latest) if latest != job else b": still here\n\n"
        job = latest


async def _next(ctx: Context, job: Job, stopping: asyncio.Event) -> Job | None:
    """Return the changed job, or the same job after ``HEARTBEAT_S``. ``None``: it is deleted, or the server stops."""
    change = asyncio.create_task(ctx.jobs.after(job.id, job, within_s=HEARTBEAT_S))
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({change, stop}, return_when=asyncio.FIRST_COMPLETED)
        return None if stop.done() else change.result()
    finally:
        change.cancel()
        stop.cancel()


def _event(job: Job, *, first: bool = False) -> bytes:
    retry = f"retry: {RECONNECT_MS}\n" if first else ""
    head, tail = b"event: job\ndata: ", f"\nid: {event_id(job)}\n{retry}\n".encode()
    return head + orjson.dumps(job_object(job)) + tail
