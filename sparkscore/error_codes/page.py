"""Generate `docs/errors.md` from the explanations in this package. Runs on the driver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sparkscore.error_codes import of_functions, of_inputs, of_models, of_outputs, of_requests
from sparkscore.error_codes.explanation import Section

SECTIONS: Final[tuple[Section, ...]] = (
    *of_requests.SECTIONS,
    *of_functions.SECTIONS,
    *of_models.SECTIONS,
    *of_inputs.SECTIONS,
    *of_outputs.SECTIONS,
)
_INTRODUCTION: Final = """\
# Error codes

Each message of sparkscore begins with a code: `[CODE] what: got …, expected …. State of the data. Next step.`
The same code is in the run record, in the quarantine, and in the attribute `code` of the exception in Python. It is a
member of `sparkscore.ErrorCode` and equal to its text. Codes are stable; the sentences may change.
"""


def errors_page() -> str:
    """Return the contents of `docs/errors.md`."""
    return "\n".join([_INTRODUCTION, *(line for section in SECTIONS for line in _lines(section))])


def _lines(section: Section) -> Iterator[str]:
    yield f"## {section.title}\n"
    if section.text:
        yield f"{section.text}\n"
    yield "| code | meaning | what to do |"
    yield "|---|---|---|"
    for code, explanation in section.codes.items():
        yield f"| `{code}` | {explanation.meaning} | {explanation.next_step} |"
    yield ""
