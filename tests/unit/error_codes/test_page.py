from __future__ import annotations

from collections import Counter

from sparkscore.error_codes import ErrorCode
from sparkscore.error_codes.page import SECTIONS, errors_page


def test_the_page_has_a_row_for_each_code() -> None:
    rows = [line.split("|")[1].strip().strip("`") for line in errors_page().splitlines() if line.startswith("| `")]

    assert sorted(rows) == sorted(ErrorCode)


def test_every_code_is_explained_once() -> None:
    explained = Counter(code for section in SECTIONS for code in section.codes)

    assert explained == Counter(ErrorCode)


def test_explanations_are_sentences() -> None:
    texts = [
        text
        for section in SECTIONS
        for explanation in section.codes.values()
        for text in (explanation.meaning, explanation.next_step)
    ]

    assert [text for text in texts if not text.endswith(".") or "|" in text or "\n" in text] == []
