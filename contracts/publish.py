"""Writes the published JSON Schemas: ``python -m contracts.publish``. A test holds them to the classes."""

import json
from pathlib import Path

from contracts.catalogue import EVENTS
from contracts.jobs import HandedOver
from contracts.message import Envelope

FOLDER = Path(__file__).parent / "schemas"


def schemas() -> dict[str, str]:
    """File name to content, for every event, the envelope and the job protocol. The same classes, the same text."""
    documents = {f"{type_}.json": cls.model_json_schema() for type_, cls in EVENTS.items()}
    documents["envelope.json"] = Envelope.model_json_schema()
    documents["handed-over.json"] = HandedOver.model_json_schema()
    return {name: json.dumps(schema, indent=2, sort_keys=True) + "\n" for name, schema in documents.items()}


def write(folder: Path = FOLDER) -> None:
    folder.mkdir(exist_ok=True)
    wanted = schemas()
    for stale in {path.name for path in folder.glob("*.json")} - wanted.keys():
        (folder / stale).unlink()
    for name, content in wanted.items():
        (folder / name).write_text(content)


if __name__ == "__main__":
    write()
