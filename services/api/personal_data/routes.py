"""Personal data over HTTP."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response

from chassis.database import Connection
from chassis.identity import Principal
from services.api.access import ANYONE, AccessFirstRoute, allow
from services.api.context import Ctx
from services.api.long_lists import Write
from services.api.personal_data import documents, page
from services.api.personal_data.media_type import Format, preferred
from services.api.personal_data.own_data import Kept, write_json, write_page
from services.api.personal_data.sections import ACCESS_LOG_KEPT, KEYS_KEPT

router = APIRouter(route_class=AccessFirstRoute, prefix="/api", tags=["personal data"])


@router.get("/me/data", **documents.OWN_DATA)
async def own_data(
    ctx: Ctx,
    who: Annotated[Principal, allow(*ANYONE)],
    accept: Annotated[str, Header(description="`text/html`: as a page")] = "*/*",
    format_: Annotated[Format | None, Query(alias="format", description="comes before Accept")] = None,
) -> Response:
    """Everything that is stored about the caller, as JSON or as a page: also who looked at their record, and when."""
    kept = {KEYS_KEPT: ctx.settings.idempotency_keys_kept, ACCESS_LOG_KEPT: ctx.settings.access_log_kept}
    as_page = (format_ or preferred(accept)) == "html"
    produce = partial(_produce, who.user_id, kept, as_page)
    answer = await ctx.long_lists.answer(produce, media_type="text/html" if as_page else "application/json")
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Vary"] = "Accept"
    if as_page:
        answer.headers["Content-Security-Policy"] = page.POLICY
    return answer


async def _produce(person_id: int, kept: Kept, as_page: bool, connection: Connection, write: Write) -> None:
    await (write_page if as_page else write_json)(connection, write, person_id, kept)
