from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_digits

from sparkscore.cli import demo
from sparkscore.cli.demo_data import DIGITS_FOR_TRAINING, DemoData, make_diabetes, make_digits
from sparkscore.errors import ConfigError

DEPLOYMENTS = Path(demo.__file__).parents[2] / "conf" / "deployments"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> DemoData:
    return make_digits(tmp_path_factory.mktemp("demo") / "digits")


@pytest.fixture(scope="module")
def diabetes(tmp_path_factory: pytest.TempPathFactory) -> DemoData:
    return make_diabetes(tmp_path_factory.mktemp("demo") / "diabetes")


def load_script(name: str, model: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(model.parent))
    spec = importlib.util.spec_from_file_location("score", DEPLOYMENTS / name / "score.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.init()
    return script


def test_every_digit_is_a_file_in_the_folder_of_its_name(digits: DemoData) -> None:
    files = sorted(digits.input.glob("*/*.png"), key=lambda path: path.stem)

    assert digits.is_new
    assert [int(path.parent.name) for path in files] == list(load_digits().target)


def test_the_script_sees_the_pixels_that_the_model_was_trained_on(
    digits: DemoData, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = load_script("digits", digits.model, monkeypatch)
    files = sorted(digits.input.glob("*/*.png"), key=lambda path: path.stem)

    pixels = np.stack([script._read_pixels(path) for path in files])

    assert np.abs(pixels - load_digits().data).max() < 0.04  # 256 shades for 17


def test_the_digits_script_gives_an_element_for_each_file(digits: DemoData, monkeypatch: pytest.MonkeyPatch) -> None:
    script = load_script("digits", digits.model, monkeypatch)
    unseen = [path for path in digits.input.glob("*/*.png") if int(path.stem) >= DIGITS_FOR_TRAINING]

    scored = script.run([str(path) for path in unseen])

    right = [int(path.parent.name) == element["digit"] for path, element in zip(unseen, scored, strict=True)]
    assert sum(right) / len(right) > 0.95
    assert all(element["margin"] >= 0 for element in scored)


def test_the_diabetes_script_gives_a_number_for_each_row(diabetes: DemoData, monkeypatch: pytest.MonkeyPatch) -> None:
    script = load_script("diabetes", diabetes.model, monkeypatch)
    patients = pq.read_table(diabetes.input).to_pandas()

    scored = pd.Series(script.run(patients))

    assert len(patients) == 442
    assert (scored - patients["progression"]).abs().mean() < 50


def test_what_is_there_is_used_again(digits: DemoData, diabetes: DemoData) -> None:
    before = {path: path.stat().st_mtime_ns for data in (digits, diabetes) for path in data.folder.rglob("*")}

    again = make_digits(digits.folder), make_diabetes(diabetes.folder)

    assert [data.is_new for data in again] == [False, False]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_what_was_made_by_halves_or_by_another_scikit_learn_is_made_again(tmp_path: Path) -> None:
    data = make_digits(tmp_path / "digits")
    (data.folder / "made_with.json").write_text('{"scikit-learn": "0.1"}', encoding="utf-8")
    (data.input / "0" / "9999.png").touch()

    again = make_digits(tmp_path / "digits")

    assert again.is_new
    assert len(list(again.input.glob("*/*.png"))) == 1797


def test_what_the_demo_did_not_make_is_neither_removed_nor_scored(tmp_path: Path) -> None:
    mine = tmp_path / "digits" / "images" / "mine.png"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine", encoding="utf-8")

    with pytest.raises(ConfigError, match=r"\[DEMO_FOLDER\] .*'mine.png', which the demo did not make"):
        make_digits(tmp_path / "digits")

    assert mine.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("package", ["sklearn", "PIL"])
def test_a_missing_package_is_named(
    sparkscore: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    answer = sparkscore("demo", "--folder", tmp_path / "demo", "--json")

    assert answer.exit_code == 2
    assert answer.json["error"]["code"] == "DEMO_PACKAGES"
    assert package in answer.err
    assert not (tmp_path / "demo").exists()


def test_without_a_checkout_the_demo_says_what_else_there_is(
    sparkscore: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(demo, "_DEPLOYMENTS", tmp_path / "none")

    answer = sparkscore("demo", "--json")

    assert answer.exit_code == 2
    assert answer.json["error"]["code"] == "DEMO_CHECKOUT"
    assert "sparkscore new" in answer.err


@pytest.mark.parametrize("name", ["digits", "diabetes"])
def test_the_demos_scripts_do_not_know_sparkscore(name: str) -> None:
    assert "sparkscore" not in (DEPLOYMENTS / name / "score.py").read_text(encoding="utf-8")
