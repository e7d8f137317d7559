from __future__ import annotations

import pytest

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkError, SourceError
from sparkscore.worker.task_error import TaskError, carried, error_in, text_of

ERROR = SinkError(
    code=ErrorCode.STAGE_NOT_SEEN,
    what="the folder '/a {b} \"c\"\\d\n'",
    got="[/SPARKSCORE_ERROR] é",
    expected="nothing",
    state="Nothing was scored.",
    next_step="Mount it.",
)


def test_all_fields_of_an_error_survive_sparks_text() -> None:
    text = f"Job aborted due to stage failure: Traceback\nTaskError: {text_of(ERROR)}\n\tat org.apache.spark"

    found = error_in(text)

    assert isinstance(found, SinkError)
    assert found.text == ERROR.text
    assert vars(found) == vars(ERROR)


def test_a_task_fails_with_the_message_that_a_reader_of_its_log_needs() -> None:
    with pytest.raises(TaskError, match=r"\[STAGE_NOT_SEEN\] the folder.*Mount it\.") as caught, carried():
        raise ERROR

    assert caught.value.__cause__ is ERROR


def test_other_exceptions_stay_as_they_are() -> None:
    with pytest.raises(ValueError, match="other"), carried():
        raise ValueError("other")


@pytest.mark.parametrize(
    "text",
    [
        "no error of sparkscore",
        "[SPARKSCORE_ERROR] {broken} [/SPARKSCORE_ERROR]",
        text_of(SourceError(code=ErrorCode.INPUT_CHANGED, what="a", next_step="b")).replace("SourceError", "NewError"),
        text_of(SourceError(code=ErrorCode.INPUT_CHANGED, what="a", next_step="b")).replace("INPUT_CHANGED", "NEW"),
    ],
)
def test_a_text_without_an_error_that_this_version_knows_has_none(text: str) -> None:
    assert error_in(text) is None
