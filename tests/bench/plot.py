"""Draw bars as SVG, without a library: a page's picture is a text that can be compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_WIDTH, _ROW, _LABEL, _VALUE, _GAP = 860, 22, 300, 70, 34
_OURS: Final = "#2563a8"
_OTHERS: Final = "#b8c0ca"
_INK: Final = "#4a5560"


@dataclass(frozen=True)
class Bar:
    """A bar: its label, its ratio to the limit, and whether it is one of ours."""

    label: str
    ratio: float
    is_ours: bool


@dataclass(frozen=True)
class Group:
    """Some bars under a title."""

    title: str
    bars: Sequence[Bar]


def draw(groups: Sequence[Group]) -> str:
    """Return a picture of the bars, with lengths by the logarithm of their ratios."""
    largest = max((bar.ratio for group in groups for bar in group.bars), default=1.0)
    scale = (_WIDTH - _LABEL - _VALUE) / math.log2(max(largest, 2.0) + 1)
    shapes: list[str] = []
    top = 0
    for group in groups:
        top += _GAP
        shapes.append(f'<text x="0" y="{top - 10}" font-weight="bold">{escape(group.title)}</text>')
        for bar in group.bars:
            shapes.extend(_bar(bar, top, scale))
            top += _ROW
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top + 8}" '
        f'font-family="sans-serif" font-size="13" fill="{_INK}">'
    )
    return "\n".join([head, *shapes, "</svg>"]) + "\n"


def _bar(bar: Bar, top: int, scale: float) -> list[str]:
    length = max(2.0, scale * math.log2(bar.ratio + 1))
    middle = top + _ROW - 7
    fill = _OURS if bar.is_ours else _OTHERS
    box = f'x="{_LABEL}" y="{top + 3}" width="{length:.0f}" height="{_ROW - 6}"'
    return [
        f'<text x="{_LABEL - 8}" y="{middle}" text-anchor="end">{escape(bar.label)}</text>',
        f'<rect {box} fill="{fill}"/>',
        f'<text x="{_LABEL + length + 6:.0f}" y="{middle}">{bar.ratio:.2f}</text>',
    ]
