"""Render templates. Each language has an environment with the same filters and functions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from chassis.browser_assets import BrowserAssets
from services.console import presentation
from services.console.charts import bar_chart, line_chart
from services.console.icons import Icons
from services.console.languages import LANGUAGES, translations

TEMPLATES = Path(__file__).with_name("templates")


class Renderer:
    """Renders templates. Values are escaped unless they are ``Markup``."""

    def __init__(self, assets: BrowserAssets, icons: Icons, zone: ZoneInfo) -> None:
        self._environments = {language: self._environment(language, assets, icons, zone) for language in LANGUAGES}

    def render(self, template: str, language: str, values: Mapping[str, Any]) -> str:
        """Return the page in ``language``."""
        return self._environments[language].get_template(template).render(values)

    @staticmethod
    def _environment(language: str, assets: BrowserAssets, icons: Icons, zone: ZoneInfo) -> Environment:
        environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.policies["ext.i18n.trimmed"] = True
        texts = translations(language)
        environment.install_gettext_translations(texts, newstyle=True)  # type: ignore[attr-defined]
        formats = presentation.Formats(language, zone)
        environment.filters |= {
            "moment": formats.moment,
            "day": formats.day,
            "ago": formats.ago,
            "number": formats.number,
            "age": presentation.age,
            "shown": presentation.shown_value,
            "path": lambda query: urlencode({name: value for name, value in query.items() if value not in (None, "")}),
        }
        environment.globals |= {
            "icon": icons,
            "asset": assets.url,
            "states": presentation.STATES,
            "roles": presentation.ROLES,
            "reasons": presentation.REASONS,
            "readings": presentation.READINGS,
            "field_names": presentation.FIELDS,
            "seconds_between": presentation.seconds_between,
            "languages": LANGUAGES,
            "bar_chart": bar_chart,
            "line_chart": line_chart,
        }
        return environment
