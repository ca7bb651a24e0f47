"""Run the eligibility service: ``python -m services.eligibility``. Settings come from the environment."""

from chassis.http.service import serve
from chassis.settings import load
from services.eligibility.main import create_app
from services.eligibility.settings import EligibilitySettings

if __name__ == "__main__":
    settings = load(EligibilitySettings)
    serve(create_app(settings), settings)
