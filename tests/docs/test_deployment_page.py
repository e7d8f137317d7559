from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sparkscore.config import deployment_json_schema, load_deployment
from sparkscore.config.json_schema import known_keys
from sparkscore.config.not_yet import REFUSED, UNAPPLIED

PAGE = Path(__file__).parents[2] / "docs" / "deployment.md"
AZURE_SCHEMA = "https://azuremlschemas.azureedge.net/latest/batchDeployment.schema.json"
# The page says these with the section that they belong to.
ELSEWHERE = {"settings.environment_variables", "settings.instance_count"}
SECTIONS = (
    "",
    "model",
    "code_configuration",
    "settings",
    "settings.retry_settings",
    "input",
    "output",
    *("python", "sql"),
)
AZURE_SECTIONS = ("resources", "environment")
# Keys that only Azure's service reads; they have one table at the end of the page.
RECORDED = "recorded"
DEFAULTS_OF_AZURE = "Azure's"


@dataclass(frozen=True)
class Key:
    name: str
    meaning: str
    default: str
    azure: str
    status: str


def keys_of(section: str) -> Iterator[Key]:
    ours, azure = effective(None), effective(AZURE_SCHEMA)
    for name, value in properties_of(section).items():
        path = f"{section}.{name}".lstrip(".")
        if is_listed(path, value):
            default = "required" if name in node_of(section).get("required", ()) else shown(ours, path)
            yield Key(path, meaning_of(value), default, shown(azure, path), status_of(path, value))


def node_of(section: str) -> dict[str, Any]:
    schema = node = deployment_json_schema()
    for part in filter(None, section.split(".")):
        node = schema["$defs"][reference_of(node["properties"][part])]
    return node


def properties_of(section: str) -> dict[str, Any]:
    return dict(node_of(section)["properties"])


def reference_of(value: Mapping[str, Any]) -> str:
    references = [str(option["$ref"]) for option in (value, *value.get("anyOf", ())) if "$ref" in option]
    return references[0].rpartition("/")[2] if references else ""


def is_listed(path: str, value: Mapping[str, Any]) -> bool:
    """Leave out sections, which have tables of their own, and the second places of settings."""
    return not (path in ELSEWHERE or path in properties_of("settings") or reference_of(value))


def meaning_of(value: Mapping[str, Any]) -> str:
    # The default of Azure and what is not applied have places of their own.
    text = re.sub(r" \S+ when absent in a file with Azure's \$schema\.", "", str(value["description"]))
    text = text.replace("; not applied yet.", ".")
    choices = choices_of(value)
    if all(choice in text for choice in choices):
        return text
    return f"{text} One of {', '.join(f'`{choice}`' for choice in choices)}."


def choices_of(value: Mapping[str, Any]) -> list[str]:
    lists = [option["enum"] for option in (value, *value.get("anyOf", ())) if "enum" in option]
    return [str(choice) for choice in (lists[0] if lists else ()) if not str(choice).isupper()]


def effective(schema: str | None) -> dict[str, Any]:
    overrides = {"$schema": schema} if schema else {}
    return load_deployment(None, overrides).model_dump(mode="json", by_alias=True)


def shown(deployment: Mapping[str, Any], path: str) -> str:
    value: Any = deployment
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if path == "$schema" or value in (None, [], {}):
        return ""
    return f"`{value}`"


def status_of(path: str, value: Mapping[str, Any]) -> str:
    tests = [test for key, test, _ in REFUSED if key == path]
    if path in UNAPPLIED:
        return "Not applied yet."
    if any(test("anything") for test in tests):
        return "Refused for now."
    refused = [each for each in (*choices_of(value), "table:NAME") if any(test(each) for test in tests)]
    return f"Refused for now: {', '.join(f'`{each}`' for each in refused)}." if refused else ""


def is_recorded(key: Key) -> bool:
    return key.meaning.endswith("; recorded.")


def table_of_recorded() -> str:
    keys = [key for section in (*SECTIONS, *AZURE_SECTIONS) for key in keys_of(section) if is_recorded(key)]
    rows = [f"| `{key.name}` | {key.meaning.removesuffix('; recorded.')}. |" for key in keys]
    return "\n".join(["| key | meaning |", "|---|---|", *rows])


def table_of(section: str) -> str:
    if section == RECORDED:
        return table_of_recorded()
    lines = [f"| key | meaning | default | {DEFAULTS_OF_AZURE} |", "|---|---|---|---|"]
    for key in keys_of(section):
        if is_recorded(key):
            continue
        meaning = f"{key.meaning} **{key.status}**" if key.status else key.meaning
        azure = key.azure if key.default not in (key.azure, "required") else ""
        lines.append(f"| `{key.name}` | {meaning} | {key.default} | {azure} |".replace("  |", " |"))
    return "\n".join(lines)


@pytest.mark.parametrize("section", [*SECTIONS, *AZURE_SECTIONS, RECORDED])
def test_each_table_says_what_the_schema_says(section: str) -> None:
    mark = f"<!-- keys: {section or 'top level'} -->"
    text = PAGE.read_text(encoding="utf-8")
    expected = f"{mark}\n{table_of(section)}\n"
    if os.environ.get("UPDATE_DOCS"):
        text = re.sub(rf"{re.escape(mark)}\n(?:\|.*\n)*", lambda _: expected, text)
        PAGE.write_text(text, encoding="utf-8")

    assert expected in text, "the page has drifted: UPDATE_DOCS=1 pytest tests/docs/test_deployment_page.py writes it"


def test_every_key_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    missing = [path for path in paths_of(known_keys()) if f"`{path}`" not in text]

    assert missing == []


def paths_of(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, below in tree.items():
        yield f"{prefix}{name}"
        if below:
            yield from paths_of(below, f"{prefix}{name}.")


def test_the_page_names_no_key_that_is_none() -> None:
    known = set(paths_of(known_keys()))
    named = set(re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE))

    assert named - known == set()
    assert len(named) > 60


def test_the_settings_that_may_stand_at_the_top_level_may(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    listed = re.search(r"<!-- top level, too -->\n(.+?)\n\n", text, flags=re.DOTALL)
    assert listed
    names = re.findall(r"`([^`]+)`", listed[1])
    for name in names:
        value = {"max_retries": 2} if name == "retry_settings" else {"output_action": "append_row"}.get(name, 7)
        value = {"output_file_name": "a.csv", "logging_level": "info"}.get(name, value)
        file = tmp_path / "deployment.yml"
        file.write_text(yaml.safe_dump({name: value}), encoding="utf-8")

        chosen = load_deployment(file).chosen()

        assert any(key.startswith(f"settings.{name}") for key in chosen)
    both = properties_of("settings").keys() & properties_of("").keys()
    assert set(names) == both - {"environment_variables"}
