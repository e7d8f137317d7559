"""JSON objects that contain their own checksum, so that a change is noticed (driver)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

SUM: Final = "sha256"


def summed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with its checksum added."""
    return {**content, SUM: _sum_of(content)}


def is_whole(content: Mapping[str, Any]) -> bool:
    """Whether a JSON object still has the content that `summed` returned. Whitespace in its file does not matter."""
    return content.get(SUM) == _sum_of({name: part for name, part in content.items() if name != SUM})


def _sum_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
