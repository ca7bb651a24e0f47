"""The SQL of each revision, as files that read as SQL."""

from pathlib import Path

from alembic import context, op
from sqlalchemy.util import await_only

FOLDER = Path(__file__).parent / "sql"


def run_file(name: str) -> None:
    """Run every statement of ``sql/{name}.sql`` in the migration's transaction; offline, print them.

    Through the driver: a prepared statement, which is what SQLAlchemy would make, holds one command only.
    """
    script = (FOLDER / f"{name}.sql").read_text()
    if context.is_offline_mode():
        # As it stands: what SQLAlchemy renders has its colons and per cent signs doubled.
        op.get_context().impl.static_output(script)
        return
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    await_only(driver.execute(script))
