"""Read a policy document or a file of facts, and report each error with its line."""

import copy
import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from contracts.policy.document import Policy
from contracts.policy.grammar import NAMED, TAG
from services.api.policy.json_reader import read_json
from services.api.policy.located import InvalidDocument, Located, Path, Problem, decoded
from services.api.policy.questions import open_questions, question_about
from services.api.policy.yaml_reader import read_yaml

Model = TypeVar("Model", bound=BaseModel)
MAX_PROBLEMS = 50


def read_document(content: bytes) -> Located:
    """Return the values of a YAML or JSON file. JSON begins with { or [. Raise ``InvalidDocument`` if malformed."""
    text = decoded(content)
    return read_json(text) if text.lstrip(" \t\r\n").startswith(("{", "[")) else read_yaml(text)


def parse_policy(content: bytes) -> tuple[Policy, Located]:
    """Return the policy in ``content``, YAML or JSON, and where its parts are written.

    Raise ``InvalidDocument`` with every problem. A question that the document leaves open is a problem too.
    """
    document = read_document(content)
    questions = [document.problem(path, text) for path, text in open_questions(document.value)]
    try:
        policy = parse_as(Policy, document)
    except InvalidDocument as error:
        raise InvalidDocument(_ordered([*error.problems, *questions])) from error
    if questions:
        raise InvalidDocument(_ordered(questions))
    return policy, document


def parse_as(model: type[Model], document: Located) -> Model:
    """Return ``document`` as ``model``. Raise ``InvalidDocument`` with every problem."""
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        raise InvalidDocument(_ordered(_all_problems(model, document, error))) from error


def _all_problems(model: type[Model], document: Located, error: ValidationError) -> list[Problem]:
    """Return the problems of ``error``, and those that appear only after the unknown keys are removed."""
    problems: list[Problem] = []
    rest = copy.deepcopy(document)
    for _ in range(MAX_PROBLEMS):
        problems += _problems(error, rest)
        if not _remove_unknown_keys(error, rest.value):
            break
        try:
            model.model_validate(rest.value)
            break
        except ValidationError as next_error:
            error = next_error
    return problems


def _remove_unknown_keys(error: ValidationError, value: Any) -> bool:
    removed = False
    for each in error.errors(include_url=False):
        if each["type"] == "unknown_key":
            holder = value
            for part in _path_in(value, each["loc"]):
                holder = holder[part]
            for key in each["ctx"]["unknown"]:
                removed = holder.pop(key, None) is not None or removed
    return removed


def _ordered(problems: Iterable[Problem]) -> list[Problem]:
    unique = dict.fromkeys(problems)
    return sorted(unique, key=lambda problem: (problem.line, problem.column))[:MAX_PROBLEMS]


def _problems(error: ValidationError, document: Located) -> Iterator[Problem]:
    for each in error.errors(include_url=False):
        path = _path_in(document.value, each["loc"])
        context: Mapping[str, Any] = each.get("ctx", {})
        match each["type"]:
            case "unknown_key":
                for key in context["unknown"]:
                    yield document.problem((*path, key), _unknown("key", key, context["allowed"]))
            case "no_condition":
                yield document.problem(path, _no_condition(context))
            case "several_conditions":
                names = " and ".join(context["found"])
                yield document.problem(path, f"holds several conditions, {names}: begin each with its own dash")
            case "missing":
                name = str(each["loc"][-1])
                if not question_about((*path, name)):
                    yield document.problem(path, f"the key {name!r} is missing")
            case _:
                yield document.problem(path, _message(each))


def _path_in(value: Any, loc: tuple[int | str, ...]) -> Path:
    """Return ``loc`` without the parts that are not in the document, such as the names of union members."""
    path: Path = ()
    for part in loc:
        if isinstance(part, str) and (part.startswith(TAG) or part == "[key]"):
            continue
        inside = value[part] if _has(value, part) else None
        if not _has(value, part):
            continue
        path, value = (*path, part), inside
    return path


def _has(value: Any, part: int | str) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, dict) and part in value


def _no_condition(context: Mapping[str, Any]) -> str:
    keys, allowed = context["unknown"], context["allowed"]
    if not keys:
        return f"must be a condition, such as {{category_in: [core]}}. Conditions: {', '.join(allowed)}"
    return _unknown("condition", keys[0], allowed)


def _unknown(kind: str, name: str, allowed: list[str]) -> str:
    near = difflib.get_close_matches(name, allowed, n=1, cutoff=0.6)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    if kind == "key" and name in NAMED and not near:
        hint = " It is a condition: begin it with its own dash in a list of conditions."
    return f"unknown {kind} {name!r}.{hint} Allowed: {', '.join(allowed)}"


MESSAGES = {
    "int_type": "must be a whole number",
    "string_type": "must be text: put it in quotes",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be more than {gt}",
    "too_short": "must have at least {min_length}",
    "too_long": "must have at most {max_length}",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must be letters, digits, and _ + . - only, beginning with a letter or digit",
    "enum": "must be one of {expected}",
    "literal_error": "must be {expected}",
}


def _message(error: Any) -> str:
    template = MESSAGES.get(error["type"])
    message = template.format(**error.get("ctx", {})) if template else str(error["msg"])
    value = error.get("input")
    if isinstance(value, str | int | bool) and error["type"] in ("enum", "literal_error"):
        near = difflib.get_close_matches(str(value), error["ctx"]["expected"].replace("'", "").split(), n=1)
        message += f", not {value!r}" + (f". Did you mean {near[0].strip(',')!r}?" if near else "")
    return message
