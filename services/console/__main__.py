"""``python -m services.console``: the console, with its settings from the environment."""

from chassis.extras import require_extra

if __name__ == "__main__":
    # First: packages that the console imports may be missing.
    require_extra("console")
    from chassis.http.service import serve
    from chassis.settings import load
    from services.console.main import create_app
    from services.console.settings import ConsoleSettings

    settings = load(ConsoleSettings)
    serve(create_app(settings), settings)
