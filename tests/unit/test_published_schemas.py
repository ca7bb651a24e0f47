"""The published JSON schemas agree with the event classes."""

from contracts.publish import FOLDER, schemas


def test_published_schemas_are_up_to_date() -> None:
    published = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    assert published == schemas(), "run `python -m contracts.publish`"
