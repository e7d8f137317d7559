from __future__ import annotations

import pytest

from sparkscore.config import load_deployment
from sparkscore.config.json_schema import known_keys
from sparkscore.config.not_yet import REFUSED, UNAPPLIED
from sparkscore.config.problems import dotted
from sparkscore.errors import ConfigError

_CASES: list[tuple[str, object]] = [
    ("settings.output_action", "summary_only"),
    ("input.format", "query"),
    ("input.format", "table"),
    ("input.format", "orc"),
    ("input.format", "avro"),
    ("input.location", "table:main.default.patients"),
    ("input.location", ["/a", "table:patients"]),
    ("output.location", "table:scores"),
]


@pytest.mark.parametrize(("key", "value"), _CASES)
def test_what_would_become_something_else_is_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        load_deployment(None, {key: value})

    assert caught.value.code == "NOT_SUPPORTED_YET"
    assert f"'{key}'" in caught.value.what
    assert caught.value.next_step.endswith(".")


def test_every_refusal_has_a_case() -> None:
    assert {key for key, _, _ in REFUSED} == {key for key, _ in _CASES}


def test_every_key_is_one_of_the_deployment() -> None:
    assert {key for key, _, _ in REFUSED} | UNAPPLIED.keys() <= set(dotted(known_keys()))


def test_a_refusal_shows_no_secret() -> None:
    with pytest.raises(ConfigError) as caught:
        load_deployment(None, {"output.location": "table:a?sig=hunter2"})

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("settings.output_action", "append_row"),
        ("publish", "auto"),
        ("python.check", "strict"),
        ("input.format", "delta"),
        ("input.location", "/table:x"),
        ("input.reader", "spark"),
        ("input.reader", "worker"),
        ("output.writer", "auto"),
        ("output.writer", "worker"),
        ("mini_batch_size", "1MB"),
    ],
)
def test_what_is_there_is_accepted(key: str, value: object) -> None:
    load_deployment(None, {key: value})
