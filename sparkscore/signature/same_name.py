"""Check whether Spark may treat two column names as equal. Runs on the driver and the workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache


# The columns of a result have the same names in each mini-batch.
@lru_cache(maxsize=1024)
def keys_of(name: str) -> frozenset[str]:
    """Return the keys of a column name. If two names share a key, Spark may treat them as equal.

    Some parts of Spark compare names with Java's ``toLowerCase(Locale.ROOT)``, others with ``equalsIgnoreCase``, which
    treats the dotless i as I, the long s as S, and the Kelvin sign as K.
    Source: https://docs.oracle.com/en/java/javase/17/docs/api/java.base/java/lang/String.html

    >>> keys_of("ID") & keys_of("id"), keys_of("id") & keys_of("idx")
    (frozenset({'id'}), frozenset())
    """
    return frozenset((name.lower(), folded(name)))


def doubled_names(found: Iterable[str]) -> list[str]:
    """Return the names that Spark may treat as equal to another name in ``found``, in their original order.

    >>> doubled_names(["id", "x", "ID"])
    ['id', 'ID']
    """
    names = list(found)
    counts = Counter(key for name in names for key in keys_of(name))
    return [name for name in names if any(counts[key] > 1 for key in keys_of(name))]


def folded(name: str) -> str:
    """Fold a name's case, so that names become equal if Java's ``String.equalsIgnoreCase`` treats them as equal."""
    return "".join(map(_folded, name))


def _folded(character: str) -> str:
    """Convert a character to upper case and then to lower case, as ``String.equalsIgnoreCase`` does.

    As in Java, the first step is skipped for a character whose upper-case form has several characters.
    """
    upper = character.upper()
    # Only the dotted capital I becomes two characters in lower case. Java uses the first of them.
    return (upper if len(upper) == 1 else character).lower()[0]
