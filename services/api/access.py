"""Who may call what. Every route declares its roles; a route that does not, does not start."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.responses import Response
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.security import HTTPBearer

from chassis.database import Database
from chassis.errors import Contended, Forbidden, Unauthenticated, Unavailable
from chassis.identity import USER_TOKEN_S, Principal
from contracts.users import Role
from services.api.body_limits import MAX_UNAUTHENTICATED_BODY
from services.api.limits import UserLimits
from services.api.tokens import Tokens

# NOTIFY inside the changing transaction: roles and passwords change rarely.
CHANNEL = "placewire_access"
RELOAD_S = 5.0

# Index scan on users_access_changed. Tokens issued before this window have expired.
CHANGED = """
SELECT user_id, role, password_version FROM users
 WHERE access_changed_at > clock_timestamp() - make_interval(secs => $1) AND access_changed_at > created_at
"""
NOW = "SELECT role, password_version FROM users WHERE user_id = $1"


@dataclass(frozen=True, slots=True)
class Standing:
    role: Role
    password_version: int


class AccessChanges:
    """Roles and passwords that changed while tokens from before are still about. Empty on most days.

    ``listening`` false: a change may have been missed, so the database is asked for every request.
    """

    channel = CHANNEL

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed: dict[int, Standing] = {}
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
            rows = await connection.fetch(CHANGED, float(USER_TOKEN_S))
        self._changed = {row["user_id"]: Standing(Role(row["role"]), row["password_version"]) for row in rows}

    async def run(self) -> None:
        """Read again when told of a change, and every ``RELOAD_S`` in any case, until cancelled."""
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
        """``principal`` with the role of this moment. Raises ``Unauthenticated`` when the password changed since."""
        standing = self._changed.get(principal.user_id) if self.listening else await self._read(principal.user_id)
        if standing is None:
            return principal
        if principal.password_version is None:
            return replace(principal, role=standing.role)
        if standing.password_version != principal.password_version:
            # The token may be newer than what is known here: the change's notice is on its way.
            standing = await self._read(principal.user_id)
        if standing.password_version != principal.password_version:
            raise Unauthenticated("Invalid token")
        return replace(principal, role=standing.role)

    async def _read(self, user_id: int) -> Standing:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(NOW, user_id)
        if row is None:
            raise Unauthenticated("Invalid token")
        return Standing(Role(row["role"]), row["password_version"])


@dataclass(frozen=True, slots=True)
class Guard:
    """Who calls, how often, and whether what his token says still holds: one look-up in each request."""

    tokens: Tokens
    limits: UserLimits
    changes: AccessChanges

    async def admitted(self, authorization: str | None) -> Principal:
        """Raises ``Unauthenticated`` or ``Throttled``."""
        principal = await self.tokens.read(authorization)
        self.limits.take(principal.user_id)
        return await self.changes.confirm(principal)


class Access:
    """Who may call a route: ``roles``, or everyone, signed in or not."""

    def __init__(self, *roles: Role, public: bool = False) -> None:
        self.roles = frozenset(roles)
        self.public = public


class SignedIn(Access, HTTPBearer):
    """A dependency that lets ``roles`` in. It is the security scheme itself: one dependency less in each request."""

    def __init__(self, *roles: Role) -> None:
        Access.__init__(self, *roles)
        HTTPBearer.__init__(self, scheme_name="HTTPBearer")

    async def __call__(self, request: Request) -> Principal:  # type: ignore[override]
        checked: Principal | None = request.scope["state"].get("principal")
        if checked is not None:  # by AccessFirstRoute, with this same object
            return checked
        guard: Guard = request.app.state.guard
        principal = await guard.admitted(request.headers.get("authorization"))
        if principal.role not in self.roles:
            raise Forbidden("Forbidden: insufficient role")
        return principal


class Public(Access):
    def __init__(self) -> None:
        super().__init__(public=True)

    async def __call__(self) -> None:
        return None


class AccessFirstRoute(APIRoute):
    """Check the caller before the body is read. FastAPI reads the body before it resolves dependencies."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        access = declared_access(self)
        if self.body_field is None or not isinstance(access, SignedIn):
            return handler  # the route reads no body, or reads it by hand after its dependencies

        async def checked(request: Request) -> Response:
            request.scope["state"]["principal"] = await access(request)
            return await handler(request)

        return checked


def allow(*roles: Role) -> Any:
    """The signed-in caller, if he has one of ``roles``: 401 without a valid token, 403 with another role."""
    return Depends(SignedIn(*roles))


ANYONE = tuple(Role)
PUBLIC = Depends(Public())


def declared_access(route: APIRoute) -> Access | None:
    """What the route declares, ``None`` when it declares nothing."""
    return next(_accesses(route.dependant), None)


def require_declared_access(app: FastAPI) -> None:
    """Raise ``RuntimeError`` naming every published route of ``app`` that does not say who may call it.

    Also for a route that reads more than ``MAX_UNAUTHENTICATED_BODY`` before it knows who calls.
    """
    routes = [(f"{sorted(route.methods or ())} {path}", route) for path, route in published_routes(app)]
    if undeclared := [name for name, route in routes if declared_access(route) is None]:
        raise RuntimeError(f"routes without declared roles: {', '.join(undeclared)}")
    if unchecked := [name for name, route in routes if not _is_checked_before_its_body(route)]:
        raise RuntimeError(f"routes that read a body before they know the caller: {', '.join(unchecked)}")


def _is_checked_before_its_body(route: APIRoute) -> bool:
    access = declared_access(route)
    if access is not None and access.public and (route.methods or set()) - {"GET"}:
        return route.max_body_size is not None and route.max_body_size <= MAX_UNAUTHENTICATED_BODY
    return route.body_field is None or isinstance(route, AccessFirstRoute)


def published_routes(app: FastAPI) -> list[tuple[str, APIRoute]]:
    """Path and route of everything in the OpenAPI document, included routers' too."""
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
