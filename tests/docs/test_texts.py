from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import sparkscore.run

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
LONGEST_DECISION = 50
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
# Split, so that this file does not hold them.
_FORBIDDEN = re.compile(
    "|".join(
        [
            r"(?:^|[\s\"'(`=:])/" + r"work/",
            r"repo1?\.maven" + r"\.org|repo\.maven\.apache" + r"\.org",
            r"files\.pythonhosted" + r"\.org|pypi" + r"\.org",
            r"\bissues? " + r"#\d",
            r"\bissues? " + r"[1-9]\b",
            r"(?:azure-contract|faults|peers|design|style)" + r"\.md",
        ]
    ),
    re.IGNORECASE,
)
_BINARY = {".png", ".parquet", ".ico", ".jar", ".onnx", ".npz"}


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

    assert len(steps) == 10
    assert [step for step in steps if step not in drawn] == []
    assert [row for row in rows if not _LINK.search(row[2]) or row[3] not in {"driver", "worker"}] == []


def test_each_module_of_the_picture_says_where_it_runs() -> None:
    for step, _, code, place in picture()[1]:
        for target in _LINK.findall(code):
            path = ROOT / target
            docstring = (path / "__init__.py" if path.is_dir() else path).read_text(encoding="utf-8").split("\n\n")[0]

            assert place in docstring, f"{step}: {target}"


def test_the_table_of_contents_is_where_the_readme_says() -> None:
    assert callable(sparkscore.run.execute)


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


def files_of_the_project() -> Iterator[Path]:
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    yield from (ROOT / name for name in listed if (ROOT / name).is_file() and Path(name).suffix not in _BINARY)


def forbidden_in(text: str) -> list[str]:
    return [f"{number}: {line.strip()}" for number, line in enumerate(text.splitlines(), 1) if _FORBIDDEN.search(line)]


def test_no_file_names_a_package_host_or_the_place_where_it_was_written() -> None:
    found = {name_of(path): forbidden_in(path.read_text(encoding="utf-8")) for path in files_of_the_project()}

    assert {name: lines for name, lines in found.items() if lines} == {}
    assert len(found) > 50


@pytest.mark.parametrize(
    "text",
    [
        "see /wo" + "rk/main",
        "https://py" + "pi.org/simple",
        "https://repo1.ma" + "ven.org/maven2",
        "as iss" + "ue #3 says",
        "see the de" + "sign.md",
    ],
)
def test_the_search_finds_what_must_not_be_there(text: str) -> None:
    assert forbidden_in(text)


@pytest.mark.parametrize("text", ["the framework/ folder", "Maven Central", "an issue of a table", "redesign"])
def test_the_search_leaves_other_words_alone(text: str) -> None:
    assert forbidden_in(text) == []
