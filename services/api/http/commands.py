"""The path every command takes: decide and append in one transaction, then the job's way, then the answer.

With an Idempotency-Key the first answer is kept and given again. What was committed under the key stands in the
command's own transaction; the answer is added afterwards, and the first one added counts.
"""

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import orjson
import structlog
from fastapi import Depends, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import StringConstraints, TypeAdapter, ValidationError

from chassis.errors import Contended, Unavailable
from chassis.eventstore.event_store import Cause, NewId, fresh_ids, keyed_ids
from chassis.http.responses import json_response
from chassis.observability import tracing
from chassis.postgres import notify
from chassis.postgres.database import Connection
from chassis.tokens import Principal
from contracts.jobs import OWNER, Channel, Job, Kind, Service
from services.api.context import Context
from services.api.http import idempotency_keys
from services.api.http.idempotency_keys import Kept, KeyName
from services.api.http.openapi import KEY_SAYS, PREFER_SAYS
from services.api.workers import WAIT_S, NotAwake

MAX_PREFERRED_WAIT_S = 30.0
Key = Annotated[str, StringConstraints(min_length=1, max_length=255)]
KEY: TypeAdapter[str] = TypeAdapter(Key)
KEY_NAMESPACE = UUID("5f0c9a3e-3d0b-4f5e-9a53-0a6b1d6a7c11")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Asking:
    """How a command was asked: its key, how long its caller would wait, and the conversation it belongs to."""

    route: str
    key: str | None
    wait_s: float
    correlation_id: UUID
    traceparent: str | None

    def cause(self, who: Principal) -> Cause:
        return Cause(
            source="api",
            correlation_id=self.correlation_id,
            actor_id=who.user_id,
            traceparent=self.traceparent,
        )


def asking_of(request: Request) -> Asking:
    """Return what ``Ask`` gives, for the registration of a student.

    The bound of accept_32 needs this: with headers read by FastAPI, a registration costs 24 % more processor time
    (16 pairs).

    Raises ``RequestValidationError``, as FastAPI does, for a key that is no key.
    """
    headers = request.headers
    key = headers.get("idempotency-key")
    if key is not None:
        try:
            KEY.validate_python(key)
        except ValidationError as error:
            found = [{**one, "loc": ("header", "idempotency-key")} for one in error.errors(include_url=False)]
            raise RequestValidationError(found) from error
    return _asking(request, key, headers.get("prefer", ""))


async def _ask(
    request: Request,
    idempotency_key: Annotated[Key | None, Header(description=KEY_SAYS)] = None,
    prefer: Annotated[str, Header(description=PREFER_SAYS)] = "",
) -> Asking:
    return _asking(request, idempotency_key, prefer)


def _asking(request: Request, key: str | None, prefer: str) -> Asking:
    return Asking(
        route=f"{request.method} {request.scope['path']}",
        key=key,
        wait_s=preferred_wait_s(prefer, at_most=MAX_PREFERRED_WAIT_S),
        correlation_id=UUID(request.state.correlation_id),
        traceparent=tracing.traceparent(request.headers.get("traceparent")),
    )


Ask = Annotated[Asking, Depends(_ask)]


@dataclass(frozen=True, slots=True)
class Committed:
    """What a command has done: the body to answer with, and the job it asked for, if any.

    ``people``: the ids of those whose personal data the body shows. It is then kept in the vault. No such command asks
    for a job.
    """

    body: dict[str, Any]
    job_id: UUID | None = None
    kind: Kind | None = None
    status: int = 200
    people: tuple[int, ...] = ()


Work = Callable[[Connection, NewId], Awaitable[Committed]]
# The body to answer with once the job has ended: what it made is not there yet when the command commits.
Ended = Callable[[Connection, UUID], Awaitable[dict[str, Any]]]
# Builds the body to send from the stored body; adds a token, for example.
Complete = Callable[[dict[str, Any]], dict[str, Any]]


async def perform(
    ctx: Context,
    who: Principal,
    ask: Asking,
    asked: Any,
    work: Work,
    *,
    connection: Connection | None = None,
    ended: Ended | None = None,
    complete: Complete | None = None,
) -> Response:
    """Do ``work`` in one transaction, on ``connection`` if what it needs stands there, and answer.

    ``asked`` is everything the caller asked for (JSON, bytes as digests): the same key with something else is 422.
    With a job the answer is 200 with its result when it has ended, and the body that ``ended`` gives for its id if that
    is given; else 202. ``Location`` names it. ``complete`` adds to the body what is not stored under the key.
    Raises what ``work`` raises; nothing is then written, and the key is free again.
    """
    begin = ctx.database.transaction if connection is None else partial(_transaction_on, connection)
    if ask.key is None:
        async with begin() as transaction:
            committed = await work(transaction, fresh_ids)
        return _response(await _deliver(ctx, ask, committed, ended), complete)
    name = (who.user_id, ask.route, ask.key)
    fingerprints = idempotency_keys.fingerprints_of(asked, ctx.settings.jwt_secrets)
    async with begin() as transaction:
        committed, kept = await _once(transaction, name, fingerprints, work)
    if kept is not None:
        return _response(kept, complete)
    answer = await _deliver(ctx, ask, committed, ended)
    if committed.people:  # without a job, the answer follows from what is committed
        return _response(answer, complete)
    try:
        async with ctx.database.connection() as another:
            first = await idempotency_keys.keep_answer(another, name, answer)
    except (Unavailable, Contended):
        log.warning("answer.not_kept", route=ask.route)  # the next request with this key gives, and keeps, its own
        first = None
    return _response(first or answer, complete)


def ids_under(name: KeyName) -> NewId:
    """Return the ids of the events that are recorded under an Idempotency-Key."""
    return keyed_ids(KEY_NAMESPACE, orjson.dumps(name).decode())


async def _once(
    transaction: Connection, name: KeyName, fingerprints: Sequence[bytes], work: Work
) -> tuple[Committed, dict[str, Any] | None]:
    """What ``work`` has done under the key ``name``, now or before, and the answer kept for it, if there is one yet."""
    new_id = ids_under(name)
    kept = await idempotency_keys.claim(transaction, name, fingerprints, new_id(0))
    if kept is not None:
        return _committed_from(kept), kept.answer
    committed = await work(transaction, new_id)
    if committed.people:
        assert committed.job_id is None
        body = orjson.dumps(committed.body).decode()
        kept_json = _committed_json(replace(committed, body={}))
        await idempotency_keys.keep_personal(transaction, name, kept_json, committed.people, body)
    else:
        await idempotency_keys.keep_committed(transaction, name, _committed_json(committed))
    return committed, None


@asynccontextmanager
async def _transaction_on(connection: Connection) -> AsyncIterator[Connection]:
    async with connection.transaction():
        yield connection


async def _deliver(ctx: Context, ask: Asking, committed: Committed, ended: Ended | None) -> dict[str, Any]:
    if ctx.settings.failpoint == "after-commit":
        os.kill(os.getpid(), signal.SIGKILL)
    ctx.notifier.notify(notify.OUTBOX)
    if committed.job_id is None or committed.kind is None:
        return {"status": committed.status, "body": committed.body, "location": None}
    job, delivery = await _job_on_its_way(ctx, ask, committed.job_id, OWNER[committed.kind])
    brief = {
        "id": str(committed.job_id),
        "state": job.state if job else "queued",
        "channel": job.channel if job else None,
        "delivery": delivery,
        "result": job.result if job else None,
        "error": job.error if job else None,
    }
    body, status = committed.body, 202
    if job and job.state.ended:
        body, status = await _refreshed(ctx, committed.body, job.id, ended), 200
    return {"status": status, "body": {**body, "job": brief}, "location": f"/api/jobs/{committed.job_id}"}


async def _refreshed(ctx: Context, body: dict[str, Any], job_id: UUID, ended: Ended | None) -> dict[str, Any]:
    if ended is None:
        return body
    try:
        async with ctx.database.connection() as connection:
            return await ended(connection, job_id)
    except (Unavailable, Contended):
        return body


async def _job_on_its_way(ctx: Context, ask: Asking, job_id: UUID, service: Service) -> tuple[Job | None, Channel]:
    if ctx.bus.trusts(service):
        return await _waited_for(ctx, job_id, ask.wait_s), Channel.KAFKA
    try:
        await ctx.workers.wake(service, job_id)
    except NotAwake as error:
        log.info("job.left_to_poll", job_id=str(job_id), reason=str(error))
        return await _waited_for(ctx, job_id, ask.wait_s), Channel.POLL
    return await _waited_for(ctx, job_id, WAIT_S), Channel.HTTP


async def _waited_for(ctx: Context, job_id: UUID, wait_s: float) -> Job | None:
    """Return the job once it has ended, or after ``wait_s``. NOTIFY announces the end, whichever worker did the job."""
    if not wait_s:
        return None
    try:
        return await ctx.jobs.ended(job_id, within_s=wait_s)
    except (Unavailable, Contended):
        return None  # the command is committed, so this must not become an error


def _response(answer: dict[str, Any], complete: Complete | None) -> Response:
    headers = {"Location": answer["location"]} if answer["location"] else None
    return json_response(complete(answer["body"]) if complete else answer["body"], answer["status"], headers)


def _committed_json(committed: Committed) -> str:
    return orjson.dumps(
        {
            "body": committed.body,
            "job_id": str(committed.job_id) if committed.job_id else None,
            "kind": committed.kind,
            "status": committed.status,
            "people": list(committed.people),
        }
    ).decode()


def _committed_from(kept: Kept) -> Committed:
    """Raises ``Invalid`` when the personal data of the body was erased."""
    committed = kept.committed
    people = tuple(committed["people"])
    if people and kept.personal is None:
        raise idempotency_keys.expired_key()
    return Committed(
        committed["body"] if kept.personal is None else kept.personal,
        UUID(committed["job_id"]) if committed["job_id"] else None,
        Kind(committed["kind"]) if committed["kind"] else None,
        committed["status"],
        people,
    )


def preferred_wait_s(prefer: str, *, at_most: float) -> float:
    """The seconds of ``Prefer: wait=N`` (RFC 7240, section 4.3), 0 without one, never more than ``at_most``."""
    for preference in prefer.split(","):
        name, _, value = preference.strip().partition("=")
        seconds = value.strip().strip('"')
        if name.strip().lower() == "wait" and seconds.isascii() and seconds.isdigit():
            return min(float(seconds), at_most)
    return 0.0
