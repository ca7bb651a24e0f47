"""The facts behind a decision: a drive, and a student with their offers, applications, conduct and penalties.

``None`` means that a fact is not on record. It never stands for zero, "no" or an empty list.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AwareDatetime, BeforeValidator, Field

from contracts.drives import Criteria
from contracts.policy.values import (
    ApplicationState,
    Day,
    DriveClass,
    Name,
    OfferState,
    OfferType,
    PolicyModel,
    Rupees,
    Source,
    Text,
)


def _moment(value: Any) -> Any:
    """Return a moment. Text without an offset is in UTC. A day stands for its first moment."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def _zone(value: Any) -> Any:
    try:
        return value if isinstance(value, ZoneInfo) else ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError) as error:
        raise ValueError("must be a time zone such as Asia/Kolkata") from error


Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
Zone = Annotated[Any, BeforeValidator(_zone)]
Attribute = bool | int | Decimal | str | list[str] | None


class Classified(PolicyModel):
    """The facts that drives and offers share. ``ctc``: total pay per year; ``fixed``: its fixed part."""

    company: Text | None = None
    type: OfferType = OfferType.FTE
    class_: DriveClass | None = Field(default=None, alias="class")
    category: Name | None = None
    level: Name | None = None
    ctc: Rupees | None = None
    fixed: Rupees | None = None
    joining: Day | None = None
    day: Day | None = None
    session: Text | None = None


class DriveFacts(Classified):
    """A drive. ``criteria``: its requirements on marks and branch, if any."""

    id: Text = "drive"
    phase: str | int | None = None
    opened_at: Moment | None = None
    criteria: Criteria | None = None


class OfferFacts(Classified):
    """An offer. ``conversion``: the later decision on a full-time job after an internship."""

    id: Text = "offer"
    drive: Text | None = None
    source: Source = Source.CAMPUS
    state: OfferState
    announced_at: Moment | None = None
    opened_at: Moment | None = None
    accepted_at: Moment | None = None
    deadline: Moment | None = None
    end_reason: Literal["reneged", "company", "correction", "forfeited"] | None = None
    conversion: Literal["pending", "converted", "not_converted"] = "pending"


class ApplicationFacts(PolicyModel):
    """An application. ``shortlisted``: it passed at least one round."""

    drive: DriveFacts
    state: ApplicationState = ApplicationState.ACTIVE
    at: Moment | None = None
    phase: str | int | None = None
    shortlisted: bool | None = None


class ConductFacts(PolicyModel):
    """One recorded act. ``drive_at``: when the drive begins; ``excused``: an appeal was upheld."""

    kind: Literal["present", "absent", "withdrawn", "late_withdrawal", "reneged", "misconduct"]
    at: Moment
    drive_at: Moment | None = None
    company: Text | None = None
    category: Name | None = None
    level: Name | None = None
    excused: bool = False


class PenaltyFacts(PolicyModel):
    """A penalty that staff imposed. Penalties that the policy derives from conduct are not among them."""

    scope: Literal["season", "category", "level", "company", "next_drives"]
    value: Text | None = None
    since: Moment
    until: Moment | None = None
    drives: int | None = None
    lifted: bool = False


class ExceptionFacts(PolicyModel):
    """An exception for this student or drive. Its reason is stored elsewhere."""

    id: Text = "exception"
    effect: Literal["allow", "deny"]
    of: Literal["criteria", "policy", "cap", "penalty"]
    scope: Literal["student", "drive", "both", "company", "season"] = "student"
    drive: Text | None = None
    company: Text | None = None
    expires_at: Moment | None = None


class CohortFacts(PolicyModel):
    placed: int = Field(ge=0)
    of: int = Field(ge=0)


class StudentFacts(PolicyModel):
    """The facts about one student in one season. ``upgrades_used``: if ``None``, it is computed from the offers."""

    id: Text = "student"
    attributes: dict[str, Attribute] = Field(default={})
    offers: list[OfferFacts] | None = Field(default=[])
    applications: list[ApplicationFacts] | None = Field(default=[])
    conduct: list[ConductFacts] | None = Field(default=[])
    penalties: list[PenaltyFacts] = Field(default=[])
    exceptions: list[ExceptionFacts] = Field(default=[])
    dream_company: Text | None = None
    dream_used: bool | None = None
    upgrades_used: int | None = None
    cohorts: dict[str, CohortFacts] = Field(default={})


class SeasonFacts(PolicyModel):
    """``drives_opened``: when each drive of the season opened, for penalties on the next drives."""

    now: Moment
    start: Day | None = None
    end: Day | None = None
    timezone: Zone = ZoneInfo("UTC")
    drives_opened: list[Moment] | None = None

    def day_of(self, moment: datetime) -> date:
        return moment.astimezone(self.timezone).date()


class Facts(PolicyModel):
    """The facts of one decision: may this student apply to this drive now?"""

    season: SeasonFacts
    student: StudentFacts
    drive: DriveFacts
