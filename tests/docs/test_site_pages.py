from __future__ import annotations

import os
import re
from pathlib import Path

import yaml

import sparkscore
from sparkscore.error_codes import ErrorCode

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))


def list_of_decisions() -> str:
    titles = [page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ") for page in DECISIONS]
    lines = [f"- [{title}](decisions/{page.name})" for title, page in zip(titles, DECISIONS, strict=True)]
    return "\n".join(lines) + "\n"


def test_the_page_of_decisions_lists_them_all() -> None:
    page = DOCS / "decisions.md"
    start, mark, _ = page.read_text(encoding="utf-8").partition("<!-- list of decisions -->\n")
    if os.environ.get("UPDATE_DOCS"):
        page.write_text(start + mark + list_of_decisions(), encoding="utf-8")

    assert mark
    assert page.read_text(encoding="utf-8").endswith(mark + list_of_decisions()), "UPDATE_DOCS=1 writes it"


def test_each_code_that_the_advice_names_exists() -> None:
    advice = (DOCS / "when-a-run-fails.md").read_text(encoding="utf-8")
    codes = set(re.findall(r"`([A-Z]+_[A-Z_]+)`", advice)) - {"RUN_ID"}

    assert len(codes) > 5
    assert codes - set(ErrorCode.__members__) == set()


def test_the_glossary_explains_the_steps_of_the_picture() -> None:
    glossary = (DOCS / "glossary.md").read_text(encoding="utf-8")
    words = (
        "plan",
        "mini-batch",
        "work unit",
        "chunk",
        "probe",
        "stage",
        "held",
        "quarantine",
        "carried column",
        "item",
        "survey",
    )

    assert [word for word in words if not re.search(rf"^\| {word}[ ,|]", glossary, re.MULTILINE)] == []


def test_the_page_of_the_api_has_every_public_name() -> None:
    # mkdocstrings writes the names of `__all__`; here only that each has a docstring to write.
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    public = [name for name in sparkscore.__all__ if not name.startswith("_")]

    assert "::: sparkscore\n" in page
    assert [name for name in public if not getattr(sparkscore, name).__doc__] == []


def test_the_site_lists_pages_that_are_there() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    pages = re.findall(r"[\w-]+\.md", str(site["nav"]))

    assert len(pages) > 8
    assert [page for page in pages if not (DOCS / page).exists()] == []
