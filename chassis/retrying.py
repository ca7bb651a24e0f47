"""When work is done again, and for how long."""

from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, stop_never, wait_exponential_jitter

from chassis.errors import Contended, Unavailable

Work = Callable[[], Awaitable[None]]


async def until_database_is_back(work: Work) -> None:
    """Do ``work``, again and again while it raises ``Unavailable``, with pauses of up to 3 s."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(Unavailable),
        stop=stop_never,
        wait=wait_exponential_jitter(multiplier=0.1, max=3),
        reraise=True,
    ):
        with attempt:
            await work()


async def while_contended(work: Work, *, most: int) -> None:
    """Do ``work``, at the most ``most`` times while it raises ``Contended``, with pauses of up to 2 s."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(Contended),
        stop=stop_after_attempt(most),
        wait=wait_exponential_jitter(multiplier=0.05, max=2),
        reraise=True,
    ):
        with attempt:
            await work()
