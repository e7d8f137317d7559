"""Add a checksum to a JSON object, and check it later to detect changes. Runs on the driver."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

SUM: Final = "sha256"


def summed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a JSON object with its checksum added under the key ``sha256``."""
    return {**content, SUM: _sum_of(content)}


def is_whole(content: Mapping[str, Any]) -> bool:
    """Return whether a JSON object still matches the checksum that `summed` added to it.

    The order of the keys does not matter. An object without a checksum never matches.
    """
    return content.get(SUM) == _sum_of({name: part for name, part in content.items() if name != SUM})


def _sum_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
