"""Report at the end of a small run how many sizes and tests are left to ``make test-full``."""

from typing import Any

import pytest

from tests.support import sizes

ONLY_IN_FULL = "only in test-full"
_shortened: set[str] = set()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests that are marked ``full_only``. Another test is the short form of each."""
    if not sizes.FULL:
        for item in items:
            if item.get_closest_marker("full_only"):
                sizes.shortened.add(item.nodeid)
                item.add_marker(pytest.mark.skip(reason=ONLY_IN_FULL))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the list of shortened tests of this process to the run's main process."""
    _shortened.update(sizes.shortened)
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["shortened"] = sorted(sizes.shortened)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    _shortened.update(getattr(node, "workeroutput", {}).get("shortened", ()))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _shortened:
        terminalreporter.write_sep("-", f"long forms left to `make test-full`: {len(_shortened)}")
