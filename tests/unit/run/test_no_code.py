from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql.types import DoubleType, StructField, StructType

from sparkscore.config import Model
from sparkscore.errors import SignatureMismatchError
from sparkscore.models import ModelDescription, ResolvedModel
from sparkscore.run.no_code import is_fast, match_model, outputs_of
from sparkscore.scorers import ScorerSpec, ScriptSpec
from sparkscore.scorers.model_files import ModelFiles
from sparkscore.scorers.specs import FrameworkSpec, MlflowSpec, OnnxSpec
from sparkscore.signature.model_signature import ModelSignature

MODEL = ResolvedModel(Path("/models/m"), "m", "1", "0" * 64)
WITHOUT = ModelDescription("mlflow", (), ModelSignature(), signature_advice="Log it with infer_signature().")


def test_a_model_without_signature_gets_all_columns() -> None:
    columns = StructType([StructField("a", DoubleType())])

    assert match_model(WITHOUT, Model(path="m"), MODEL, columns) is None


def test_a_model_without_signature_cannot_say_what_files_become() -> None:
    with pytest.raises(SignatureMismatchError, match=r"no signature.*Log it with infer_signature") as caught:
        match_model(WITHOUT, Model(path="m"), MODEL, None)

    assert caught.value.code == "SIGNATURE_MISMATCH"


@pytest.mark.parametrize(
    ("section", "is_known"),
    [
        ({}, True),
        ({"params": {"missing": -1.0, "iteration_range": [0, 3]}}, True),
        ({"params": {"pred_leaf": True}}, False),
        ({"predict_fn": ["predict"]}, False),
    ],
)
def test_what_an_xgboost_file_predicts_is_known_unless_parameters_may_change_it(
    section: dict[str, Any], *, is_known: bool
) -> None:
    outputs = pa.schema([("prediction", pa.float64())])
    description = ModelDescription("xgboost", ("xgboost .ubj",), ModelSignature(outputs=outputs), runs_code=False)

    assert outputs_of(description, Model(path="m.ubj", **section)) == (outputs if is_known else None)


FILES = ModelFiles("m", "1", "/m", "0" * 64)


@pytest.mark.parametrize(
    ("name", "size", "scorer", "expected"),
    [
        ("m.onnx", 64 * 1024, OnnxSpec(FILES, "", (), ()), True),
        ("m.onnx", 64 * 1024 + 1, OnnxSpec(FILES, "", (), ()), False),
        ("m.onnx", 10, OnnxSpec(FILES, "m.onnx", (), ()), False),  # its weights may be in other files
        ("m.ubj", 10, FrameworkSpec(FILES, "xgboost", ()), True),
        ("m.txt", 10, FrameworkSpec(FILES, "lightgbm", ()), True),
        ("m.PKL", 10, FrameworkSpec(replace(FILES, source="/m.PKL"), "xgboost", ()), False),
        ("m.onnx", 10, MlflowSpec(FILES, ()), False),
        ("m.onnx", 10, ScriptSpec(b"", "score.py"), False),
    ],
)
def test_a_small_file_without_code_is_a_fast_model(
    name: str, size: int, scorer: ScorerSpec, tmp_path: Path, *, expected: bool
) -> None:
    (tmp_path / name).write_bytes(b"x" * size)

    assert is_fast(replace(MODEL, path=tmp_path / name), scorer) == expected
    assert not is_fast(None, scorer)
