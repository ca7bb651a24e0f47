"""Run the exporter: ``python -m services.exporter``. Settings come from the environment."""

from chassis.http.service import serve
from chassis.settings import load
from services.exporter.main import create_app
from services.exporter.settings import ExporterSettings

if __name__ == "__main__":
    settings = load(ExporterSettings)
    serve(create_app(settings), settings)
