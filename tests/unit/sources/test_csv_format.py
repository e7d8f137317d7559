from __future__ import annotations

import pytest

from sparkscore.errors import ConfigError
from sparkscore.sources.csv_format import csv_format
from sparkscore.survey.csv_bytes import Dialect


def test_without_options_files_are_as_rfc_4180_has_them() -> None:
    found = csv_format({})

    assert found.dialect == Dialect()
    assert (found.has_header, found.compares_headers, found.finds_types, found.zone) == (True, True, True, "UTC")
    assert found.options == {
        "header": "true",
        "mode": "FAILFAST",
        "multiline": "true",
        "quote": '"',
        "escape": '"',
        "encoding": "UTF-8",
        "columnnameofcorruptrecord": "_sparkscore_no_record",
    }


@pytest.mark.parametrize(
    ("options", "dialect"),
    [
        ({"sep": ";"}, Dialect(sep=";")),
        ({"delimiter": "\\t"}, Dialect(sep="\t")),
        ({"SEP": "||"}, Dialect(sep="||")),
        ({"sep": "|\\t\\\\"}, Dialect(sep="|\t\\")),
        ({"quote": "'"}, Dialect(quote="'", escape="'")),
        ({"quote": ""}, Dialect(quote="", escape="")),
        ({"escape": "\\"}, Dialect(escape="\\")),
        ({"comment": "#"}, Dialect(comment="#")),
        ({"multiline": "False"}, Dialect(reads_lines=True)),
        ({"multiLine": "false"}, Dialect(reads_lines=True)),
        ({"encoding": "latin-1"}, Dialect(encoding="iso8859-1")),
        ({"charset": "UTF-16"}, Dialect(encoding="utf-16")),
        ({"lineSep": "\n"}, Dialect(line_end="\n")),
        ({"ignoreLeadingWhiteSpace": "true"}, Dialect(skips_leading=True)),
    ],
)
def test_options_say_what_the_dialect_is(options: dict[str, str], dialect: Dialect) -> None:
    assert csv_format(options).dialect == dialect


def test_what_is_done_here_is_not_told_to_spark() -> None:
    found = csv_format({"inferSchema": "false", "enforceSchema": "true", "samplingRatio": "0.1", "header": "false"})

    assert (found.has_header, found.compares_headers, found.finds_types) == (False, False, False)
    assert not {key.lower() for key in found.options} & {"inferschema", "enforceschema", "samplingratio"}


def test_forms_of_the_user_are_read_by_spark() -> None:
    assert csv_format({"dateFormat": "dd.MM.yyyy"}).read_by_spark == {"date"}
    found = csv_format({"timestampNTZFormat": "HH:mm", "nanValue": "-"})
    assert found.has_pattern == {"timestamp_ntz"}
    assert found.read_by_spark == {"timestamp_ntz", "float", "double"}
    assert found.special == {"-"}


def test_a_wide_encoding_is_not_cut_into_lines() -> None:
    with pytest.raises(ConfigError, match=r"\[INPUT_ENCODING\].*multiLine"):
        csv_format({"encoding": "utf-16", "multiLine": "false"})


@pytest.mark.parametrize("sep", ["", "\\u0001", "\\|", "\\"])
def test_a_separator_that_spark_does_not_read_is_refused(sep: str) -> None:
    with pytest.raises(ConfigError, match=r"\[INPUT_OPTIONS\] 'input\.options\.sep'.*in YAML"):
        csv_format({"sep": sep})
