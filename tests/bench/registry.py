"""The sides of the benchmark: their names on the page, their modules, and the environments that they run in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
# Of the builds for Spark 4, only that for 4.1 was published when this was written.
COMET_VERSION: Final = "1.2.0"


@dataclass(frozen=True)
class SideKind:
    """How to start a side.

    Attributes:
        label: the name on the page.
        module: the module in `tests.bench.sides`.
        environment: the folder of its Python environment.
        settings: settings of sparkscore by dotted name; None removes one.
        falls_asleep: whether the engine ends workers that have nothing to do, so that it is woken up before its turn.
        scores: whether it writes predictions. If not, it shows what reading and writing cost, and its rows are counted.
    """

    label: str
    module: str
    environment: str = ".venv"
    settings: Mapping[str, Any] = field(default_factory=dict)
    falls_asleep: bool = True
    scores: bool = True

    @property
    def python(self) -> Path:
        """The interpreter of the environment."""
        return ROOT / self.environment / "bin" / "python"


SIDES: Final[Mapping[str, SideKind]] = {
    "limit": SideKind("two bare processes (the limit)", "limit"),
    "limit-lineage": SideKind("the limit, with lineage columns", "limit"),
    "ours": SideKind("sparkscore", "ours"),
    "ours-spark-reader": SideKind("sparkscore, Spark reads", "ours", settings={"input.reader": "spark"}),
    "ours-all-columns": SideKind("sparkscore, default carry", "ours", settings={"output.carry": None}),
    "ours-none": SideKind("sparkscore, isolation: none", "ours", settings={"isolation": "none"}),
    "ours-process": SideKind("sparkscore, isolation: process", "ours", settings={"isolation": "process"}),
    "ours-tolerating": SideKind(
        "sparkscore, process, failures tolerated",
        "ours",
        settings={"isolation": "process", "settings.error_threshold": -1},
    ),
    "spark-udf-sklearn": SideKind("mlflow spark_udf, scikit-learn flavor", "spark"),
    "spark-udf-onnx": SideKind("mlflow spark_udf, ONNX flavor", "spark"),
    "spark-udf-pyfunc": SideKind("mlflow spark_udf, pyfunc", "spark"),
    "predict-batch-udf": SideKind("predict_batch_udf", "spark"),
    "map-in-pandas": SideKind("mapInPandas", "spark"),
    "map-in-arrow": SideKind("mapInArrow", "spark"),
    "bare-spark": SideKind("PySpark, which reads and writes the rows, without a model", "spark", scores=False),
    "ray": SideKind("Ray Data", "ray_data", ".venv-bench", falls_asleep=False),  # it starts workers for each run
    "daft": SideKind("Daft", "daft_frame", ".venv-bench"),
    "sail": SideKind("Sail, mapInArrow", "sail", ".venv-bench"),
    "comet": SideKind("Comet on Spark 4.1, mapInArrow", "comet", ".venv-spark-4.1"),
}
