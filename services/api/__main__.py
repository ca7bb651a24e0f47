"""``python -m services.api``: the API, with its settings from the environment."""

from chassis.extras import require_extra

if __name__ == "__main__":
    # First: packages that the service imports may be missing.
    require_extra("api")
    from chassis.http.service import serve
    from chassis.settings import load
    from services.api.main import create_app
    from services.api.settings import ApiSettings

    settings = load(ApiSettings)
    serve(create_app(settings), settings)
