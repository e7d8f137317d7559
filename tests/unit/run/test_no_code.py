from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql.types import DoubleType, StructField, StructType

from sparkscore.config import Model
from sparkscore.errors import SignatureMismatchError
from sparkscore.models import ModelDescription, ResolvedModel
from sparkscore.run.no_code import match_model
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
