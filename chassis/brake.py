"""A bad release must not drain a topic into the dead letters: after too many dead in a row a service claims no more."""

import structlog

from chassis import telemetry
from contracts.jobs import Service

BRAKE_AFTER_DEAD = 20

log = structlog.get_logger()


class Brake:
    """On after ``BRAKE_AFTER_DEAD`` jobs of ``service`` that were given up, with no other end between them.

    Released by a success of what was still running, or by starting the process again, which is what a mended release
    does: a redrive alone mends nothing.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._dead_in_a_row = 0
        telemetry.BRAKE.labels(service).set(0)

    @property
    def on(self) -> bool:
        return self._dead_in_a_row >= BRAKE_AFTER_DEAD

    def died(self) -> None:
        self._count(self._dead_in_a_row + 1)

    def succeeded(self) -> None:
        self._count(0)

    def _count(self, in_a_row: int) -> None:
        was_on, self._dead_in_a_row = self.on, in_a_row
        telemetry.BRAKE.labels(self._service).set(self.on)
        if self.on and not was_on:
            log.critical("runner.braked", dead_in_a_row=in_a_row)
