from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
LONGEST_DECISION = 50
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        place = (page.parent / file).resolve() if file else page

        assert place.exists(), target
        assert not anchor or anchor in anchors_of(place), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_of_the_project_that_a_page_names_are_there(page: Path) -> None:
    named = re.findall(r"`((?:sparkscore|tests|docs|jobs|conf|notebooks)/[\w./-]*)`", page.read_text(encoding="utf-8"))

    assert [path for path in named if not (ROOT / path).exists()] == []


def picture() -> tuple[list[str], list[list[str]]]:
    """Give the steps of the README's picture, and the rows of the table below it."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## The path of the data")[2].split("\n## ")[0]
    drawn = re.findall(r"[a-z]+(?:-[a-z]+)?", section.partition("```text\n")[2].partition("```")[0])
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", section, re.MULTILINE)
    ]
    return drawn, rows[2:]


def test_every_step_of_the_picture_has_code_that_is_there() -> None:
    drawn, rows = picture()
    steps = [row[0] for row in rows if re.match("[a-z]", row[0])]

    assert len(steps) > 10
    assert [step for step in steps if step not in drawn] == []
    assert [row for row in rows if not _LINK.search(row[2]) or row[3] not in {"driver", "worker"}] == []


def test_each_module_of_the_picture_says_where_it_runs() -> None:
    for step, _, code, place in picture()[1]:
        for target in _LINK.findall(code):
            path = ROOT / target
            docstring = (path / "__init__.py" if path.is_dir() else path).read_text(encoding="utf-8").split('"""')[1]

            assert place in docstring, f"{step}: {target}"


@pytest.mark.parametrize(
    ("step", "module"),
    [
        ("calls", "sparkscore/worker/calls.py"),
        ("outcome", "sparkscore/returned/"),
        ("publish", "sparkscore/sinks/delta.py"),
        ("quarantine", "sparkscore/worker/quarantine.py"),
        ("resume", "resume"),
    ],
)
def test_the_picture_leads_to_what_readers_look_for(step: str, module: str) -> None:
    links = [target for row in picture()[1] if row[0] == step for target in _LINK.findall(row[2])]

    assert [link for link in links if module in link]


@pytest.mark.parametrize("page", DECISIONS, ids=name_of)
def test_a_decision_is_one_page_with_the_parts_of_one(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    number, _, _ = page.name.partition("-")

    assert text.startswith(f"# {int(number)}. ")
    assert [part for part in ("**Context.**", "**Decision.**", "**Consequences.**") if part not in text] == []
    assert re.search(r"\*\*(Measured|How to look)", text)
    assert len(text.splitlines()) <= LONGEST_DECISION


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
