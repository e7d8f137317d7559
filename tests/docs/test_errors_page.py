from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from sparkscore.error_codes import ErrorCode
from sparkscore.error_codes.page import SECTIONS, errors_page

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def test_the_page_is_the_registry() -> None:
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(errors_page(), encoding="utf-8")

    assert PAGE.read_text(encoding="utf-8") == errors_page()


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
