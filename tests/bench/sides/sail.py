"""Sail, a server of Spark Connect in Rust: the same mapInArrow as for Spark."""

from __future__ import annotations

from typing import Any

from pysail.spark import SparkConnectServer
from pyspark.sql import SparkSession

from tests.bench.cases import Case
from tests.bench.sides.spark import SCORES, Spark


class Sail(Spark):
    """A server in this process, and a client of it."""

    def __init__(self, case: Case) -> None:
        self._server: Any = SparkConnectServer(ip="127.0.0.1", port=0)
        self._server.start(background=True)
        _, port = self._server.listening_address
        super().__init__(
            case, SCORES["map-in-arrow"], SparkSession.builder.remote(f"sc://127.0.0.1:{port}").getOrCreate()
        )

    def stop(self) -> None:
        super().stop()
        self._server.stop()


def start(case: Case, name: str) -> Sail:  # noqa: ARG001 - each side gets its name
    return Sail(case)
