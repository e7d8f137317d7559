"""Every integer of a deployment is bounded by what the next layer takes, and refused by its key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from sparkscore.config import Deployment, load_deployment
from sparkscore.errors import ConfigError

LARGEST = 2**31 - 1
KEYS = [
    "chunk_size",
    "settings.error_threshold",
    "settings.max_concurrency_per_instance",
    "settings.mini_batch_error_threshold",
    "settings.mini_batch_size",
    "settings.retry_settings.max_retries",
    "settings.retry_settings.timeout",
    "resources.instance_count",
    "resources.max_instance_count",
]


def integer_keys(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from integer_keys(kind, f"{prefix}{name}.")
        elif kind in (int, int | None):
            yield f"{prefix}{name}"


def test_every_integer_is_among_those_that_are_tried() -> None:
    assert set(integer_keys(Deployment)) - {"input.version"} <= set(KEYS)


@pytest.mark.parametrize("value", [3_000_000_000, LARGEST + 1, -(2**31), -2, 10**30, 1.5, 2.0, True, "ten", "1e3", []])
@pytest.mark.parametrize("key", KEYS)
def test_what_no_layer_takes_is_refused_by_its_key(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=key.rpartition(".")[2]):
        load_deployment(None, {key: value})


@pytest.mark.parametrize("digits", [19, 400, 5000])
@pytest.mark.parametrize("key", ["chunk_size", "settings.mini_batch_size", "input.version"])
def test_huge_integers_in_a_file_are_refused_by_their_key(tmp_path: Path, key: str, digits: int) -> None:
    section, _, name = key.rpartition(".")
    line = f"{name}: {'9' * digits}\n"
    (tmp_path / "deployment.yml").write_text(f"{section}:\n  {line}" if section else line)

    with pytest.raises(ConfigError) as caught:
        load_deployment(tmp_path / "deployment.yml", {})
    assert name in str(caught.value)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("key", [key for key in KEYS if not key.endswith("timeout")])
def test_the_largest_integer_is_taken(key: str) -> None:
    load_deployment(None, {key: LARGEST})
