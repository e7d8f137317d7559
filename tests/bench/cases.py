"""The workloads of the benchmark, and the case that a side gets: the same for all sides of a workload."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import product
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
        """Return the same workload with as many rounds and sides as fit into two hours with all the others."""
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
_LARGE_DELTA: Final = ("limit", "ours", "sail")
_MIXED: Final = ("limit", *_OURS, "predict-batch-udf", "map-in-pandas", "map-in-arrow", *_OTHERS)
_MIXED_DELTA: Final = ("limit", "ours", "map-in-arrow", "daft", "sail")
_CALLS: Final = ("limit", "ours-none", "ours-process", "ours-tolerating", "map-in-pandas")
# Each input is scored with each model, into each format. The names of workloads consist of these names.
_INPUTS: Final[tuple[tuple[str, Layout, int, str], ...]] = (
    ("rows", "narrow", 2_000_000, "2 M rows"),
    ("large", "narrow", 20_000_000, "20 M rows"),
    ("mixed", "mixed", 2_000_000, "2 M rows with mixed types, NULLs, 20 carried columns"),
    ("large-mixed", "mixed", 20_000_000, "20 M rows with mixed types, NULLs, 20 carried columns"),
)
_MODELS: Final[tuple[tuple[str, Engine, str, str], ...]] = (
    ("mlp", "onnx", "mlp", "MLP"),
    ("boosting", "xgboost", "boosting", "100 trees (XGBoost file)"),
    ("boosting-onnx", "onnx", "boosting", "100 trees (ONNX)"),
)
_FORMATS: Final[tuple[tuple[str, OutputFormat, str], ...]] = (("", "parquet", "Parquet"), ("-delta", "delta", "Delta"))
_SIDES_OF_INPUTS: Final = {
    "rows": (_ALL, _DELTA),
    "large": (_LARGE, _LARGE_DELTA),
    "mixed": (_MIXED, _MIXED_DELTA),
    "large-mixed": (_LARGE_DELTA, _LARGE_DELTA),
}
# The flavors of MLflow that are the engine of a model.
_FLAVORS: Final = {"mlp": ("onnx", "sklearn"), "boosting": ("sklearn",), "boosting-onnx": ("onnx",)}


def _tables() -> Iterator[Workload]:
    """Yield a workload for each input, model and format."""
    for of_input, of_model, of_format in product(_INPUTS, _MODELS, _FORMATS):
        source, layout, size, rows = of_input
        named, engine, model, titled = of_model
        ending, output_format, written = of_format
        sides = _SIDES_OF_INPUTS[source][bool(ending)]
        others = {f"spark-udf-{flavor}" for flavor in ("onnx", "sklearn") if flavor not in _FLAVORS[named]}
        yield Workload(
            f"{source}-{named}{ending}",
            f"{rows}, {titled}, {written}",
            layout,
            size,
            engine,
            model,
            tuple(side for side in sides if side not in others),
            output_format=output_format,
            rounds=5 if source == "rows" else 3,
        )


WORKLOADS: Final = (
    *_tables(),
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
# The sides of a quick benchmark, where they are not the usual two: each side at least once.
_QUICK_SIDES: Final[Mapping[str, tuple[str, ...]]] = {
    "rows-mlp-delta": ("limit", "ours", "daft", "sail"),
    "rows-mlp": _ALL,
    "rows-boosting": ("limit", *_OURS),
    "mixed-mlp": ("limit", *_OURS, "map-in-pandas", "daft"),
    "mixed-boosting": ("limit", "ours", "sail"),
    "skew-rows": ("limit", "ours", "daft"),
    "pyfunc": ("limit", "ours-none", "ours-tolerating"),
    "tabular-script": ("limit", "ours-process"),
    "small-warm": ("limit", "ours", "bare-spark"),
    "loads": ("limit", "ours", "spark-udf-pyfunc"),
}
# What a quick benchmark runs: no workloads of 20 M rows, which are those of 2 M rows if they have only 1,000. Sessions
# stay, and the first one needs Delta.
QUICK: Final[Mapping[str, tuple[str, ...]]] = {
    **_QUICK_SIDES,
    **{each.name: ("limit", "ours") for each in WORKLOADS if each.name not in _QUICK_SIDES and each.size < 20_000_000},
}
# The rounds that count, and the sides, with which all workloads take two hours; the most important first. Two rounds
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
    "large-boosting-onnx": (2, ("limit", "ours", "sail")),
    "large-boosting-onnx-delta": (2, ("limit", "ours")),
    "large-mixed-mlp": (2, ("limit", "ours", "sail")),
    "large-mixed-mlp-delta": (2, ("limit", "ours")),
    "large-mixed-boosting": (2, ("limit", "ours", "sail")),
    "large-mixed-boosting-delta": (2, ("limit", "ours")),
    "large-mixed-boosting-onnx": (2, ("limit", "ours")),
    "large-mixed-boosting-onnx-delta": (2, ("limit", "ours")),
    "mixed-boosting": (2, _MIDDLE_MIXED),
    "skew-rows": (2, ("limit", "ours", "map-in-arrow", "daft")),
    "rows-boosting-delta": (2, _MIDDLE_MIXED),
    "rows-boosting-onnx-delta": (2, _LARGE_DELTA),
    "mixed-mlp-delta": (2, _LARGE_DELTA),
    "mixed-boosting-delta": (2, _LARGE_DELTA),
    "mixed-boosting-onnx": (2, _LARGE_DELTA),
    "mixed-boosting-onnx-delta": (2, _LARGE_DELTA),
}
