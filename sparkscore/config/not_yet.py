"""List the settings that are valid in a deployment file but not supported by this version. Runs on the driver.

The values in `REFUSED` raise an error, because they must not be ignored. The settings in `UNAPPLIED` cause only a
warning, because they affect nothing but the speed of a run. When a feature is added, remove its lines from these lists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, Faults
from sparkscore.redaction import redact

_Test = Callable[[object], bool]


def _is_one_of(*values: object) -> _Test:
    return lambda value: value in values


def _names_a_table(value: object) -> bool:
    locations = value if isinstance(value, (list, tuple)) else [value]
    return any(str(location).startswith("table:") for location in locations)


REFUSED: Final[tuple[tuple[str, _Test, str], ...]] = (
    ("settings.output_action", _is_one_of("summary_only"), "Use append_row: run() then returns one element per item."),
    ("input.format", _is_one_of("query", "table", "orc", "avro"), "Use files, parquet, csv, json or delta."),
    ("input.location", _names_a_table, "Set the path of the table, and input.format: delta."),
    ("output.location", _names_a_table, "Set a path."),
)

# Each setting with the values that cause no warning.
UNAPPLIED: Final[dict[str, tuple[object, ...]]] = {
    "settings.max_concurrency_per_instance": (),
    "resources.instance_count": (),
}


def refuse_unsupported(chosen: dict[str, object]) -> None:
    """Raise an error if any setting has a value that is listed in `REFUSED`.

    Args:
        chosen: the settings that were set in the deployment file or by options, keyed by dotted key.

    Raises:
        ConfigError: a setting has a value that this version does not support. The code is ``NOT_SUPPORTED_YET``.
    """
    found = [
        ConfigError(
            code=ErrorCode.NOT_SUPPORTED_YET,
            what=f"setting '{key}' asks for something that this version cannot do",
            got=_shown(chosen[key]),
            next_step=next_step,
        )
        for key, is_refused, next_step in REFUSED
        if key in chosen and is_refused(chosen[key])
    ]
    Faults(*found).raise_all()


def unapplied(chosen: dict[str, object]) -> dict[str, object]:
    """Return the chosen settings that this version ignores, so that the caller can warn about them.

    Args:
        chosen: the settings that were set in the deployment file or by options, keyed by dotted key.
    """
    return {
        key: chosen[key]
        for key, without_effect in UNAPPLIED.items()
        if key in chosen and chosen[key] not in without_effect
    }


def _shown(value: object) -> str:
    return ", ".join(f"'{redact(str(item))}'" for item in (value if isinstance(value, (list, tuple)) else [value]))
