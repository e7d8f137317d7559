"""A JSON file that holds its own checksum, so that a changed one is noticed (driver)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

SUM: Final = "sha256"


def summed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content with its checksum."""
    return {**content, SUM: _sum_of(content)}


def is_whole(content: Mapping[str, Any]) -> bool:
    """Whether the content is as `summed` gave it, however it is laid out in its file."""
    return content.get(SUM) == _sum_of({name: part for name, part in content.items() if name != SUM})


def _sum_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
