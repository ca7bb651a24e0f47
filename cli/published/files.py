"""Compare and write the published documents."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cli.published import asyncapi, openapi
from contracts.publish import FOLDER, schemas


def wanted() -> dict[Path, str]:
    """Return the current text of every published document, by path."""
    documents = {
        FOLDER.parent / "asyncapi.json": asyncapi.document(version("placewire")),
        FOLDER.parent / "openapi.json": openapi.document(),
    }
    return {FOLDER / name: text for name, text in schemas().items()} | {
        path: _text(document) for path, document in documents.items()
    }


def outdated() -> list[Path]:
    """Return the files that are missing, differ or are no longer published."""
    texts = wanted()
    stale = [path for path in FOLDER.glob("*.json") if path not in texts]
    return sorted([path for path, text in texts.items() if not path.is_file() or path.read_text() != text] + stale)


def write() -> list[Path]:
    """Write the outdated files and return them."""
    texts, changed = wanted(), outdated()
    for path in changed:
        if path in texts:
            path.parent.mkdir(exist_ok=True)
            path.write_text(texts[path])
        else:
            path.unlink()
    return changed


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
