"""The screens of the console and the roles that may open them. Each is tested for every role, theme and width."""

from dataclasses import dataclass

from contracts.users import Role

HEAD, COORDINATOR, STAFF, STUDENT = Role.HEAD, Role.COORDINATOR, Role.STAFF, Role.STUDENT
ALL = frozenset(Role)
OFFICE = ALL - {STUDENT}
DECIDING = frozenset({HEAD, COORDINATOR})


@dataclass(frozen=True, slots=True)
class Screen:
    """``path``: below ``/console``; names in braces are fields of ``Scene``.

    ``not_found_for``: roles that may open such a screen, but not this object. ``small``: tested in a small run, too.
    """

    path: str
    roles: frozenset[Role]
    not_found_for: frozenset[Role] = frozenset()
    small: bool = False

    def status(self, role: Role) -> int:
        """Return the status that the role gets."""
        if self.path == "/no-such-page" or role in self.not_found_for:
            return 404
        return 200 if role in self.roles else 403


SIGNED_OUT = ("/sign-in", "/sign-in?next=/console/drives", "/forgot-password", "/accept-invitation")
SCREENS = (
    Screen("/today", ALL, small=True),
    Screen("/drives", ALL, small=True),
    Screen("/drives?status=pending&search=nothing", ALL),
    Screen("/drives/{open}", ALL),
    Screen("/drives/{finished}", ALL),
    Screen("/drives/new", frozenset({HEAD}), small=True),
    Screen("/drives/{open}/edit", frozenset({HEAD})),
    Screen("/drives/{draft}/publish", DECIDING),
    Screen("/drives/{open}/stop", frozenset({COORDINATOR})),
    Screen("/drives/{draft}/delete", frozenset({HEAD})),
    Screen("/drives/{open}/eligible", DECIDING),
    Screen("/drives/{open}/registrations", OFFICE),
    Screen("/drives/{attending}/attendance", DECIDING, small=True),
    Screen("/drives/{attending}/attendance/publish", frozenset({COORDINATOR})),
    Screen("/drives/{open}/history", OFFICE),
    Screen("/my-registrations", frozenset({STUDENT}), small=True),
    Screen("/students", OFFICE),
    Screen("/students/{student}?drive={open}", OFFICE),
    Screen("/students/new", frozenset({HEAD})),
    Screen("/students/{student}/edit", DECIDING),
    Screen("/students/{student}/erase", frozenset({HEAD})),
    Screen("/students/import", frozenset({HEAD})),
    Screen("/users", frozenset({HEAD})),
    Screen("/users/new", frozenset({HEAD})),
    Screen("/users/{staff}", frozenset({HEAD})),
    Screen("/users/{staff}/erase", frozenset({HEAD})),
    Screen("/domains", frozenset({HEAD})),
    Screen("/finished-drives", OFFICE),
    Screen("/exports", OFFICE),
    Screen("/exports/new", OFFICE),
    Screen("/exports/{export}", DECIDING, not_found_for=frozenset({STAFF})),
    Screen("/analytics", DECIDING),
    Screen("/notifications", ALL),
    Screen("/jobs", OFFICE),
    Screen("/jobs/{job}", DECIDING, not_found_for=frozenset({STAFF})),
    Screen("/operations", frozenset({HEAD})),
    Screen("/dead-letters", frozenset({HEAD})),
    Screen("/account", ALL),
    Screen("/my-data", ALL),
    Screen("/no-such-page", ALL),
)
