"""Generate the JSON schema of deployment files, for editors and for the list of known keys. Runs on the driver."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any, Final, TypeAlias

from sparkscore.config.azure_keys import MOVED
from sparkscore.config.deployment import Deployment

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Schema: TypeAlias = dict[str, Any]


def deployment_json_schema() -> Schema:
    """Return the JSON schema (draft 2020-12) of deployment files.

    A file that matches the schema may still be rejected by `load_deployment`, for example because of invalid DDL, a
    reference that only Azure can resolve, or a feature that is not supported yet.
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
    """Return the keys that a deployment file may have, as nested dictionaries.

    The value of a section is a dictionary of its keys. The value of any other key is None. Names that the user chooses,
    such as those of environment variables and further models, are not included, nor are the keys below them.
    """
    schema = deployment_json_schema()
    return _key_tree(schema, schema["$defs"])


def _let_keys_be_empty(section: Schema) -> None:
    """Make a section's schema accept ``key:`` without a value, except for required keys.

    The titles that pydantic generates are removed, because they only repeat the keys.
    """
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
    """Make the schema accept each key in `MOVED` at either of its two positions, but not at both.

    For example, ``error_threshold`` may be at the top level or in ``settings``.
    """
    sections: dict[tuple[str, ...], Schema] = {(): schema}
    for name in ("settings", "resources"):
        sections[name,] = definitions[_definition(schema, name)]
    copies = {old: deepcopy(sections[new[:-1]]["properties"][new[-1]]) for old, new in MOVED.items()}
    for old, copy in copies.items():
        sections[old[:-1]]["properties"][old[-1]] = copy
    schema["allOf"] = [{"not": {"allOf": [_has(old), _has(new)]}} for old, new in MOVED.items()]


def _has(path: tuple[str, ...]) -> Schema:
    """Return a schema that matches files in which a key is set to a value other than null.

    Args:
        path: the parts of the key.
    """
    condition: Schema = {"not": {"type": "null"}}
    for key in reversed(path):
        condition = {"type": "object", "required": [key], "properties": {key: condition}}
    return condition


def _accept_text(schema: Schema, key: str) -> None:
    schema["properties"][key]["anyOf"].insert(0, {"type": "string", "minLength": 1})


def _accept_texts(schema: Schema, key: str) -> None:
    """Make the schema also accept strings as values of the mapping at a key, such as ``models``."""
    mapping = next(option for option in schema["properties"][key]["anyOf"] if "additionalProperties" in option)
    mapping["additionalProperties"] = {"anyOf": [{"type": "string", "minLength": 1}, mapping["additionalProperties"]]}


def _definition(schema: Schema, key: str) -> str:
    """Return the name of a section's definition in ``$defs``, or an empty string if the key is not a section."""
    value = schema["properties"][key]
    references = [option["$ref"] for option in (value, *value.get("anyOf", [])) if "$ref" in option]
    return str(references[0]).rsplit("/", 1)[-1] if references else ""


def _key_tree(section: Schema, definitions: Schema) -> dict[str, object]:
    return {
        key: _key_tree(definitions[name], definitions) if (name := _definition(section, key)) else None
        for key in section["properties"]
    }
