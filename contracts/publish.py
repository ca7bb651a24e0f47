"""Write the published JSON Schemas, for ``placewire contracts``. Tests compare them with the classes and the last
release."""

import json
from pathlib import Path

from contracts.catalogue import EVENTS
from contracts.jobs import Job
from contracts.message import Envelope
from contracts.policy.document import Policy

FOLDER = Path(__file__).parent / "schemas"
# This folder has one subfolder, named by the version of the last release.
RELEASED = Path(__file__).parent / "released"
# The schema of the policy document. With it, editors check a policy while a user writes it.
POLICY = "placement-policy.json"


def schemas() -> dict[str, str]:
    """Return file names and contents for every event, the envelope, the job and the policy. Deterministic."""
    documents = {f"{type_}.json": cls.model_json_schema() for type_, cls in EVENTS.items()}
    documents["envelope.json"] = Envelope.model_json_schema()
    documents["job.json"] = Job.model_json_schema()
    documents[POLICY] = Policy.model_json_schema()
    return {name: json.dumps(schema, indent=2, sort_keys=True) + "\n" for name, schema in documents.items()}


def released(folder: Path = RELEASED) -> dict[str, str]:
    """Return file names and contents of the last release. Stored events follow these schemas."""
    return {path.name: path.read_text() for path in folder.glob("*/*.json")}


def write(folder: Path = FOLDER) -> None:
    _replace(folder, schemas())


def release(version: str, folder: Path = RELEASED) -> None:
    """Replace the schemas of the last release by the current ones. Keep the schemas of retired types."""
    documents = released(folder) | schemas()
    for old in folder.glob("*"):
        if old.name != version:
            _replace(old, {})
            old.rmdir()
    _replace(folder / version, documents)


def _replace(folder: Path, documents: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stale in {path.name for path in folder.glob("*.json")} - documents.keys():
        (folder / stale).unlink()
    for name, content in documents.items():
        (folder / name).write_text(content)


if __name__ == "__main__":
    write()
