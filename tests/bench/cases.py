"""The workloads of the benchmark, and the case that a side gets: the same for all sides of a workload."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

FEATURES: Final = tuple(f"f{number:02}" for number in range(28))
Engine = Literal["onnx", "xgboost", "sklearn", "pyfunc", "script"]
Layout = Literal["narrow", "mixed", "skewed", "images", "bytes", "tiny"]
OutputFormat = Literal["parquet", "delta"]


@dataclass(frozen=True)
class Case:
    """What a side scores, and with what.

    Attributes:
        name: the workload's name.
        items: whether a call gets rows or paths of files.
        source: folder of the input.
        small: folder of a small input of the same form, to wake up a side.
        engine: the library that scores; "script" calls run() of a file with paths.
        model: the model's file or folder for that library, or the script.
        flavors: folders of the same model that MLflow wrote, by flavor.
        features: the columns that the model gets, in order.
        carry: the columns that are copied into the result beside the prediction.
        output_format: the format of the result.
        script: the scoring script that sparkscore runs for rows instead of the model alone.
        partitions: partitions into which Spark must divide the input; 0 leaves it to Spark, which packs small files.
        settings: settings for sparkscore only, by dotted name.
    """

    name: str
    items: Literal["rows", "files"]
    source: str
    small: str
    engine: Engine
    model: str
    flavors: Mapping[str, str] = field(default_factory=dict)
    features: tuple[str, ...] = FEATURES
    carry: tuple[str, ...] = ("id",)
    output_format: OutputFormat = "parquet"
    script: str = ""
    partitions: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def conf(self) -> dict[str, str]:
        """Settings of Spark that the case needs, the same for each side on Spark."""
        return {"spark.sql.files.minPartitionNum": str(self.partitions)} if self.partitions else {}

    def to_json(self) -> str:
        """Return the case as a text for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Case:
        """Return the case that `to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        fields: dict[str, Any] = {key: tuple(each) if isinstance(each, list) else each for key, each in values.items()}
        return cls(**fields)


@dataclass(frozen=True)
class Workload:
    """One table of the page: some sides, one input, one model.

    Attributes:
        size: number of rows or files.
        files: number of files for rows; 0 chooses it by the size.
        model: the name of the model, see `tests.bench.models`.
        kind: "warm" interleaves runs of processes that stay; "cold" times whole processes; "memory" starts a process
            for each of several sizes, and measures its memory.
        script: the folder of a script in `tests/bench/scripts` that sparkscore runs instead of the model alone.
        is_watched: whether the memory of the sides is measured in each round.
        rounds: runs that count, after one that does not.
        factors: the multiples of the size for which memory and time are measured, once.
    """

    name: str
    title: str
    layout: Layout
    size: int
    engine: Engine
    model: str
    sides: tuple[str, ...]
    files: int = 0
    output_format: OutputFormat = "parquet"
    kind: Literal["warm", "cold", "memory"] = "warm"
    script: str = ""
    rounds: int = 5
    is_watched: bool = False
    factors: tuple[int, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def quick(self) -> Workload:
        """Return the same workload in a size, and with as many sides, as show only that it runs."""
        sides, size = QUICK.get(self.name, self.sides), min(self.size, 1_000)
        return replace(self, size=size, files=min(self.files, 4), rounds=0, sides=sides, factors=self.factors[:1])

    def middle(self) -> Workload:
        """Return the same workload with as many rounds and sides as fit into 50 minutes with all the others."""
        rounds, sides = MIDDLE[self.name]
        return replace(self, rounds=rounds, sides=sides)

    def resized(self, size: int) -> Workload:
        """Return the same workload with another number of rows or files."""
        return replace(self, size=size)


_SPARK: Final = (
    "spark-udf-sklearn", "spark-udf-onnx", "predict-batch-udf", "map-in-pandas", "map-in-arrow",
)  # fmt: skip
_OTHERS: Final = ("ray", "daft", "sail", "comet")
_OURS: Final = ("ours", "ours-spark-reader")
_ALL: Final = ("limit", "limit-lineage", *_OURS, "ours-all-columns", *_SPARK, *_OTHERS)
_DELTA: Final = ("limit", *_OURS, "spark-udf-onnx", "predict-batch-udf", "map-in-arrow", "daft", "sail")
_LARGE: Final = ("limit", "limit-lineage", *_OURS, "map-in-arrow", "daft", "sail")
_CALLS: Final = ("limit", "ours-none", "ours-process", "ours-tolerating", "map-in-pandas")

WORKLOADS: Final = (
    Workload("rows-mlp", "2 M rows, MLP, Parquet", "narrow", 2_000_000, "onnx", "mlp", _ALL),
    Workload("rows-mlp-delta", "2 M rows, MLP, Delta", "narrow", 2_000_000, "onnx", "mlp", _DELTA,
             output_format="delta"),
    Workload("rows-boosting", "2 M rows, 100 trees (XGBoost file), Parquet", "narrow", 2_000_000, "xgboost", "boosting",
             tuple(side for side in _ALL if side != "spark-udf-onnx")),
    Workload("rows-boosting-delta", "2 M rows, 100 trees (XGBoost file), Delta", "narrow", 2_000_000, "xgboost",
             "boosting", tuple(side for side in _DELTA if side != "spark-udf-onnx"), output_format="delta"),
    Workload("rows-boosting-onnx", "2 M rows, 100 trees (ONNX), Parquet", "narrow", 2_000_000, "onnx", "boosting",
             ("limit", *_OURS, "spark-udf-onnx", "predict-batch-udf", "map-in-arrow", *_OTHERS), rounds=3),
    Workload("large-mlp", "20 M rows, MLP, Parquet", "narrow", 20_000_000, "onnx", "mlp", _LARGE, rounds=3),
    Workload("large-mlp-delta", "20 M rows, MLP, Delta", "narrow", 20_000_000, "onnx", "mlp", ("limit", "ours", "sail"),
             output_format="delta", rounds=3),
    Workload("large-boosting", "20 M rows, 100 trees (XGBoost file), Parquet", "narrow", 20_000_000, "xgboost",
             "boosting", _LARGE, rounds=3),
    Workload("large-boosting-delta", "20 M rows, 100 trees (XGBoost file), Delta", "narrow", 20_000_000, "xgboost",
             "boosting", ("limit", "ours", "sail"), output_format="delta", rounds=3),
    Workload("mixed-mlp", "2 M rows, MLP; mixed types, NULLs, 20 carried columns", "mixed", 2_000_000, "onnx", "mlp",
             ("limit", *_OURS, "predict-batch-udf", "map-in-pandas", "map-in-arrow", *_OTHERS), rounds=3),
    Workload("mixed-boosting", "2 M rows, 100 trees; mixed types, NULLs, 20 carried columns", "mixed", 2_000_000,
             "xgboost", "boosting",
             ("limit", *_OURS, "predict-batch-udf", "map-in-pandas", "map-in-arrow", *_OTHERS), rounds=3),
    Workload("images", "20,000 small PNG files, a script", "images", 20_000, "script", "image",
             ("limit", "ours", "ours-none", "map-in-pandas", "ray"), rounds=3),
    Workload("skew-files", "one file of 64 MB among 99 of 100 KB, a script", "bytes", 100, "script", "compress",
             ("limit", "ours", "map-in-pandas"), rounds=3),
    Workload("skew-rows", "Parquet files, one of 64 MB among 99 of 100 KB, 100 trees", "skewed", 600_000, "xgboost",
             "boosting", ("limit", *_OURS, "map-in-arrow", "daft", "sail"), rounds=3),
    Workload("small-warm", "100 rows, warm", "narrow", 100, "onnx", "mlp",
             ("limit", "ours", "bare-spark", "map-in-arrow", "spark-udf-onnx"), files=1),
    Workload("small-cold", "100 rows, from the shell", "narrow", 100, "onnx", "mlp",
             ("limit", "ours", "bare-spark", "map-in-arrow"), files=1, kind="cold"),
    Workload("pyfunc", "2 M rows, scikit-learn with a signature", "narrow", 2_000_000, "sklearn", "linear", _CALLS),
    Workload("tabular-script", "2 M rows, a scoring script", "narrow", 2_000_000, "sklearn", "linear", _CALLS,
             script="linear"),
    Workload("loads", "64 partitions", "narrow", 64_000, "pyfunc", "noted",
             ("limit", "ours", "spark-udf-pyfunc", "predict-batch-udf", "map-in-arrow"), files=64, rounds=2),
    Workload("memory", "0.2 M rows and multiples of them, MLP", "narrow", 200_000, "onnx", "mlp",
             ("limit", "ours", "ours-spark-reader"), kind="memory", rounds=1,
             factors=(1, 10, 100, 1_000)),
    Workload("planning", "100,000 files, a script", "tiny", 100_000, "script", "name", ("limit", "ours"), rounds=2,
             is_watched=True, settings={"settings.mini_batch_size": 100}),
)  # fmt: skip
# What a quick benchmark runs: each workload, and each side at least once. Sessions stay, and the first one needs Delta.
QUICK: Final[Mapping[str, tuple[str, ...]]] = {
    "rows-mlp-delta": ("limit", "ours", "daft", "sail"),
    "rows-mlp": _ALL,
    "rows-boosting": ("limit", "ours", "ours-spark-reader"),
    "rows-boosting-delta": ("limit", "ours"),
    "rows-boosting-onnx": ("limit", "ours"),
    "large-mlp": ("limit", "ours"),
    "large-mlp-delta": ("limit", "ours"),
    "large-boosting": ("limit", "ours"),
    "large-boosting-delta": ("limit", "ours"),
    "mixed-mlp": ("limit", *_OURS, "map-in-pandas", "daft"),
    "mixed-boosting": ("limit", "ours", "sail"),
    "images": ("limit", "ours"),
    "skew-files": ("limit", "ours"),
    "skew-rows": ("limit", "ours", "daft"),
    "pyfunc": ("limit", "ours-none", "ours-tolerating"),
    "tabular-script": ("limit", "ours-process"),
    "small-warm": ("limit", "ours", "bare-spark"),
    "loads": ("limit", "ours", "spark-udf-pyfunc"),
    "planning": ("limit", "ours"),
    "memory": ("limit", "ours"),
    "small-cold": ("limit", "ours"),
}
# The rounds that count, and the sides, with which all workloads take 50 minutes; the most important first. Two rounds
# at least, so that no figure is that of a single run. What is slow and has no goal is left out.
_MIDDLE_PEERS: Final = ("spark-udf-sklearn", "map-in-arrow", "ray", "daft", "sail")
_MIDDLE_DELTA: Final = ("limit", *_OURS, "map-in-arrow", "daft", "sail")
_MIDDLE_MIXED: Final = ("limit", "ours", "map-in-arrow", "daft", "sail")
MIDDLE: Final[Mapping[str, tuple[int, tuple[str, ...]]]] = {
    "rows-mlp": (3, _ALL),
    "large-mlp": (2, ("limit", "limit-lineage", "ours", "daft", "sail")),
    "rows-boosting": (3, ("limit", *_OURS, *_MIDDLE_PEERS)),
    "large-boosting": (2, ("limit", "ours", "sail")),
    "small-warm": (5, ("limit", "ours", "bare-spark", "map-in-arrow", "spark-udf-onnx")),
    "small-cold": (3, ("limit", "ours", "bare-spark", "map-in-arrow")),
    "pyfunc": (3, _CALLS),
    "tabular-script": (3, _CALLS),
    "images": (2, ("limit", "ours", "ours-none")),
    "skew-files": (2, ("limit", "ours")),
    "large-mlp-delta": (2, ("limit", "ours")),
    "large-boosting-delta": (2, ("limit", "ours")),
    "rows-mlp-delta": (2, _MIDDLE_DELTA),
    "memory": (1, ("limit", "ours")),
    "planning": (2, ("limit", "ours")),
    "loads": (2, ("limit", "ours", "spark-udf-pyfunc", "map-in-arrow")),
    "mixed-mlp": (2, _MIDDLE_MIXED),
    "rows-boosting-onnx": (2, _MIDDLE_MIXED),
    "mixed-boosting": (2, _MIDDLE_MIXED),
    "skew-rows": (2, ("limit", "ours", "map-in-arrow", "daft")),
    "rows-boosting-delta": (2, ("limit", "ours", "map-in-arrow", "daft", "sail")),
}
