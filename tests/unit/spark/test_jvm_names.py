from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sparkscore.errors import ConfigError
from sparkscore.spark.jvm_names import refuse_colons_in_patterns, refuse_unreadable_names


def _session(encoding: str) -> Any:
    system = SimpleNamespace(getProperty=lambda _: encoding)
    return SimpleNamespace(_jvm=SimpleNamespace(java=SimpleNamespace(lang=SimpleNamespace(System=system))))


def test_a_jvm_of_ascii_is_refused_names_beyond_it_with_the_line_that_helps() -> None:
    with pytest.raises(ConfigError, match=r"LC_ALL=C\.UTF-8") as caught:
        refuse_unreadable_names(_session("ANSI_X3.4-1968"), ["/in/a.csv", "/in/ü.csv"])

    assert caught.value.code == "NAME_ENCODING"
    assert "ü.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("session", "names"),
    [(_session("ANSI_X3.4-1968"), ["/in/a b.csv"]), (_session("UTF-8"), ["/in/ü.csv"]), (object(), ["/in/ü.csv"])],
)
def test_other_names_and_sessions_are_taken(session: Any, names: list[str]) -> None:
    refuse_unreadable_names(session, names)


@pytest.mark.parametrize("place", ["/a:b/[x]", "/{a}/10:30", "/a*:", "file:/a:b/x%5By%5D"])
def test_a_colon_beside_signs_of_a_pattern_is_refused(place: str) -> None:
    with pytest.raises(ConfigError, match=r"NAME_COLON.*Name another folder") as caught:
        refuse_colons_in_patterns(["/fine", place])

    assert caught.value.code == "NAME_COLON"


def test_a_colon_alone_and_signs_alone_are_taken() -> None:
    refuse_colons_in_patterns(["/a:b/out", "/a/[b]{c}*", "file:/a:b", "file:///a%3Ab/c"])
