"""At the end of a small run: how many sizes and tests are left to ``make test-full``."""

from typing import Any

import pytest

from tests.support import sizes

ONLY_IN_FULL = "only in test-full"
_shortened: set[str] = set()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked ``full_only``, whose short form is another test."""
    if not sizes.FULL:
        for item in items:
            if item.get_closest_marker("full_only"):
                sizes.shortened.add(item.nodeid)
                item.add_marker(pytest.mark.skip(reason=ONLY_IN_FULL))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what this process has shortened to the run's process."""
    _shortened.update(sizes.shortened)
    if (handed := getattr(session.config, "workeroutput", None)) is not None:
        handed["shortened"] = sorted(sizes.shortened)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    _shortened.update(getattr(node, "workeroutput", {}).get("shortened", ()))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _shortened:
        terminalreporter.write_sep("-", f"{len(_shortened)} long forms run in `make test-full` only")
