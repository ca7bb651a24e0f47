"""The screens of each role, in the order of the menu."""

from dataclasses import dataclass

from contracts.users import Role

HEAD, COORDINATOR, STAFF, STUDENT = Role.HEAD, Role.COORDINATOR, Role.STAFF, Role.STUDENT
OFFICE = frozenset({HEAD, COORDINATOR, STAFF})
DECIDING = frozenset({HEAD, COORDINATOR})


@dataclass(frozen=True, slots=True)
class Screen:
    """``title``: in English; templates translate it. ``icon``: its name in bootstrap-icons."""

    path: str
    title: str
    icon: str
    roles: frozenset[Role]


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    screens: tuple[Screen, ...]


SECTIONS = (
    Section(
        "",
        (
            Screen("/console/today", "Today", "house", frozenset(Role)),
            Screen("/console/drives", "Drives", "briefcase", frozenset(Role)),
            Screen("/console/my-registrations", "My registrations", "card-checklist", frozenset({STUDENT})),
            Screen("/console/students", "Students", "people", OFFICE),
            Screen("/console/finished-drives", "Finished drives", "archive", OFFICE),
            Screen("/console/exports", "Exports", "download", OFFICE),
            Screen("/console/analytics", "Analytics", "bar-chart", DECIDING),
            Screen("/console/notifications", "Notifications", "bell", frozenset(Role)),
        ),
    ),
    Section(
        "Administration",
        (
            Screen("/console/users", "Users", "person-gear", frozenset({HEAD})),
            Screen("/console/domains", "Job domains", "tags", frozenset({HEAD})),
        ),
    ),
    Section(
        "Operations",
        (
            Screen("/console/jobs", "Jobs", "activity", OFFICE),
            Screen("/console/operations", "System", "heart-pulse", frozenset({HEAD})),
            Screen("/console/dead-letters", "Dead letters", "exclamation-octagon", frozenset({HEAD})),
        ),
    ),
    Section(
        "My account",
        (
            Screen("/console/account", "Account", "person-circle", frozenset(Role)),
            Screen("/console/my-data", "Stored about me", "shield-lock", frozenset(Role)),
        ),
    ),
)


def menu(role: Role) -> list[Section]:
    """Return the sections with the screens that ``role`` may open."""
    sections = [
        Section(section.title, tuple(screen for screen in section.screens if role in screen.roles))
        for section in SECTIONS
    ]
    return [section for section in sections if section.screens]
