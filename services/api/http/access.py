"""Access control. Every route declares the roles that may call it; otherwise the API does not start."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Annotated, Any

import asyncpg
from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.responses import Response
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.security import HTTPBearer

from chassis.errors import Contended, Forbidden, Unauthenticated, Unavailable
from chassis.postgres.database import Database
from chassis.tokens import USER_TOKEN_S, Principal
from contracts.users import ORGANIZERS, PLACEMENT_CELL, Role
from services.api.http import strict_input
from services.api.http.body_limits import MAX_UNAUTHENTICATED_BODY
from services.api.http.limits import RateLimits
from services.api.http.sign_in_tokens import Tokens

# The transaction that changes access also sends the notification. Roles and passwords change rarely.
CHANNEL = "placewire_access"
RELOAD_S = 5.0

# Added to the lifetime of a token, because a change commits after its recorded time and clocks may be set back.
SLACK_S = 86_400

# Index scans on users_access_changed and users_inactive. Tokens issued before this window have expired. The counter
# ``access_version`` shows whether access ever changed. A time would not show it, because clocks may be set back.
CHANGED = """
SELECT user_id, role, password_version, active FROM users
 WHERE access_changed_at > clock_timestamp() - make_interval(secs => $1) AND access_version > 0
"""
# Another issuer may continue to issue tokens for an account that is deactivated here.
CHANGED_OR_INACTIVE = f"{CHANGED} UNION SELECT user_id, role, password_version, active FROM users WHERE NOT active"  # noqa: S608
NOW = "SELECT role, password_version, active FROM users WHERE user_id = $1"


@dataclass(frozen=True, slots=True)
class AccessState:
    """The current role, password version and activity of an account."""

    role: Role
    password_version: int
    active: bool

    def permits(self, principal: Principal) -> bool:
        """Return whether a token of ``principal`` is still valid. Another issuer's tokens survive a password change."""
        return self.active and principal.password_version in (None, self.password_version)


class AccessChanges:
    """The accounts whose role, password or activity changed within the lifetime of a token. They are usually few.

    While ``listening`` is false, notifications may be lost, so every request reads the database.
    """

    channel = CHANNEL

    def __init__(self, database: Database, tokens: Tokens, *, other_issuer: bool = False) -> None:
        self._database = database
        self._tokens = tokens
        self._statement = CHANGED_OR_INACTIVE if other_issuer else CHANGED
        self._changed: dict[int, AccessState] = {}
        self._connected = False
        self._reload = asyncio.Event()
        self.listening = False

    def noticed(self, _payload: str) -> None:
        self.listening = False  # until the change has been read
        self._reload.set()

    def connected(self) -> None:
        self._connected = True
        self._reload.set()

    def lost(self) -> None:
        self._connected = self.listening = False

    async def reload(self) -> None:
        async with self._database.connection() as connection:
            rows = await connection.fetch(self._statement, float(USER_TOKEN_S + SLACK_S))
        before, self._changed = self._changed, {row["user_id"]: _state(row) for row in rows}
        # The tokens of closed accounts are invalid, and they contain a name and an e-mail address.
        closed = {id_ for id_, state in self._changed.items() if not state.active and before.get(id_) != state}
        self._tokens.forget(closed)

    async def run(self) -> None:
        """Reload after each notification, and at least every ``RELOAD_S`` seconds, until cancelled."""
        while True:
            self._reload.clear()
            try:
                was_connected = self._connected
                await self.reload()
                self.listening = was_connected and self._connected and not self._reload.is_set()
            except (Unavailable, Contended):
                self.listening = False
            with suppress(TimeoutError):
                async with asyncio.timeout(RELOAD_S):
                    await self._reload.wait()

    async def confirm(self, principal: Principal) -> Principal:
        """Return ``principal`` with the current role.

        Raises ``Unauthenticated`` if the password changed after the sign-in, or the account is deactivated.
        """
        state = self._changed.get(principal.user_id) if self.listening else await self._read(principal.user_id)
        if state is None:
            return principal
        if not state.permits(principal):
            # The token may be newer than the state in memory: the notification of the change has not arrived yet.
            state = await self._read(principal.user_id)
        if not state.permits(principal):
            if not state.active:
                self._tokens.forget({principal.user_id})  # this request cached the token again
            raise Unauthenticated("Invalid token")
        return replace(principal, role=state.role)

    async def _read(self, user_id: int) -> AccessState:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(NOW, user_id)
        if row is None:
            raise Unauthenticated("Invalid token")
        return _state(row)


def _state(row: asyncpg.Record) -> AccessState:
    return AccessState(Role(row["role"]), row["password_version"], row["active"])


@dataclass(frozen=True, slots=True)
class Guard:
    """Authenticates callers and limits their requests, with one look-up per request."""

    tokens: Tokens
    limits: RateLimits[int]
    changes: AccessChanges

    async def authenticate(self, authorization: str | None) -> Principal:
        """Return the caller with their current role. Raises ``Unauthenticated`` or ``Throttled``."""
        return await self.changes.confirm(await self.authenticate_token(authorization))

    async def authenticate_token(self, authorization: str | None) -> Principal:
        """Return the user of a token, which may be outdated. Raises ``Unauthenticated`` or ``Throttled``."""
        principal = await self.tokens.read(authorization)
        self.limits.take(principal.user_id)
        return principal


@contextmanager
def changing_access(request: Request) -> Iterator[None]:
    """Make this process reload access right after the block, without waiting for the block's notification."""
    try:
        yield
    finally:
        guard: Guard = request.app.state.guard
        guard.changes.noticed("")


class Access:
    """The callers of a route: users with one of ``roles``, or everyone if the route is public."""

    def __init__(self, *roles: Role, public: bool = False) -> None:
        self.roles = frozenset(roles)
        self.public = public


class SignedIn(Access, HTTPBearer):
    """A dependency that requires one of ``roles``. As it is also the security scheme, one dependency is enough."""

    def __init__(self, *roles: Role) -> None:
        Access.__init__(self, *roles)
        HTTPBearer.__init__(self, scheme_name="HTTPBearer")

    async def __call__(self, request: Request) -> Principal:  # type: ignore[override]
        checked: Principal | None = request.scope["state"].get("principal")
        if checked is not None:  # AccessFirstRoute has called this object before
            return checked
        principal = await self._admitted(request)
        if principal.role not in self.roles:
            raise Forbidden("Forbidden: insufficient role")
        await strict_input.refuse_unknown(request)
        return principal

    async def _admitted(self, request: Request) -> Principal:
        guard: Guard = request.app.state.guard
        return await guard.authenticate(request.headers.get("authorization"))


class SignedInBefore(SignedIn):
    """Like ``SignedIn`` for every role, but accepts a token that the first execution of this request made invalid.

    Use it only for a route that returns to such a caller only the response stored under their Idempotency-Key.
    """

    async def _admitted(self, request: Request) -> Principal:
        guard: Guard = request.app.state.guard
        principal = await guard.authenticate_token(request.headers.get("authorization"))
        try:
            return await guard.changes.confirm(principal)
        except Unauthenticated:
            if request.headers.get("idempotency-key") is None:
                raise
            return replace(principal, password_version=ENDED)


class Public(Access):
    def __init__(self) -> None:
        super().__init__(public=True)

    async def __call__(self, request: Request) -> None:
        await strict_input.refuse_unknown(request)


class AccessFirstRoute(APIRoute):
    """Checks the caller before the body is read. FastAPI would read the body before it resolves dependencies."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        access = declared_access(self)
        if self.body_field is None or not isinstance(access, SignedIn):
            return handler  # the route reads no body, or reads it itself after its dependencies

        async def checked(request: Request) -> Response:
            request.scope["state"]["principal"] = await access(request)
            return await handler(request)

        return checked


def allow(*roles: Role) -> Any:
    """Return the dependency on a signed-in caller with one of ``roles``: 401 without a valid token, 403 otherwise."""
    return Depends(SignedIn(*roles))


ANYONE = tuple(Role)
# The password version of a caller whose token is no longer valid.
ENDED = -1
SIGNED_IN_BEFORE = Depends(SignedInBefore(*ANYONE))
PUBLIC = Depends(Public())

# The caller of a route. Each type is named after the roles that may call it.
Anyone = Annotated[Principal, allow(*ANYONE)]
Student = Annotated[Principal, allow(Role.STUDENT)]
Coordinator = Annotated[Principal, allow(Role.COORDINATOR)]
Head = Annotated[Principal, allow(Role.HEAD)]
Organizer = Annotated[Principal, allow(*ORGANIZERS)]
CellMember = Annotated[Principal, allow(*PLACEMENT_CELL)]


def declared_access(route: APIRoute) -> Access | None:
    """Return the access that the route declares; ``None`` if it declares no access."""
    return next(_accesses(route.dependant), None)


def require_declared_access(app: FastAPI) -> None:
    """Make every published route of ``app`` check the caller before anything else.

    Raises ``RuntimeError`` naming each route that does not declare its roles, or that reads more than
    ``MAX_UNAUTHENTICATED_BODY`` before it checks the caller.
    """
    routes = [(f"{sorted(route.methods or ())} {path}", route) for path, route in published_routes(app)]
    for _, route in routes:
        # FastAPI resolves dependencies in order. Without the sort, another dependency may refuse first.
        route.dependant.dependencies.sort(key=lambda dependency: not isinstance(dependency.call, Access))
    if undeclared := [name for name, route in routes if declared_access(route) is None]:
        raise RuntimeError(f"routes without declared roles: {', '.join(undeclared)}")
    if unchecked := [name for name, route in routes if not _is_checked_before_its_body(route)]:
        raise RuntimeError(f"routes that read a body before they check the caller: {', '.join(unchecked)}")


def _is_checked_before_its_body(route: APIRoute) -> bool:
    access = declared_access(route)
    if access is not None and access.public and (route.methods or set()) - {"GET"}:
        return route.max_body_size is not None and route.max_body_size <= MAX_UNAUTHENTICATED_BODY
    return route.body_field is None or isinstance(route, AccessFirstRoute)


def published_routes(app: FastAPI) -> list[tuple[str, APIRoute]]:
    """Return path and route of every operation in the OpenAPI document, including those of nested routers."""
    return [
        (str(context.path_format), context.original_route)
        for context in iter_route_contexts(app.routes)
        if isinstance(context.original_route, APIRoute) and context.original_route.include_in_schema
    ]


def _accesses(dependant: Dependant) -> Iterator[Access]:
    if isinstance(dependant.call, Access):
        yield dependant.call
    for inner in dependant.dependencies:
        yield from _accesses(inner)
