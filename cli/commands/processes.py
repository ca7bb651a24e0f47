"""``placewire run``: run one process of the system in the foreground."""

import typer

from chassis.extras import require_extra
from cli import environment

app = typer.Typer(help="Run one process of the system, until SIGTERM or Ctrl-C.", no_args_is_help=True)


@app.command()
def api() -> None:
    """Serve the public HTTP API."""
    require_extra("api")
    environment.load("api")
    from chassis.http.service import serve
    from chassis.settings import load
    from services.api.main import create_app
    from services.api.settings import ApiSettings

    settings = load(ApiSettings)
    serve(create_app(settings), settings)


@app.command()
def console() -> None:
    """Serve the web console: HTML pages for people. The console uses only the public API."""
    require_extra("console")
    environment.load("console")
    from chassis.http.service import serve
    from chassis.settings import load
    from services.console.main import create_app
    from services.console.settings import ConsoleSettings

    settings = load(ConsoleSettings)
    serve(create_app(settings), settings)


@app.command()
def relay() -> None:
    """Send recorded events from the outbox to Kafka. If several relays run, only one of them sends."""
    require_extra("relay")
    environment.load("relay")
    from chassis.http.service import serve
    from chassis.messaging.relay_process import RelaySettings, create_app
    from chassis.settings import load

    settings = load(RelaySettings)
    serve(create_app(settings), settings)


@app.command()
def eligibility() -> None:
    """Run the jobs that select students for drives."""
    require_extra("eligibility")
    environment.load("eligibility")
    from chassis.http.service import serve
    from chassis.settings import load
    from services.eligibility.main import create_app
    from services.eligibility.settings import EligibilitySettings

    settings = load(EligibilitySettings)
    serve(create_app(settings), settings)


@app.command()
def exporter() -> None:
    """Run the jobs that write export files to the storage."""
    require_extra("exporter")
    environment.load("exporter")
    from chassis.http.service import serve
    from chassis.settings import load
    from services.exporter.main import create_app
    from services.exporter.settings import ExporterSettings

    settings = load(ExporterSettings)
    serve(create_app(settings), settings)


@app.command()
def maintenance() -> None:
    """Refresh the materialized views on schedule, and delete expired data."""
    require_extra("maintenance")
    environment.load("maintenance")
    from chassis.http.service import serve
    from chassis.settings import load
    from services.maintenance.main import create_app
    from services.maintenance.settings import MaintenanceSettings

    settings = load(MaintenanceSettings)
    serve(create_app(settings), settings)
