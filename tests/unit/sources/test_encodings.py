from __future__ import annotations

import pytest

from sparkscore.errors import ConfigError
from sparkscore.sources.encodings import given_encoding, with_encoding, wrong_bytes


@pytest.mark.parametrize(
    ("written", "of_spark"),
    [
        ("utf8", "UTF-8"),
        ("UTF-8", "UTF-8"),
        ("utf-8-sig", "UTF-8"),
        ("latin-1", "ISO-8859-1"),
        ("latin1", "ISO-8859-1"),
        ("ISO-8859-1", "ISO-8859-1"),
        ("ascii", "US-ASCII"),
        ("US-ASCII", "US-ASCII"),
        ("utf_16_le", "UTF-16LE"),
        ("UTF-16BE", "UTF-16BE"),
        ("utf-16", "UTF-16"),
        ("UTF-32", "UTF-32"),
    ],
)
@pytest.mark.parametrize("key", ["encoding", "charset", "Encoding"])
def test_an_encoding_gets_the_name_that_spark_takes(key: str, written: str, of_spark: str) -> None:
    found = given_encoding({key: written, "sep": ";"})

    assert found == of_spark
    assert with_encoding({key: written, "sep": ";"}, found) == {"sep": ";", "encoding": of_spark}


@pytest.mark.parametrize(
    "written", ["cp1252", "windows-1252", "iso-8859-15", "utf-7", "base64", "nonsense", "a\0b", ""]
)
def test_an_encoding_that_spark_does_not_read_is_refused_with_those_that_it_does(written: str) -> None:
    with pytest.raises(ConfigError, match=r"\[INPUT_ENCODING\].*ISO-8859-1, US-ASCII, UTF-16, .*UTF-8.*iconv"):
        given_encoding({"encoding": written})


def test_nothing_given_is_nothing() -> None:
    assert given_encoding({"sep": ";"}) is None
    assert with_encoding({"sep": ";"}, None) == {"sep": ";"}


def test_wrong_bytes_name_the_file_and_the_option() -> None:
    told = str(wrong_bytes("/in/a.csv", "byte 7 (line 3) is not UTF-8", "UTF-8"))

    assert told.startswith(
        "[INPUT_ENCODING] input file '/in/a.csv': got byte 7 (line 3) is not UTF-8, expected text in"
    )
    assert "input.options.encoding" in told
    assert "iconv" in told
