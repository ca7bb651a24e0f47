"""Execute commands: decide and append events in one transaction, start the job, respond.

With an Idempotency-Key, the first response is stored, and repeated requests get it. The command's transaction stores
the result under the key. The response is stored after the commit. If two requests store one, the first wins.
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
from services.api.http.idempotency_keys import KeyName, StoredResult
from services.api.http.openapi import IDEMPOTENCY_KEY_DESCRIPTION, PREFER_DESCRIPTION
from services.api.workers import WAIT_S, NotAwake

MAX_PREFERRED_WAIT_S = 30.0
Key = Annotated[str, StringConstraints(min_length=1, max_length=255)]
KEY: TypeAdapter[str] = TypeAdapter(Key)
KEY_NAMESPACE = UUID("5f0c9a3e-3d0b-4f5e-9a53-0a6b1d6a7c11")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CommandContext:
    """How a command was requested: route, Idempotency-Key, how long the caller waits in seconds, and the trace."""

    route: str
    key: str | None
    wait_s: float
    correlation_id: UUID
    traceparent: str | None

    def cause(self, caller: Principal) -> Cause:
        return Cause(
            source="api",
            correlation_id=self.correlation_id,
            actor_id=caller.user_id,
            traceparent=self.traceparent,
        )


def read_command_context(request: Request) -> CommandContext:
    """Return the same as ``CommandContextDep``, for the route that registers a student.

    The bound of the benchmark accept_32 requires this. If FastAPI reads the headers, a registration takes 24 % more
    processor time (16 pairs of runs). Raises ``RequestValidationError``, as FastAPI does, for a malformed key.
    """
    headers = request.headers
    key = headers.get("idempotency-key")
    if key is not None:
        try:
            KEY.validate_python(key)
        except ValidationError as error:
            errors = [{**entry, "loc": ("header", "idempotency-key")} for entry in error.errors(include_url=False)]
            raise RequestValidationError(errors) from error
    return _command_context(request, key, headers.get("prefer", ""))


async def _command_context_of(
    request: Request,
    idempotency_key: Annotated[Key | None, Header(description=IDEMPOTENCY_KEY_DESCRIPTION)] = None,
    prefer: Annotated[str, Header(description=PREFER_DESCRIPTION)] = "",
) -> CommandContext:
    return _command_context(request, idempotency_key, prefer)


def _command_context(request: Request, key: str | None, prefer: str) -> CommandContext:
    return CommandContext(
        route=f"{request.method} {request.scope['path']}",
        key=key,
        wait_s=preferred_wait_s(prefer, at_most=MAX_PREFERRED_WAIT_S),
        correlation_id=UUID(request.state.correlation_id),
        traceparent=tracing.traceparent(request.headers.get("traceparent")),
    )


CommandContextDep = Annotated[CommandContext, Depends(_command_context_of)]


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The result of a command: the response body, and the job that it requested, if any.

    ``people``: the ids of the people whose personal data the body shows. Such a body is stored in the vault, and such a
    command requests no job.
    """

    body: dict[str, Any]
    job_id: UUID | None = None
    kind: Kind | None = None
    status: int = 200
    people: tuple[int, ...] = ()


CommandHandler = Callable[[Connection, NewId], Awaitable[CommandResult]]
# Loads the response body once the job has ended, because the body shows the effect of the job.
ResultLoader = Callable[[Connection, UUID], Awaitable[dict[str, Any]]]
# Builds the body to send from the stored body. For example, it adds a token.
Complete = Callable[[dict[str, Any]], dict[str, Any]]


async def execute_command(
    ctx: Context,
    caller: Principal,
    command_context: CommandContext,
    request_content: Any,
    handle: CommandHandler,
    *,
    connection: Connection | None = None,
    load_result: ResultLoader | None = None,
    complete: Complete | None = None,
) -> Response:
    """Run ``handle`` in one transaction, on ``connection`` if it is given, and return the response.

    ``request_content``: everything that the caller sent, as JSON, with digests for bytes. The same key with other
    content is 422. If the command requests a job, ``Location`` names it. The response is 200 once the job has ended,
    with the body from ``load_result``, and 202 before. ``complete`` adds to the body what is not stored under the key.
    Raises what ``handle`` raises. Then nothing is written, and the key can be used again.
    """
    begin = ctx.database.transaction if connection is None else partial(_transaction_on, connection)
    if command_context.key is None:
        async with begin() as transaction:
            committed = await handle(transaction, fresh_ids)
        return _response(await _deliver(ctx, command_context, committed, load_result), complete)
    name = (caller.user_id, command_context.route, command_context.key)
    fingerprints = idempotency_keys.fingerprints_of(request_content, ctx.settings.jwt_secrets)
    async with begin() as transaction:
        committed, stored_response = await _execute_once(transaction, name, fingerprints, handle)
    if stored_response is not None:
        return _response(stored_response, complete)
    response = await _deliver(ctx, command_context, committed, load_result)
    if committed.people:  # there is no job, so the stored result is enough to repeat the response
        return _response(response, complete)
    try:
        async with ctx.database.connection() as response_connection:
            first_response = await idempotency_keys.store_response(response_connection, name, response)
    except (Unavailable, Contended):
        # The next request with this key creates and stores a response.
        log.warning("response.not_stored", route=command_context.route)
        first_response = None
    return _response(first_response or response, complete)


def ids_under(name: KeyName) -> NewId:
    """Return the ids of the events that are recorded under an Idempotency-Key."""
    return keyed_ids(KEY_NAMESPACE, orjson.dumps(name).decode())


async def _execute_once(
    transaction: Connection, name: KeyName, fingerprints: Sequence[bytes], handle: CommandHandler
) -> tuple[CommandResult, dict[str, Any] | None]:
    """Return the result under the key ``name`` and the stored response, if any. Call ``handle`` if the key is new."""
    new_id = ids_under(name)
    stored = await idempotency_keys.claim(transaction, name, fingerprints, new_id(0))
    if stored is not None:
        return _committed_from(stored), stored.answer
    committed = await handle(transaction, new_id)
    if committed.people:
        assert committed.job_id is None
        body = orjson.dumps(committed.body).decode()
        without_body = _committed_json(replace(committed, body={}))
        await idempotency_keys.store_personal_result(transaction, name, without_body, committed.people, body)
    else:
        await idempotency_keys.store_result(transaction, name, _committed_json(committed))
    return committed, None


@asynccontextmanager
async def _transaction_on(connection: Connection) -> AsyncIterator[Connection]:
    async with connection.transaction():
        yield connection


async def _deliver(
    ctx: Context, command_context: CommandContext, committed: CommandResult, load_result: ResultLoader | None
) -> dict[str, Any]:
    if ctx.settings.failpoint == "after-commit":
        os.kill(os.getpid(), signal.SIGKILL)
    ctx.notifier.notify(notify.OUTBOX)
    if committed.job_id is None or committed.kind is None:
        return {"status": committed.status, "body": committed.body, "location": None}
    job, delivery = await _deliver_job(ctx, command_context, committed.job_id, OWNER[committed.kind])
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
        body, status = await _final_body(ctx, committed.body, job.id, load_result), 200
    return {"status": status, "body": {**body, "job": brief}, "location": f"/api/jobs/{committed.job_id}"}


async def _final_body(
    ctx: Context, body: dict[str, Any], job_id: UUID, load_result: ResultLoader | None
) -> dict[str, Any]:
    if load_result is None:
        return body
    try:
        async with ctx.database.connection() as connection:
            return await load_result(connection, job_id)
    except (Unavailable, Contended):
        return body


async def _deliver_job(
    ctx: Context, command_context: CommandContext, job_id: UUID, service: Service
) -> tuple[Job | None, Channel]:
    if ctx.breakers.is_closed(service):
        return await _wait_for_end(ctx, job_id, command_context.wait_s), Channel.KAFKA
    try:
        await ctx.workers.wake(service, job_id)
    except NotAwake as error:
        log.info("job.left_to_poll", job_id=str(job_id), reason=str(error))
        return await _wait_for_end(ctx, job_id, command_context.wait_s), Channel.POLL
    return await _wait_for_end(ctx, job_id, WAIT_S), Channel.HTTP


async def _wait_for_end(ctx: Context, job_id: UUID, wait_s: float) -> Job | None:
    """Return the job once it has ended, at the latest after ``wait_s``. NOTIFY announces the end, from any worker."""
    if not wait_s:
        return None
    try:
        return await ctx.jobs.ended(job_id, within_s=wait_s)
    except (Unavailable, Contended):
        return None  # the command is committed, so this must not become an error


def _response(parts: dict[str, Any], complete: Complete | None) -> Response:
    headers = {"Location": parts["location"]} if parts["location"] else None
    return json_response(complete(parts["body"]) if complete else parts["body"], parts["status"], headers)


def _committed_json(committed: CommandResult) -> str:
    return orjson.dumps(
        {
            "body": committed.body,
            "job_id": str(committed.job_id) if committed.job_id else None,
            "kind": committed.kind,
            "status": committed.status,
            "people": list(committed.people),
        }
    ).decode()


def _committed_from(stored: StoredResult) -> CommandResult:
    """Return the stored result. Raises ``Invalid`` when the personal data of its body was erased."""
    committed = stored.committed
    people = tuple(committed["people"])
    if people and stored.personal is None:
        raise idempotency_keys.expired_key()
    return CommandResult(
        committed["body"] if stored.personal is None else stored.personal,
        UUID(committed["job_id"]) if committed["job_id"] else None,
        Kind(committed["kind"]) if committed["kind"] else None,
        committed["status"],
        people,
    )


def preferred_wait_s(prefer: str, *, at_most: float) -> float:
    """Return the seconds of ``Prefer: wait=N`` (RFC 7240, section 4.3), at most ``at_most``; 0 if it is absent."""
    for preference in prefer.split(","):
        name, _, value = preference.strip().partition("=")
        seconds = value.strip().strip('"')
        if name.strip().lower() == "wait" and seconds.isascii() and seconds.isdigit():
            return min(float(seconds), at_most)
    return 0.0
