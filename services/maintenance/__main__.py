"""``python -m services.maintenance``: the service, with its settings from the environment."""

from chassis.service import serve
from chassis.settings import load
from services.maintenance.main import create_app
from services.maintenance.settings import MaintenanceSettings

if __name__ == "__main__":
    settings = load(MaintenanceSettings)
    serve(create_app(settings), settings)
