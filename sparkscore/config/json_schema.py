"""The deployment file's JSON schema, for editors and for looking things up; runs on the driver."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any, Final, TypeAlias

from sparkscore.config.canonical import MOVED
from sparkscore.config.deployment import Deployment

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Schema: TypeAlias = dict[str, Any]


def deployment_json_schema() -> Schema:
    """Describe the deployment file as JSON schema (draft 2020-12).

    It accepts the files whose keys and single values the loader accepts. What the loader checks beside that (a DDL, a
    reference that needs a path, a feature that is not there yet) no schema can say.
    """
    schema = Deployment.model_json_schema(by_alias=True, mode="validation")
    definitions = schema["$defs"]
    for section in (schema, *definitions.values()):
        _let_keys_be_empty(section)
    _add_moved_keys(schema, definitions)
    _accept_text(schema, "model")
    _accept_text(schema, "environment")
    _accept_texts(schema, "models")
    return {"$schema": _DIALECT, **schema}


@cache
def known_keys() -> Mapping[str, object]:
    """List the keys that a deployment file may have, as a tree; what is below the user's own names is left out."""
    schema = deployment_json_schema()
    return _key_tree(schema, schema["$defs"])


def _let_keys_be_empty(section: Schema) -> None:
    """Accept ``key:`` without a value: the loader takes it for absent."""
    properties = section["properties"]
    for name, value in properties.items():
        value.pop("title", None)
        if name not in section.get("required", ()) and not _accepts_null(value):
            outside = {key: value.pop(key) for key in ("description", "default") if key in value}
            properties[name] = {"anyOf": [value, {"type": "null"}], **outside}


def _accepts_null(value: Schema) -> bool:
    options = value.get("anyOf", [])
    return not value.keys() - {"description", "default"} or {"type": "null"} in options


def _add_moved_keys(schema: Schema, definitions: Schema) -> None:
    """Let the keys that may stand in two places stand in either, not in both."""
    places: dict[tuple[str, ...], Schema] = {(): schema}
    for name in ("settings", "resources"):
        places[name,] = definitions[_definition(schema, name)]
    copies = {old: deepcopy(places[new[:-1]]["properties"][new[-1]]) for old, new in MOVED.items()}
    for old, copy in copies.items():
        places[old[:-1]]["properties"][old[-1]] = copy
    schema["allOf"] = [{"not": {"allOf": [_has(old), _has(new)]}} for old, new in MOVED.items()]


def _has(path: tuple[str, ...]) -> Schema:
    """Require a value at a place."""
    condition: Schema = {"not": {"type": "null"}}
    for key in reversed(path):
        condition = {"type": "object", "required": [key], "properties": {key: condition}}
    return condition


def _accept_text(schema: Schema, key: str) -> None:
    schema["properties"][key]["anyOf"].insert(0, {"type": "string", "minLength": 1})


def _accept_texts(schema: Schema, key: str) -> None:
    """Let each value of a mapping be a text instead of a section."""
    mapping = next(option for option in schema["properties"][key]["anyOf"] if "additionalProperties" in option)
    mapping["additionalProperties"] = {"anyOf": [{"type": "string", "minLength": 1}, mapping["additionalProperties"]]}


def _definition(schema: Schema, key: str) -> str:
    """Name the definition that describes a section; empty when the key is no section."""
    value = schema["properties"][key]
    references = [option["$ref"] for option in (value, *value.get("anyOf", [])) if "$ref" in option]
    return str(references[0]).rsplit("/", 1)[-1] if references else ""


def _key_tree(section: Schema, definitions: Schema) -> dict[str, object]:
    return {
        key: _key_tree(definitions[name], definitions) if (name := _definition(section, key)) else None
        for key in section["properties"]
    }
