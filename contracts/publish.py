"""The published JSON Schemas, and those of the last release: ``placewire contracts`` writes both. Tests compare
them with the classes, and the classes with the last release."""

import json
from pathlib import Path

from contracts.catalogue import EVENTS
from contracts.jobs import Job
from contracts.message import Envelope
from contracts.policy.document import Policy

FOLDER = Path(__file__).parent / "schemas"
# It has one folder, named by the version of the last release.
RELEASED = Path(__file__).parent / "released"
# The one schema of a document that people write. Editors check it while they type.
POLICY = "placement-policy.json"


def schemas() -> dict[str, str]:
    """Return file names and contents for every event, the envelope, the job and the policy, always the same."""
    documents = {f"{type_}.json": cls.model_json_schema() for type_, cls in EVENTS.items()}
    documents["envelope.json"] = Envelope.model_json_schema()
    documents["job.json"] = Job.model_json_schema()
    documents[POLICY] = Policy.model_json_schema()
    return {name: json.dumps(schema, indent=2, sort_keys=True) + "\n" for name, schema in documents.items()}


def released(folder: Path = RELEASED) -> dict[str, str]:
    """Return file names and contents of the last release, whose events are in logs."""
    return {path.name: path.read_text() for path in folder.glob("*/*.json")}


def write(folder: Path = FOLDER) -> None:
    _replace(folder, schemas())


def release(version: str, folder: Path = RELEASED) -> None:
    """Replace the schemas of the last release by the current ones; keep those of retired types."""
    wanted = released(folder) | schemas()
    for old in folder.glob("*"):
        if old.name != version:
            _replace(old, {})
            old.rmdir()
    _replace(folder / version, wanted)


def _replace(folder: Path, wanted: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stale in {path.name for path in folder.glob("*.json")} - wanted.keys():
        (folder / stale).unlink()
    for name, content in wanted.items():
        (folder / name).write_text(content)


if __name__ == "__main__":
    write()
