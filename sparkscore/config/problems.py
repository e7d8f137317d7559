"""Report all problems in a deployment as one error, with their lines in the file if known. Runs on the driver."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sparkscore.config.yaml_file import KeyPath
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.redaction import redact, redact_mapping

if TYPE_CHECKING:
    from pydantic import ValidationError

_LISTED: Final = 5
_SHOWN_CHARACTERS: Final = 60
_TYPING_ERROR: Final = 0.9
_EXPECTED: Final = {
    "bool_type": "true or false",
    "dict_type": "a mapping (key: value)",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "a number greater than {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "int_type": "a whole number",
    "less_than_equal": "a number of at most {le}",
    "literal_error": "{expected}",
    "missing": "a value",
    "model_attributes_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "string_pattern_mismatch": "a text like {pattern}",
    "string_too_short": "a text that is not empty",
    "string_type": "a text; numbers and words like true need quotes",
    "tuple_type": "a list",
}


@dataclass(frozen=True)
class Problem:
    """A problem with one key of a deployment.

    Attributes:
        code: the error code.
        path: the parts of the key.
        text: description of the problem; empty if `got` and `expected` describe it.
        got: the wrong value, as shown in the message; may be empty.
        expected: description of the allowed values; may be empty.
        next_step: what the user should do.
    """

    code: ErrorCode
    path: KeyPath
    text: str = ""
    got: str = ""
    expected: str = ""
    next_step: str = "Correct the value."


@dataclass(frozen=True)
class Origin:
    """Where settings come from, so that a message can show the position of a wrong setting.

    Attributes:
        file: path of the deployment file, or an empty string.
        positions: line and column of each key in the file.
        options: the keys that are set by options.
    """

    file: str = ""
    positions: Mapping[KeyPath, tuple[int, int]] = field(default_factory=dict)
    options: tuple[KeyPath, ...] = ()

    def locate(self, path: KeyPath) -> tuple[KeyPath, tuple[int, int] | None]:
        """Return a key as the user wrote it, and its line and column in the file.

        For example, ``settings.error_threshold`` may have been written as ``error_threshold``. If the key is not in the
        file, the position of the innermost section around it is returned. If the file does not contain such a section
        either, or if an option set the key or the section, the position is None.
        """
        for spelling, rest in _spellings(path):
            if any(option == spelling[: len(option)] for option in self.options):
                return (*spelling, *rest), None
            if spelling in self.positions:
                return (*spelling, *rest), self.positions[spelling]
        return path, None

    def subject(self, problem: Problem) -> str:
        """Return the beginning of a message about a problem: the key, its position in the file, and the description."""
        path, position = self.locate(problem.path)
        key = ".".join(str(part) for part in path)
        where = " (option)" if position is None else f" (line {position[0]}, column {position[1]})"
        return f"'{key}'{where} {problem.text}".rstrip()


def config_error(problems: Sequence[Problem], origin: Origin) -> ConfigError:
    """Combine the problems in a deployment into one error with the code of the first problem.

    The problems are sorted by line, with those without a line first. The message describes up to five of them.
    """
    ordered = sorted(problems, key=lambda problem: origin.locate(problem.path)[1] or (0, 0))
    subject = f"deployment file '{origin.file}'" if origin.file else "deployment"
    first = ordered[0]
    if len(ordered) == 1:
        what = f"{subject}: {origin.subject(first)}"
        return ConfigError(
            code=first.code, what=what, got=first.got, expected=first.expected, next_step=first.next_step
        )
    sentences = [_sentence(problem, origin) for problem in ordered[:_LISTED]]
    if len(ordered) > _LISTED:
        sentences.append(f"and {len(ordered) - _LISTED} more")
    steps = list(dict.fromkeys(problem.next_step for problem in ordered[:_LISTED]))
    what = f"{subject} has {len(ordered)} problems: {'; '.join(sentences)}"
    return ConfigError(code=first.code, what=what, next_step=" ".join(steps))


def _sentence(problem: Problem, origin: Origin) -> str:
    comparison = f" got {problem.got}, expected {problem.expected}" if problem.got else ""
    return f"{origin.subject(problem)}{comparison}"


def problems_of(error: ValidationError, known: Mapping[str, object]) -> list[Problem]:
    """Convert the errors of a pydantic validation to problems.

    Args:
        error: the validation error.
        known: the keys that a deployment may have, as nested dictionaries, for suggestions if a key is unknown.
    """
    return [_problem(item, known) for item in error.errors(include_url=False)]


def _problem(item: Mapping[str, Any], known: Mapping[str, object]) -> Problem:
    path: KeyPath = tuple(item["loc"])
    if item["type"] == "extra_forbidden":
        return unknown_key(path, known)
    if item["type"] == "missing":
        return Problem(ErrorCode.CONFIG_VALUE, path, "is missing", next_step="Add it.")
    return Problem(ErrorCode.CONFIG_VALUE, path, got=_shown(path, item["input"]), expected=_expected(item))


def unknown_key(path: KeyPath, known: Mapping[str, object]) -> Problem:
    """Return the problem of an unknown key. It suggests a known key that the user may have meant, if there is one.

    Args:
        path: the parts of the unknown key.
        known: the keys that a deployment may have, as nested dictionaries.
    """
    nearest = _nearest(path, known)
    text = "is unknown" if nearest is None else f"is unknown, did you mean '{nearest}'"
    next_step = "Correct or remove the key; 'sparkscore schema' lists all keys."
    return Problem(ErrorCode.CONFIG_UNKNOWN_KEY, path, text, next_step=next_step)


def _nearest(path: KeyPath, known: Mapping[str, object]) -> str | None:
    key = str(path[-1])
    section: object = known
    for part in path[:-1]:
        section = section.get(str(part), {}) if isinstance(section, Mapping) else {}
    siblings = list(section) if isinstance(section, Mapping) else []
    elsewhere = [name for name in dotted(known) if name.rsplit(".", 1)[-1] == key]
    # A key that is almost equal to another key in its section is a typo. Otherwise, a key that exists elsewhere is in
    # the wrong section.
    if elsewhere and not difflib.get_close_matches(key, siblings, n=1, cutoff=_TYPING_ERROR):
        return min(elsewhere, key=lambda name: (name.count("."), name))
    return next(iter(difflib.get_close_matches(key, siblings, n=1)), None)


def dotted(tree: Mapping[str, object], prefix: str = "") -> list[str]:
    """Return all keys in nested dictionaries as dotted keys. For ``{"a": {"b": 1}}``, these are ``a`` and ``a.b``."""
    result = []
    for key, below in tree.items():
        result.append(f"{prefix}{key}")
        if isinstance(below, Mapping):
            result.extend(dotted(below, f"{prefix}{key}."))
    return result


def _expected(item: Mapping[str, Any]) -> str:
    context = item.get("ctx") or {}
    cause = context.get("error")
    if isinstance(cause, ConfigError):
        return cause.expected or cause.what
    if isinstance(cause, ValueError):
        return str(cause)
    template = _EXPECTED.get(item["type"])
    return str(item["msg"]) if template is None else template.format(**context)


def _shown(path: KeyPath, value: object) -> str:
    """Format a wrong value for a message, truncated and with secrets masked.

    None, mappings and lists are not shown but described: ``no value``, ``a mapping`` or ``a list``.
    """
    key = str(next((part for part in reversed(path) if isinstance(part, str)), ""))
    if value is None:
        return "no value"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    masked = redact_mapping({key: value})
    text = redact(str(masked[key] if isinstance(masked, dict) else value))
    cut = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
    return f"'{cut}'" if isinstance(value, str) else cut


def _spellings(path: KeyPath) -> Iterator[tuple[KeyPath, KeyPath]]:
    """Yield the key paths under which a user may have written a setting, followed by the paths of its sections.

    Each path is paired with the keys that lead from there to the setting. For ``settings.output_action``, the pairs are
    ``(("settings", "output_action"), ())``, ``(("output_action",), ())`` and ``(("settings",), ("output_action",))``.
    """
    for length in range(len(path), 0, -1):
        start, rest = path[:length], path[length:]
        yield start, rest
        if start[0] == "settings" and length > 1:
            yield start[1:], rest
        elif start[0] == "environment_variables":
            yield ("settings", *start), rest
        elif start[:2] == ("resources", "instance_count"):
            yield ("settings", *start[1:]), rest
