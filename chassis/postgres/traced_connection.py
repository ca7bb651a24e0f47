"""Connections to Postgres that record a span for each statement inside a trace. Polls run outside of traces."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, ClassVar

from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from chassis.postgres.watched_connection import WatchedConnection

VERB = re.compile(r"[a-z]+", re.IGNORECASE)
WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE|MERGE)\b", re.IGNORECASE)
TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE|VIEW|TABLE|COPY)\s+(?:CONCURRENTLY\s+)?([a-z_][\w.]*)", re.IGNORECASE)
FUNCTION = re.compile(r"\bSELECT\s+([a-z_][\w.]*)\s*\(", re.IGNORECASE)


class TracedConnection(WatchedConnection):
    """Records the texts of statements, never their values."""

    tracer: ClassVar[Tracer]

    @contextmanager
    def _spanned(self, text: str) -> Iterator[None]:
        if not trace.get_current_span().is_recording():
            yield
            return
        attributes = {"db.system.name": "postgresql", "db.query.text": text.strip(), "db.query.summary": summary(text)}
        span = self.tracer.start_span(summary(text), kind=SpanKind.CLIENT, attributes=attributes)
        try:
            yield
        except BaseException as error:
            # The text of a database error quotes values.
            span.set_status(StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            span.end()

    async def execute(self, query: str, *args: Any, **options: Any) -> Any:
        with self._spanned(query):
            return await super().execute(query, *args, **options)

    async def executemany(self, command: str, args: Any, **options: Any) -> Any:
        with self._spanned(command):
            return await super().executemany(command, args, **options)

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        with self._spanned(query):
            return await super().fetch(query, *args, **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        with self._spanned(query):
            return await super().fetchval(query, *args, **options)

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        with self._spanned(query):
            return await super().fetchrow(query, *args, **options)

    async def copy_from_query(self, query: str, *args: Any, **options: Any) -> Any:
        with self._spanned(f"COPY ({query}) TO STDOUT"):
            return await super().copy_from_query(query, *args, **options)

    async def copy_to_table(self, table_name: str, **options: Any) -> Any:
        with self._spanned(f"COPY {table_name} FROM STDIN"):
            return await super().copy_to_table(table_name, **options)


def connection_class(tracer: Tracer) -> type[TracedConnection]:
    """Return a class for ``asyncpg.connect(connection_class=…)`` whose spans ``tracer`` makes."""
    return type("TracedByThisProcess", (TracedConnection,), {"tracer": tracer})


@lru_cache(maxsize=1000)
def summary(text: str) -> str:
    """Return the verb and object of a statement: ``INSERT selections``, ``SELECT es.append``, ``COMMIT``."""
    verb = VERB.search(text)
    if verb is None:
        return "statement"
    name = verb.group().upper()
    if name == "WITH":
        written = WRITES.search(text)
        name, start = (written.group().upper(), written.start()) if written else ("SELECT", 0)
        text = text[start:]
    target = TABLE.search(text) or FUNCTION.search(text)
    return f"{name} {target.group(1)}" if target else name
