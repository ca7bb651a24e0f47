"""The state of the installation: breakers, outbox, unfinished jobs, refreshes and their schedule. Only for heads."""

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import Response

from contracts.users import Role
from services.console.visit import Visit, allowed

router = APIRouter(prefix="/console/operations")

Head = Annotated[Visit, allowed(Role.HEAD)]


@router.get("")
async def operations(visit: Head) -> Response:
    """Return the page."""
    return visit.page("operations/operations.html", found=await visit.api.get("/api/operations"))


@router.get("/state")
async def state(visit: Head) -> Response:
    """Return the part of the page that changes."""
    return visit.page("operations/state.html", found=await visit.api.get("/api/operations"))
