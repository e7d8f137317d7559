"""Read the result tables all the time with another reader than Spark: it must see none or all rows of a run."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Final

import pyarrow.dataset
from deltalake import DeltaTable

_EVERY_S: Final = 0.05
# A stage of a few thousand files is removed in a second or two.
_LISTINGS: Final = 200


class Reader(threading.Thread):
    """Count the rows of both tables repeatedly.

    Attributes:
        looks: how often the tables were read.
        findings: row counts that no reader may see, a sentence each.
    """

    def __init__(self, predictions: Path, quarantine: Path) -> None:
        super().__init__(name="storm-reader", daemon=True)
        self.looks = 0
        self.findings: list[str] = []
        self._predictions, self._quarantine = predictions, quarantine
        self._seen: dict[Path, list[int]] = {predictions: [0], quarantine: [0]}
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(_EVERY_S):
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - whatever a reader stumbles over, it should not
                self.findings.append(f"a reader failed: {type(error).__name__}: {error}"[:500])
                return

    def finish(self, predictions: int, quarantined: int) -> list[str]:
        """Stop reading, and return the row counts that are neither 0 nor the whole result."""
        self._stopped.set()
        self.join()
        for path, rows in ((self._predictions, predictions), (self._quarantine, quarantined)):
            seen = self._seen[path]
            if seen not in ([0], [0, rows]):
                self.findings.append(f"readers of '{path.name}' saw {seen} rows, one after the other, of {rows}")
        return self.findings

    def _look(self) -> None:
        self.looks += 1
        # In this order: who sees predictions must then find what was quarantined.
        predictions, quarantined = count_rows(self._predictions), count_rows(self._quarantine)
        for path, rows in ((self._predictions, predictions), (self._quarantine, quarantined)):
            if rows != self._seen[path][-1]:
                self._seen[path].append(rows)
        if predictions and not quarantined and not self.findings:
            self.findings.append("a reader saw the predictions and no quarantine")


def count_rows(place: Path) -> int:
    """Return the number of rows that a reader sees; 0 if the table does not exist.

    PyArrow also lists the folders that it ignores, and fails if one of them is removed meanwhile, as the folder of a
    stage is. Such a listing says nothing about the rows, so the folder is listed again.
    """
    if any((place / "_delta_log").glob("[0-9]*.json")):
        return int(DeltaTable(place).to_pyarrow_dataset().count_rows())
    for _ in range(_LISTINGS):
        if (place / "_delta_log").is_dir() or not place.is_dir():
            return 0
        try:
            return int(pyarrow.dataset.dataset(place, partitioning="hive").count_rows())
        except FileNotFoundError:
            time.sleep(_EVERY_S)
    raise FileNotFoundError(f"'{place}' cannot be listed")
