"""Whether Spark may take two column names for one; runs on the driver and on workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def keys_of(name: str) -> frozenset[str]:
    """Give texts of which Spark may take two names for one if they share any.

    Spark compares names in some places by Java's ``toLowerCase(Locale.ROOT)``, in others by ``equalsIgnoreCase``,
    which takes also the dotless i for an I, the long s for an S and the Kelvin sign for a K.
    Source: https://docs.oracle.com/en/java/javase/17/docs/api/java.base/java/lang/String.html

    >>> keys_of("ID") & keys_of("id"), keys_of("id") & keys_of("idx")
    (frozenset({'id'}), frozenset())
    """
    return frozenset((name.lower(), folded(name)))


def doubled_names(found: Iterable[str]) -> list[str]:
    """Give the names that Spark may take for another one of them, in their order.

    >>> doubled_names(["id", "x", "ID"])
    ['id', 'ID']
    """
    names = list(found)
    counts = Counter(key for name in names for key in keys_of(name))
    return [name for name in names if any(counts[key] > 1 for key in keys_of(name))]


def folded(name: str) -> str:
    """Give equal texts for names that Java's ``String.equalsIgnoreCase`` takes for one, which compares sign by sign."""
    return "".join(map(_folded, name))


def _folded(character: str) -> str:
    """Fold as ``String.equalsIgnoreCase`` does: to the simple upper case, then to the simple lower case of that."""
    upper = character.upper()
    # Only the dotted capital I has two characters in lower case; the simple mapping is the first.
    return (upper if len(upper) == 1 else character).lower()[0]
