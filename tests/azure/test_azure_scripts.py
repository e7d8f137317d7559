"""Scoring scripts as people write them for Azure ML's batch endpoints and ParallelRunStep, run as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from sparkscore.scorers.failed import ScorerFailedError

if TYPE_CHECKING:
    from tests.support.endpoint import Deploy


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A registered model: a folder with the weights in it."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.json").write_text(json.dumps({"bias": 100, "x": 2}))
    return folder


def test_a_script_that_joins_the_models_folder_name(deploy: Deploy, files: list[Path], model: Path) -> None:
    assert model.name == "model"
    source = """
    import json
    import os
    import pandas as pd

    def init():
        global weights
        # the folder that was registered as the model is called "model"
        model_path = os.path.join(os.environ["AZUREML_MODEL_DIR"], "model")
        with open(os.path.join(model_path, "weights.json")) as f:
            weights = json.load(f)

    def run(mini_batch):
        print(f"run method start: {__file__}, run({len(mini_batch)} files)")
        results = []
        for file_path in mini_batch:
            data = pd.read_csv(file_path)
            results.append(float(weights["bias"] + weights["x"] * data["x"].sum()))
        return results
    """

    assert deploy({"batch_driver.py": source}).predictions(files) == [
        {"prediction": 100.0}, {"prediction": 102.0}, {"prediction": 104.0}, {"prediction": 106.0},
    ]  # fmt: skip


def test_a_script_that_looks_for_the_models_folder_with_a_glob(deploy: Deploy, files: list[Path], model: Path) -> None:
    del model
    source = """
    import os, glob, json

    def init():
        global model, folder
        root = os.environ["AZUREML_MODEL_DIR"]
        folder = glob.glob(root + "/*/")[0]
        with open(glob.glob(os.path.join(folder, "**", "*.json"), recursive=True)[0]) as f:
            model = json.load(f)

    def run(mini_batch):
        return [os.path.basename(os.path.normpath(folder)) for _ in mini_batch]
    """

    assert deploy({"score.py": source}).predictions(files) == [{"prediction": "model"}] * 4


def test_a_script_that_walks_through_the_models_folder(deploy: Deploy, files: list[Path], model: Path) -> None:
    (model / "deep").mkdir()
    (model / "deep" / "labels.txt").write_text("cat dog")
    source = """
    import os

    labels = None

    def find(name):
        for folder, _, names in os.walk(os.getenv("AZUREML_MODEL_DIR")):
            if name in names:
                return os.path.join(folder, name)

    def init():
        global labels
        with open(find("labels.txt")) as f:
            labels = f.read().split()

    def run(mini_batch):
        return [labels] * len(mini_batch)
    """

    assert deploy({"score.py": source}).predictions(files)[0] == {"prediction": ["cat", "dog"]}


def test_a_script_for_images_that_skips_what_it_cannot_read(deploy: Deploy, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "in" / "b.csv").write_bytes(b"\x00")
    source = """
    import os
    import numpy as np

    def init():
        global labels
        labels = ["even", "odd"]

    def run(mini_batch):
        resultList = []
        for image in mini_batch:
            try:
                with open(image, "rb") as f:
                    number = int(f.read().split(b"\\n")[1].split(b",")[0])
            except Exception as e:
                print("cannot read", image, e)
                continue
            probabilities = np.array([[1 - number % 2, number % 2]])
            best = np.argmax(probabilities, 1)
            resultList.append("{}: {}".format(os.path.basename(image), labels[best[0]]))
        return resultList
    """
    outcome = deploy({"digit_identification.py": source}).score(files)

    assert (outcome.items, outcome.scored, outcome.failed) == (4, 3, 1)
    assert outcome.table is not None
    assert outcome.table.column("prediction").to_pylist() == ["a.csv: even", "c.csv: even", "d.csv: odd"]
    assert outcome.table.column("source_file").to_pylist() == [None] * 3
    assert outcome.failure is not None
    assert outcome.failure.code == "OUTPUT_ROWS"


def test_a_script_that_returns_a_frame_with_a_row_for_each_file(deploy: Deploy, files: list[Path]) -> None:
    source = """
    import pandas as pd
    from pathlib import Path

    def init():
        pass

    def run(mini_batch):
        results = []
        for image in mini_batch:
            name = Path(image).name
            results.append([name, len(name), 0.5])
        return pd.DataFrame(results, columns=["file", "class", "probability"])
    """
    predictions = deploy({"score.py": source}).predictions(files)

    assert predictions[0] == {"file": "a.csv", "class": 5, "probability": 0.5}
    assert len(predictions) == 4


def test_a_script_that_returns_all_rows_of_its_csv_files(deploy: Deploy, files: list[Path]) -> None:
    for path in files:
        path.write_text("x\n1\n2\n3\n")
    source = """
    import pandas as pd

    def run(mini_batch):
        frames = []
        for path in mini_batch:
            data = pd.read_csv(path)
            data["prediction"] = data["x"] * 2
            frames.append(data)
        return pd.concat(frames)
    """
    outcome = deploy({"score.py": source}).score(files)

    assert outcome.table is not None
    assert (outcome.items, outcome.scored, outcome.table.num_rows) == (4, 4, 12)
    assert set(outcome.table.column("source_file").to_pylist()) == {None}


def test_a_script_with_arguments_some_of_which_are_not_its_own(deploy: Deploy, files: list[Path]) -> None:
    source = """
    import argparse

    def init():
        global args
        parser = argparse.ArgumentParser(allow_abbrev=False)
        parser.add_argument("--threshold", type=float, default=0.5)
        parser.add_argument("--labels", nargs="*", default=[])
        args, unknown = parser.parse_known_args()
        global rest
        rest = unknown

    def run(mini_batch):
        return [(args.threshold, ",".join(args.labels), " ".join(rest)) for _ in mini_batch]
    """
    endpoint = deploy({"score.py": source}, ("--threshold", "0.9", "--labels", "a", "b", "--node_id", "7"))

    assert endpoint.predictions(files[:1]) == [{"c0": 0.9, "c1": "a,b", "c2": "--node_id 7"}]


def test_a_script_that_writes_files_of_its_own(deploy: Deploy, files: list[Path]) -> None:
    source = """
    import os
    from pathlib import Path

    def init():
        global output_path
        output_path = Path(os.environ["AZUREML_BI_OUTPUT_PATH"])
        output_path.mkdir(parents=True, exist_ok=True)

    def run(mini_batch):
        for file in mini_batch:
            (output_path / (Path(file).stem + ".txt")).write_text("scored")
        return mini_batch
    """
    endpoint = deploy({"score.py": source})

    assert [row["prediction"] for row in endpoint.predictions(files)] == [str(path) for path in files]
    assert sorted(path.name for path in endpoint.output.iterdir()) == ["a.txt", "b.txt", "c.txt", "d.txt"]


def test_a_script_with_modules_and_files_beside_it(deploy: Deploy, files: list[Path]) -> None:
    source = """
    import os
    import sys

    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.append(os.path.join(here, "lib"))

    from preprocessing import clean
    from features.numbers import double
    import shared_settings

    with open(os.path.join(here, "config.txt")) as f:
        CONFIG = f.read()

    def init():
        pass

    def run(mini_batch):
        return [double(clean(os.path.basename(f))) + shared_settings.SUFFIX + CONFIG for f in mini_batch]
    """
    siblings = {
        "preprocessing.py": "def clean(text):\n    return text.strip()",
        "features/numbers.py": "def double(text):\n    return text * 2",
        "lib/shared_settings.py": "SUFFIX = '!'",
        "config.txt": "?",
    }

    assert deploy({"src/score.py": source, **{f"src/{name}": text for name, text in siblings.items()}}).predictions(
        files[:1]
    ) == [{"prediction": "a.csva.csv!?"}]


def test_a_script_that_yields_for_each_file(deploy: Deploy, files: list[Path]) -> None:
    source = """
    import os

    def init():
        global seen
        seen = 0

    def run(mini_batch):
        global seen
        for path in mini_batch:
            seen += 1
            assert os.path.exists(path)
            yield True
    """

    assert deploy({"score.py": source}).predictions(files) == [{"prediction": True}] * 4


def test_a_script_with_state_in_globals(deploy: Deploy, files: list[Path]) -> None:
    source = """
    model = None
    batches = 0

    def init():
        global model
        model = {"loaded": True}

    def run(mini_batch):
        global batches
        batches += 1
        assert model["loaded"]
        return [batches] * len(mini_batch)
    """
    endpoint = deploy({"score.py": source})

    assert endpoint.predictions(files[:2]) == [{"prediction": 1}] * 2
    assert endpoint.predictions(files[2:]) == [{"prediction": 2}] * 2


def test_a_script_without_init(deploy: Deploy, files: list[Path]) -> None:
    assert (
        deploy({"score.py": "def run(mini_batch):\n    return [len(mini_batch)] * len(mini_batch)"}).predictions(files)
        == [{"prediction": 4}] * 4
    )


def test_a_script_with_variables_of_the_deployment(deploy: Deploy, files: list[Path]) -> None:
    source = """
    import os

    column = os.environ["AZUREML_BI_TEXT_COLUMN"]

    def init():
        assert os.environ.get("AZUREML_BI_TEXT_COLUMN") == column

    def run(mini_batch):
        return [os.getenv("AZUREML_BI_TEXT_COLUMN")] * len(mini_batch)
    """

    assert deploy({"score.py": source}, environment={"AZUREML_BI_TEXT_COLUMN": "text"}).predictions(files[:1]) == [
        {"prediction": "text"}
    ]


def test_a_script_of_a_parallel_run_step_for_tables(deploy: Deploy, model: Path) -> None:
    source = '''
    """Entry script of a pipeline step: rows come in as a DataFrame."""
    import argparse
    import json
    import os

    import numpy as np

    def init():
        global model
        parser = argparse.ArgumentParser(description="Iris model serving")
        parser.add_argument("--model_name", dest="model_name", required=True)
        args, _ = parser.parse_known_args()
        model_path = os.path.join(os.environ["AZUREML_MODEL_DIR"], args.model_name)
        with open(os.path.join(model_path, "weights.json")) as model_file:
            model = json.load(model_file)

    def run(input_data):
        input_data["sepal"] = input_data["sepal"].fillna(0)
        num_rows, num_cols = input_data.shape
        pred = (np.asarray(input_data["sepal"]) * model["x"]).reshape((num_rows, 1))
        result = input_data.drop(input_data.columns[:], axis=1)
        result["variety"] = pred
        return result
    '''
    rows = pa.table({"sepal": [1.0, None, 3.0], "petal": [1, 2, 3]})

    outcome = deploy({"iris_score.py": source}, ("--model_name", model.name)).score(rows, carried=("sepal", "petal"))

    assert outcome.table is not None
    assert outcome.table.select(["sepal", "petal", "variety"]).to_pylist() == [
        {"sepal": 1.0, "petal": 1, "variety": 2.0},
        {"sepal": None, "petal": 2, "variety": 0.0},
        {"sepal": 3.0, "petal": 3, "variety": 6.0},
    ]


def test_a_script_that_returns_a_list_for_a_table(deploy: Deploy) -> None:
    source = """
    def init():
        pass

    def run(mini_batch):
        results = []
        for index, row in mini_batch.iterrows():
            results.append({"index": index, "total": row["x"] + row["y"]})
        return results
    """
    rows = pa.table({"x": [1, 2], "y": [10, 20]})

    assert deploy({"score.py": source}).predictions(rows) == [{"index": 0, "total": 11}, {"index": 1, "total": 22}]


def test_a_script_that_fails_says_where(deploy: Deploy, files: list[Path]) -> None:
    source = """
    import os

    def helper(path):
        raise FileNotFoundError(path)

    def run(mini_batch):
        return [helper(path) for path in mini_batch]
    """

    with pytest.raises(ScorerFailedError) as caught:
        deploy({"score.py": source}).score(files)

    failure = caught.value.failure
    assert (failure.code, failure.error_class, failure.place) == ("SCRIPT_RUN", "FileNotFoundError", "score.py, line 5")
