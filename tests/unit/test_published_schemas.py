"""The schemas in the repository are those of the classes."""

from contracts.publish import FOLDER, schemas


def test_schemas_are_published() -> None:
    published = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    assert published == schemas(), "run `python -m contracts.publish`"
