from __future__ import annotations

import os
from pathlib import Path

from sparkscore.error_codes.page import errors_page

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def test_the_page_is_the_registry() -> None:
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(errors_page(), encoding="utf-8")

    assert PAGE.read_text(encoding="utf-8") == errors_page()
