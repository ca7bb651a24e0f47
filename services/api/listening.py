"""One LISTEN connection for all subscribers of this process."""

from collections.abc import Sequence
from typing import Protocol

from chassis.postgres.notify import Listener

APPLICATION_NAME = "placewire-api-listen"


class NotifySubscriber(Protocol):
    """Receives the notifications of one channel. Its methods must not block or raise."""

    @property
    def channel(self) -> str: ...

    def noticed(self, payload: str) -> None: ...

    def connected(self) -> None:
        """React to a new connection. Notifications sent before it may be lost."""

    def lost(self) -> None:
        """React to the loss of the connection. No notification arrives until ``connected`` is called."""


def listener(database_url: str, subscribers: Sequence[NotifySubscriber]) -> Listener:
    """Return a listener, not yet running, that passes each notification to the subscriber of its channel."""

    def noticed(channel: str, payload: str) -> None:
        for subscriber in subscribers:
            if subscriber.channel == channel:
                subscriber.noticed(payload)

    def connected() -> None:
        for subscriber in subscribers:
            subscriber.connected()

    def lost() -> None:
        for subscriber in subscribers:
            subscriber.lost()

    return Listener(
        database_url,
        sorted({subscriber.channel for subscriber in subscribers}),
        application_name=APPLICATION_NAME,
        on_notice=noticed,
        on_connected=connected,
        on_lost=lost,
    )
