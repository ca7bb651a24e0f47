"""The slots of a cron schedule in a time zone, also when clocks change, and the slots that a replica records."""

from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from chassis.days import zone_of
from chassis.settings import load
from contracts.maintenance import RefreshCause
from services.maintenance.schedule import MISSED_AFTER, Cron, change_id, due, is_ahead, refresh_id
from services.maintenance.settings import MaintenanceSettings

BERLIN = ZoneInfo("Europe/Berlin")  # 2026-03-29 02:00 becomes 03:00, 2026-10-25 03:00 becomes 02:00
SECOND = timedelta(seconds=1)


def at(text: str, zone: ZoneInfo | None = None) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone or UTC)


def local(cron: Cron, begin: str, end: str) -> list[str]:
    """Return the slots after ``begin`` up to ``end``, in the time of Berlin with its offset from UTC."""
    slots, slot, last = [], at(begin, BERLIN).astimezone(UTC), at(end, BERLIN)
    while (slot := cron.after(slot)) <= last:
        assert cron.newest(slot) == slot
        assert cron.newest(slot + SECOND / 2) == slot
        slots.append(slot.astimezone(BERLIN).strftime("%d %H:%M%z"))
    return slots


@pytest.mark.parametrize(
    ("expression", "now", "newest", "after"),
    [
        ("0 * * * *", "2026-11-24T10:00:00", "2026-11-24T10:00:00", "2026-11-24T11:00:00"),
        ("0 * * * *", "2026-11-24T10:59:59.999999", "2026-11-24T10:00:00", "2026-11-24T11:00:00"),
        ("*/15 8-18 * * MON-FRI", "2026-11-24T07:00:00", "2026-11-23T18:45:00", "2026-11-24T08:00:00"),
        ("* * * * * *", "2026-11-24T10:00:00.3", "2026-11-24T10:00:00", "2026-11-24T10:00:01"),
        ("*/10 * * * * *", "2026-11-24T10:00:00", "2026-11-24T10:00:00", "2026-11-24T10:00:10"),
        ("0 0 29 2 *", "2026-11-24T10:00:00", "2024-02-29T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 L * *", "2026-11-24T10:00:00", "2026-10-31T00:00:00", "2026-11-30T00:00:00"),
    ],
)
def test_the_slots_before_and_after_a_moment(expression: str, now: str, newest: str, after: str) -> None:
    cron = Cron(expression, ZoneInfo("UTC"))
    assert cron.newest(at(now)) == at(newest)
    assert cron.after(at(now)) == at(after)


def test_a_schedule_uses_its_time_zone() -> None:
    cron = Cron("30 6 * * *", zone_of("Asia/Kolkata"))
    assert cron.after(at("2026-11-24T00:00")) == at("2026-11-24T01:00")


def test_a_slot_in_a_skipped_hour_moves_to_the_end_of_the_gap() -> None:
    expected = ["28 02:30+0100", "29 03:00+0200", "30 02:30+0200"]
    assert local(Cron("30 2 * * *", BERLIN), "2026-03-27T12:00", "2026-03-30T12:00") == expected


def test_a_slot_in_a_repeated_hour_happens_once() -> None:
    expected = ["24 02:30+0200", "25 02:30+0200", "26 02:30+0100"]
    assert local(Cron("30 2 * * *", BERLIN), "2026-10-23T12:00", "2026-10-26T12:00") == expected


def test_an_hourly_schedule_has_a_slot_in_every_elapsed_hour() -> None:
    hourly = Cron("0 * * * *", BERLIN)
    assert len(local(hourly, "2026-03-29T00:00", "2026-03-30T00:00")) == 23
    assert len(local(hourly, "2026-10-25T00:00", "2026-10-26T00:00")) == 25
    assert local(hourly, "2026-10-25T01:00", "2026-10-25T03:00") == ["25 02:00+0200", "25 02:00+0100", "25 03:00+0100"]


@pytest.mark.parametrize("expression", ["30 2 * * *", "0,30 1-3 * * *", "*/20 * * * *", "0 30 2 * * *", "0 0 * * *"])
@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25", "2026-11-24"])
def test_the_same_slots_are_found_from_any_moment(expression: str, day: str) -> None:
    """Replicas start and look for slots at any moment, also while clocks change. All must find the same slots."""
    cron, random = Cron(expression, BERLIN), Random(7)
    begin = at(f"{day}T00:00", BERLIN).astimezone(UTC) - timedelta(hours=3)
    every, slot = [], begin
    while (slot := cron.after(slot)) < begin + timedelta(hours=32):
        every.append(slot)
    assert every == sorted(set(every))
    for _ in range(300):
        moment = begin + timedelta(seconds=random.uniform(0, 31 * 3600))
        before = [slot for slot in every if slot <= moment]
        behind = [slot for slot in every if slot > moment]
        if before:
            assert cron.newest(moment) == before[-1]
        if behind:
            assert cron.after(moment) == behind[0]


def test_a_starting_replica_records_only_the_newest_missed_slot() -> None:
    hourly = Cron("0 * * * *", ZoneInfo("UTC"))
    assert due(hourly, None, at("2026-11-24T10:20")) == at("2026-11-24T10:00")
    assert due(hourly, at("2026-11-24T10:00"), at("2026-11-24T10:20")) is None
    assert due(hourly, at("2026-11-24T03:00"), at("2026-11-24T10:20")) == at("2026-11-24T10:00")


def test_a_replica_that_is_slightly_late_records_each_slot() -> None:
    cron = Cron("* * * * * *", ZoneInfo("UTC"))
    last_recorded = at("2026-11-24T10:00:00")
    assert due(cron, last_recorded, last_recorded + 4.2 * SECOND) == last_recorded + SECOND
    assert due(cron, last_recorded, last_recorded + SECOND + MISSED_AFTER) == last_recorded + SECOND
    assert (
        due(cron, last_recorded, last_recorded + 1.5 * SECOND + MISSED_AFTER) == last_recorded + SECOND + MISSED_AFTER
    )


def test_the_refresh_id_depends_on_the_moment_and_not_on_its_time_zone() -> None:
    slot = at("2026-11-24T10:00")
    assert refresh_id(RefreshCause.SCHEDULE, slot) == refresh_id(RefreshCause.SCHEDULE, slot.astimezone(BERLIN))
    others = [(RefreshCause.SCHEDULE, slot + SECOND), (RefreshCause.CHANGE, slot)]
    assert refresh_id(RefreshCause.SCHEDULE, slot) not in [refresh_id(*other) for other in others]
    assert refresh_id(RefreshCause.SCHEDULE, slot, again=True) != refresh_id(RefreshCause.SCHEDULE, slot)


def test_a_recorded_slot_in_the_future_means_that_a_clock_was_ahead() -> None:
    now = at("2026-11-24T10:00")
    assert is_ahead(now + 3600 * SECOND, now)
    assert not is_ahead(now, now)
    assert not is_ahead(now + SECOND, now), "a small difference is normal clock correction"


def test_the_id_of_a_change_depends_on_the_former_refresh_and_the_change() -> None:
    refresh, other_refresh = UUID(int=1), UUID(int=2)
    ids = {change_id(refresh, 7), change_id(other_refresh, 7), change_id(refresh, 8), change_id(None, 7)}
    assert len(ids) == 4
    assert change_id(refresh, 7) in ids


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("0 25 * * *", "field 2, the hour, is '25': it takes 0-23"),
        ("61 * * * *", "field 1, the minute, is '61': it takes 0-59"),
        ("0 0 * FOO *", "field 4, the month, is 'FOO': it takes 1-12 or JAN-DEC"),
        ("0 0 * * MON-XXX", "field 5, the day-of-week, is 'MON-XXX'"),
        ("99 0 0 * * *", "field 1, the second, is '99'"),
        ("0 0 30 2 *", "field 3, the day-of-month, is '30'"),
        ("*/0 * * * *", "field 1, the minute, is '*/0'"),
        ("0 * * *", "has 4 fields, and needs five: minute hour day-of-month month day-of-week"),
        ("", "has 0 fields"),
        ("@hourly", "has 1 fields"),
    ],
)
def test_a_wrong_schedule_fails_the_start_and_the_error_names_the_field(
    monkeypatch: pytest.MonkeyPatch, expression: str, message: str
) -> None:
    with pytest.raises(ValueError, match="field") as raised:
        Cron(expression, ZoneInfo("UTC"))
    assert message in str(raised.value)
    monkeypatch.setenv("MATERIALIZED_VIEW_REFRESH_INTERVAL", expression)
    assert message in start_error(monkeypatch)
    assert start_error(monkeypatch).startswith("MATERIALIZED_VIEW_REFRESH_INTERVAL is wrong: ")


@pytest.mark.parametrize("zone", ["Asia/Calkutta", "", "../etc/passwd", "India Standard Time", "Europe"])
def test_an_unknown_time_zone_fails_the_start(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    monkeypatch.setenv("TZ", zone)
    message = start_error(monkeypatch)
    assert message.startswith("TZ is wrong: ")
    assert f"{zone!r} is not a time zone" in message


def start_error(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DATABASE_URL", "postgresql://placewire_maintenance@localhost/placewire")
    monkeypatch.setenv("INTERNAL_SECRET", "x" * 32)
    monkeypatch.setenv("STORAGE_URL", "file:///tmp/uploads")
    with pytest.raises(SystemExit) as refusal:
        load(MaintenanceSettings)
    return str(refusal.value)
