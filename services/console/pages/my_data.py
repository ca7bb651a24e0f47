"""What is stored about the signed-in person, and who looked at it."""

from fastapi import APIRouter
from fastapi.responses import Response

from services.console.downloads import stream_file
from services.console.visit import SignedIn

router = APIRouter(prefix="/console/my-data")


@router.get("")
async def my_data(visit: SignedIn) -> Response:
    """Return everything, in sections."""
    return visit.page("my_data/my_data.html", data=await visit.api.get("/api/me/data", format="json"))


@router.get("/file")
async def file(visit: SignedIn) -> Response:
    """Return everything as JSON."""
    response = await stream_file(visit, "/api/me/data", format="json")
    response.headers["Content-Disposition"] = 'attachment; filename="my-data.json"'
    return response
