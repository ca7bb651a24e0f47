"""One LISTEN connection for everyone in the process who must hear what others change."""

from collections.abc import Sequence
from typing import Protocol

from chassis.notify import Listener

APPLICATION_NAME = "placewire-api-listen"


class Party(Protocol):
    """Hears the notices of one channel. None of the calls may block or raise."""

    @property
    def channel(self) -> str: ...

    def noticed(self, payload: str) -> None: ...

    def connected(self) -> None:
        """From now on every notice arrives; what was sent before may have been missed."""

    def lost(self) -> None:
        """From now on notices are missed."""


def listener(database_url: str, parties: Sequence[Party]) -> Listener:
    """Tells each of ``parties`` what comes on its channel. Not running yet."""

    def noticed(channel: str, payload: str) -> None:
        for party in parties:
            if party.channel == channel:
                party.noticed(payload)

    def connected() -> None:
        for party in parties:
            party.connected()

    def lost() -> None:
        for party in parties:
            party.lost()

    return Listener(
        database_url,
        sorted({party.channel for party in parties}),
        application_name=APPLICATION_NAME,
        on_notice=noticed,
        on_connected=connected,
        on_lost=lost,
    )
