"""Unreadable records as JSON written by Postgres. Each may be a megabyte, and a page holds 200."""

from services.api.long_lists import instant, rows_as_json


def _base64(column: str) -> str:
    return f"translate(encode({column}, 'base64'), E'\\n', '') AS {column}"


# Index scan backward on undecodable_open.
UNDECODABLE = rows_as_json(
    f"""
SELECT id, service, topic, partition, "offset", headers, error, {_base64("key")}, {_base64("value")},
       {instant("received_at")} AS received_at, {instant("settled_at")} AS settled_at
  FROM es.undecodable
 WHERE settled_at IS NULL AND ($1::text IS NULL OR service = $1) AND ($2::bigint IS NULL OR id < $2)
 ORDER BY id DESC LIMIT $3"""  # noqa: S608
)
