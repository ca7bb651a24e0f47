"""``placewire run``: one process of the system, in the foreground."""

import typer

from chassis.extras import require_extra
from cli import environment

app = typer.Typer(help="Run one process of the system, until SIGTERM or Ctrl-C.", no_args_is_help=True)


@app.command()
def api() -> None:
    """The public HTTP API."""
    require_extra("api")
    environment.load("api")
    from chassis.service import serve
    from chassis.settings import load
    from services.api.main import create_app
    from services.api.settings import ApiSettings

    settings = load(ApiSettings)
    serve(create_app(settings), settings)


@app.command()
def console() -> None:
    """The web console: HTML for people, over the API."""
    require_extra("console")
    environment.load("console")
    from chassis.service import serve
    from chassis.settings import load
    from services.console.main import create_app
    from services.console.settings import ConsoleSettings

    settings = load(ConsoleSettings)
    serve(create_app(settings), settings)


@app.command()
def relay() -> None:
    """Brings recorded events from the outbox to Kafka. Several may run: one leads."""
    require_extra("relay")
    environment.load("relay")
    from chassis.relay_process import RelaySettings, create_app
    from chassis.service import serve
    from chassis.settings import load

    settings = load(RelaySettings)
    serve(create_app(settings), settings)


@app.command()
def eligibility() -> None:
    """Works out who is selected for a drive."""
    require_extra("eligibility")
    environment.load("eligibility")
    from chassis.service import serve
    from chassis.settings import load
    from services.eligibility.main import create_app
    from services.eligibility.settings import EligibilitySettings

    settings = load(EligibilitySettings)
    serve(create_app(settings), settings)


@app.command()
def exporter() -> None:
    """Writes files from the tables, into storage."""
    require_extra("exporter")
    environment.load("exporter")
    from chassis.service import serve
    from chassis.settings import load
    from services.exporter.main import create_app
    from services.exporter.settings import ExporterSettings

    settings = load(ExporterSettings)
    serve(create_app(settings), settings)


@app.command()
def maintenance() -> None:
    """Refreshes the views, and keeps the clock."""
    require_extra("maintenance")
    environment.load("maintenance")
    from chassis.service import serve
    from chassis.settings import load
    from services.maintenance.main import create_app
    from services.maintenance.settings import MaintenanceSettings

    settings = load(MaintenanceSettings)
    serve(create_app(settings), settings)
