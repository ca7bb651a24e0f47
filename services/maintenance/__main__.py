"""Run the maintenance service: ``python -m services.maintenance``. Settings come from the environment."""

from chassis.extras import require_extra

if __name__ == "__main__":
    # Before the imports, which fail when the extra's packages are missing.
    require_extra("maintenance")
    from chassis.http.service import serve
    from chassis.settings import load
    from services.maintenance.main import create_app
    from services.maintenance.settings import MaintenanceSettings

    settings = load(MaintenanceSettings)
    serve(create_app(settings), settings)
