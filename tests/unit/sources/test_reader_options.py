from __future__ import annotations

import pytest

from sparkscore.errors import ConfigError
from sparkscore.sources.reader_options import check_options, find_option


@pytest.mark.parametrize("file_format", ["csv", "json", "parquet"])
@pytest.mark.parametrize("name", ["pathGlobFilter", "modifiedafter", "recursiveFileLookup", "basePath", "path"])
def test_files_are_chosen_by_the_location_alone(name: str, file_format: str) -> None:
    with pytest.raises(ConfigError, match=rf"\[INPUT_OPTIONS\] 'input\.options\.{name}'.*glob"):
        check_options({name: "true"}, file_format)


@pytest.mark.parametrize(
    ("options", "file_format", "told"),
    [
        ({"separator": ";"}, "csv", "Correct its name"),
        ({"delimeter": ";"}, "csv", "Did you mean 'delimiter'"),
        ({"ignoreLeadingWhitespaces": "true"}, "csv", "Did you mean 'ignoreLeadingWhiteSpace'"),
        ({"multiline_": "true"}, "json", "Did you mean 'multiLine'"),
        ({"headr": "true"}, "parquet", "Did you mean 'header'"),
        ({"header": "no"}, "csv", "got 'no', expected true or false"),
        ({"comment": "//"}, "csv", "got '//', expected no more than 1 character."),
        ({"lineSep": ";"}, "csv", "double quotes"),
        ({"lineSep": "\\n"}, "csv", "double quotes"),
        ({"timeZone": "Mars/Base"}, "csv", "a region such as Europe/Berlin"),
        ({"timezone": "PST"}, "json", "a region such as Europe/Berlin"),
        ({"timezone": "+18:30"}, "csv", "a region such as Europe/Berlin"),
        ({"timestampFormat": "yyyy-MM-dd HH:mm:ss.SSSSSSSSS"}, "csv", "more than six digits"),
        ({"timestampNTZFormat": "ss.SSSSSSS"}, "json", "more than six digits"),
        ({"charToEscapeQuoteEscaping": "|"}, "csv", "Leave it out"),
        ({"mergeSchema": "false"}, "parquet", "'input.columns'"),
        ({"mode": "FAIL_FAST"}, "csv", "PERMISSIVE, expected one of FAILFAST"),
    ],
)
def test_what_spark_would_pass_over_is_refused(options: dict[str, str], file_format: str, told: str) -> None:
    with pytest.raises(ConfigError, match=r"\[INPUT_OPTIONS\]") as caught:
        check_options(options, file_format)

    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("options", "file_format"),
    [
        ({"HEADER": "False", "Delimiter": ";", "MODE": "permissive", "ignoreCorruptFiles": "true"}, "csv"),
        ({"multiline": "TRUE", "primitivesAsString": "true", "timeZone": "UTC", "lineSep": ";"}, "json"),
        ({"timeZone": "+02:00", "timestampFormat": "'SSSSSSS' ss.SSSSSS"}, "csv"),
        ({"timeZone": "GMT+2", "timestampNTZFormat": "dd.MM.yyyy"}, "csv"),
        ({"timeZone": "Europe/Berlin"}, "csv"),
        ({"timeZone": "-18:00"}, "csv"),
        ({"mergeSchema": "true", "parquet.crypto.factory.class": "x", "datetimeRebaseMode": "LEGACY"}, "parquet"),
        ({"sep": ";", "multiLine": "true"}, "json"),
        ({"header": "true", "timeZone": "Europe/Berlin"}, "parquet"),
        ({"versionAsOf": "3"}, "delta"),
        ({"quote": "", "escape": "\\", "comment": "#", "lineSep": "\r\n"}, "csv"),
        ({"anything": "1"}, "files"),
    ],
)
def test_options_of_the_reader_pass(options: dict[str, str], file_format: str) -> None:
    check_options(options, file_format)


def test_an_option_is_found_in_any_case() -> None:
    options = {"MULTILINE": "True", "timezone": "Europe/Berlin"}

    assert find_option(options, "multiLine") == "true"
    assert find_option(options, "timeZone") == "Europe/Berlin"
    assert find_option(options, "lineSep") is None
