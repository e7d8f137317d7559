"""Record the result columns' original names, so that errors can say which setting changes a column.

Runs on the driver.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from sparkscore.signature.same_name import keys_of
from sparkscore.yaml_lines import yaml_text

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NO_SIGN: Final = re.compile(r"\W+", re.ASCII)


@dataclass(frozen=True)
class Origins:
    """The result columns, with their names before the deployment's ``columns`` renamed them.

    Attributes:
        carried: the carried columns' names in the input, keyed by their names in the result.
        added: original names of the predictions and lineage columns, keyed by their names in the result.
        renamed: the renamings in the deployment's ``columns``: new names, keyed by original names.
    """

    carried: Mapping[str, str] = field(default_factory=dict)
    added: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)

    def renaming(self, wrong: Sequence[str], taken: Collection[str]) -> str:
        """Return a ``columns: {…}`` line for the deployment file, with a valid new name for each invalid column name.

        The line also contains the renamings that the deployment already has.

        Args:
            wrong: the invalid names, which contain characters that the output cannot store.
            taken: the names of all result columns, which are not used as new names.
        """
        before, names = {**self.added, **self.carried}, list(taken)
        lines = dict(self.renamed)
        for name in wrong:
            names.append(_free(_NO_SIGN.sub("_", name).strip("_") or "column", names))
            lines[before.get(name, name)] = names[-1]
        return renaming_line(lines)

    def typing(self, types: Mapping[str, str]) -> list[str]:
        """Return clauses for an error message that advise the user to declare column types in the deployment.

        One clause is about ``input.schema`` and names the carried columns. Another is about ``output.schema`` and names
        all other columns. A clause that would name no columns is omitted.

        Args:
            types: the types to declare, keyed by column name in the result.
        """
        advice = []
        if carried := [f"{_ddl_name(self.carried[name])} {types[name]}" for name in types if name in self.carried]:
            advice.append(f"declare the input's columns with 'input.schema', with '{', '.join(carried)}' among them")
        added = [f"{_ddl_name(self.added.get(name, name))} {types[name]}" for name in types if name not in self.carried]
        if added:
            advice.append(f"declare what comes back with 'output.schema', with '{', '.join(added)}' among it")
        return advice


NO_ORIGINS: Final = Origins()


def renaming_line(names: Mapping[str, str]) -> str:
    """Return the deployment's ``columns`` key as one line of YAML.

    Args:
        names: new names, keyed by original names.
    """
    return f"columns: {{{', '.join(f'{yaml_text(old)}: {yaml_text(new)}' for old, new in names.items())}}}"


def _ddl_name(name: str) -> str:
    from sparkscore.spark.schema import quoted  # noqa: PLC0415 - imports PySpark, which only an error's advice needs

    return name if _PLAIN.fullmatch(name) else quoted(name)


def _free(name: str, taken: Collection[str]) -> str:
    keys = frozenset[str]().union(*map(keys_of, taken))
    candidates = (name if number == 1 else f"{name}_{number}" for number in count(1))
    return next(candidate for candidate in candidates if not keys & keys_of(candidate))
