"""Holds manifests to the schemas of their kinds: Kubernetes' own, and those of custom resource definitions."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

from tests.manifests.building import Manifest, title

# The oldest that knows all we use (preStop with sleep), and the newest.
VERSIONS = ("1.30", "1.37")

Schemas = dict[tuple[str, str], Any]


def of_kubernetes(manifest: Manifest) -> Iterator[str]:
    """What Kubernetes would refuse: unknown fields, wrong types, what is missing."""
    for version in VERSIONS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)  # it does not close the files it reads
                kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            place = ".".join(str(part) for part in error.path)
            yield f"{title(manifest)}: {place}: {error.message} (Kubernetes {version})"


def read_definitions(folder: Path) -> Schemas:
    """By apiVersion and kind, every version that the definitions in ``folder`` serve; strict, as the API server is."""
    found: Schemas = {}
    for path in sorted(folder.glob("*.yaml")):
        for definition in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader):
            if not definition or definition.get("kind") != "CustomResourceDefinition":
                continue
            spec = definition["spec"]
            for version in spec["versions"]:
                key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                if version["served"]:
                    found[key] = strict(version["schema"]["openAPIV3Schema"], top=True)
    return found


def of_definition(manifest: Manifest, schemas: Schemas) -> Iterator[str]:
    schema = schemas[manifest["apiVersion"], manifest["kind"]]
    for error in jsonschema.Draft202012Validator(schema).iter_errors(manifest):
        place = ".".join(str(part) for part in error.absolute_path)
        yield f"{title(manifest)}: {place}: {error.message}"


def strict(schema: Any, *, top: bool = False) -> Any:
    """``schema`` in JSON Schema's words: what Kubernetes says with words of its own, and no field that is not named."""
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    if isinstance(made.get("properties"), dict):
        made["properties"] = {name: strict(below) for name, below in made["properties"].items()}
        open_ = made.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in made
        if not open_:
            made["additionalProperties"] = False
    if top:
        made["properties"] |= {"metadata": {"type": "object"}, "apiVersion": {}, "kind": {}}
    for word in ("items", "additionalProperties"):
        if isinstance(made.get(word), dict):
            made[word] = strict(made[word])
    if made.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if made.get("nullable"):
        made = {"anyOf": [{"type": "null"}, made]}
    return made
