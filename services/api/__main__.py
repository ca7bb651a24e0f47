"""``python -m services.api``: the API, with its settings from the environment."""

from chassis.service import serve
from chassis.settings import load
from services.api.main import create_app
from services.api.settings import ApiSettings

if __name__ == "__main__":
    settings = load(ApiSettings)
    serve(create_app(settings), settings)
