from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from sparkscore.config import Deployment, MiniBatchSize, load_deployment, parse_assignment
from sparkscore.errors import ConfigError

Write = Callable[[str], Path]


def _refused(path: Path | None, overrides: dict[str, object] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_deployment(path, overrides or {})
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - our own bytes
    return caught.value


def test_azures_flat_form_is_accepted_as_it_is(write: Write, azure_flat: str, tmp_path: Path) -> None:
    deployment = load_deployment(write(azure_flat))

    assert deployment.is_azure
    assert deployment.name == "mnist-torch"
    assert deployment.model is not None
    assert deployment.model.path == str(tmp_path / "model")
    assert deployment.model.name == "mnist-classifier"
    assert deployment.code_configuration is not None
    assert deployment.code_configuration.code == str(tmp_path / "code")
    assert deployment.code_configuration.scoring_script == "batch_driver.py"
    assert deployment.settings.mini_batch_size == MiniBatchSize(items=20)
    assert deployment.settings.retry_settings.timeout == 300
    assert deployment.settings.error_threshold == -1
    assert deployment.settings.max_concurrency_per_instance == 2
    assert deployment.resources.instance_count == 2


def test_azures_nested_form_is_accepted_with_a_path_for_its_model(write: Write, azure_nested: str) -> None:
    deployment = load_deployment(write(azure_nested), {"model.path": "/models/heart"})

    assert deployment.is_azure
    assert deployment.model is not None
    assert (deployment.model.path, deployment.model.name, deployment.model.version) == (
        "/models/heart",
        "heart-classifier",
        "3",
    )
    assert deployment.settings.logging_level == "warning"
    assert deployment.environment_variables == {"AZUREML_BI_TEXT_COLUMN": "text"}
    assert deployment.environment is not None
    assert deployment.environment.reference == "azureml:heart-env@latest"


def test_the_two_forms_mean_the_same(write: Write, azure_flat: str) -> None:
    flat = load_deployment(write(azure_flat))
    tree = yaml.safe_load(azure_flat)
    moved = {key: tree.pop(key) for key in list(tree) if key in type(flat.settings).model_fields}

    nested = load_deployment(write(yaml.safe_dump({**tree, "settings": moved})))

    assert len(moved) == 7
    assert nested == flat


def test_no_file_and_no_options_make_an_empty_deployment() -> None:
    assert load_deployment(None) == Deployment()


def test_options_alone_make_a_deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    deployment = load_deployment(
        None,
        {
            "model": Path("m.pkl"),
            "code_configuration.scoring_script": "score.py",
            "mini_batch_size": "1MB",
            "input.location": ["in/*.csv", Path("more")],
            "output.location": "out",
            "output.mode": None,
        },
    )

    assert deployment.model is not None
    assert deployment.model.path == str(tmp_path / "m.pkl")
    assert deployment.code_configuration is not None
    assert deployment.code_configuration.code == str(tmp_path)
    assert deployment.settings.mini_batch_size == MiniBatchSize(size_bytes=1024**2)
    assert deployment.input.location == (str(tmp_path / "in/*.csv"), str(tmp_path / "more"))
    assert deployment.output.location == str(tmp_path / "out")
    assert deployment.output.mode == "error"


def test_paths_are_relative_to_the_file_and_options_to_the_working_directory(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = write("""\
        model: ../models/m.pkl
        code_configuration: {code: ., scoring_script: s.py}
        input: {location: data/*.parquet}
        output: {location: out, stage: ./stage}
        python: {requirements: requirements.txt}
        """)
    monkeypatch.chdir(elsewhere)

    deployment = load_deployment(Path("../deployment.yml"), {"output.location": "out"})

    assert deployment.effective() == load_deployment(path, {"output.location": str(elsewhere / "out")}).effective()
    assert deployment.model is not None
    assert deployment.model.path == str(tmp_path.parent / "models/m.pkl")
    assert deployment.code_configuration is not None
    assert deployment.code_configuration.code == str(tmp_path)
    assert deployment.input.location == (str(tmp_path / "data/*.parquet"),)
    assert deployment.output.location == str(elsewhere / "out")
    assert deployment.output.stage == str(tmp_path / "stage")
    assert deployment.python.requirements == str(tmp_path / "requirements.txt")


@pytest.mark.parametrize(
    "location",
    ["/data/x", "s3://bucket/x", "abfss://c@a.dfs.core.windows.net/x", "dbfs:/mnt/x", "file:/x", "hdfs://n:8020/a//b"],
)
def test_uris_and_absolute_paths_stay(location: str) -> None:
    deployment = load_deployment(None, {"input.location": location, "output.location": location})

    assert deployment.input.location == (location,)
    assert deployment.output.location == location


def test_an_option_wins_over_the_file_in_either_place(write: Write) -> None:
    path = write("mini_batch_size: 5\nretry_settings: {timeout: 7}\nsettings: {error_threshold: 3}\n")

    deployment = load_deployment(
        path, {"settings.mini_batch_size": 6, "error_threshold": 4, "retry_settings.max_retries": 0}
    )

    assert deployment.settings.mini_batch_size == MiniBatchSize(items=6)
    assert deployment.settings.error_threshold == 4
    assert deployment.settings.retry_settings.timeout == 7
    assert deployment.settings.retry_settings.max_retries == 0


def test_an_option_that_is_a_mapping_is_merged_and_a_list_replaces(write: Write) -> None:
    path = write("input: {location: [a, b], options: {header: true, sep: ';'}}\n")

    deployment = load_deployment(path, {"input": {"location": ["/c"], "options": {"sep": ","}}})

    assert deployment.input.location == ("/c",)
    assert deployment.input.options == {"header": "true", "sep": ","}


def test_an_option_may_name_only_the_script(write: Write, tmp_path: Path) -> None:
    path = write("code_configuration: {code: src, scoring_script: a.py}\n")

    deployment = load_deployment(path, {"code_configuration.scoring_script": "b.py"})

    assert deployment.code_configuration is not None
    assert deployment.code_configuration.code == str(tmp_path / "src")
    assert deployment.code_configuration.scoring_script == "b.py"


def test_a_script_without_a_folder_is_beside_the_file(write: Write, tmp_path: Path) -> None:
    deployment = load_deployment(write("code_configuration: {scoring_script: a.py}\n"))

    assert deployment.code_configuration is not None
    assert deployment.code_configuration.code == str(tmp_path)


def test_azures_instance_count_among_the_settings(write: Write) -> None:
    assert load_deployment(write("settings: {instance_count: 3}")).resources.instance_count == 3


@pytest.mark.parametrize(
    ("reference", "name", "version"),
    [
        ("azureml:heart:3", "heart", "3"),
        ("azureml:heart@latest", "heart", None),
        ("azureml:heart", "heart", None),
        ("azureml://registries/shared/models/heart/versions/1.10", "heart", "1.10"),
        ("azureml://registries/shared/models/heart/labels/latest", "heart", None),
        ("azureml://datastores/store/paths/models/m.pkl/x", None, None),
    ],
)
def test_a_reference_needs_a_path_and_gives_name_and_version(
    reference: str, name: str | None, version: str | None, write: Write
) -> None:
    path = write(f"model: {reference}\n")

    error = _refused(path)
    deployment = load_deployment(path, {"model.path": "/m"})

    assert error.code == "MODEL_REFERENCE"
    assert error.got == f"'{reference}'"
    assert "--set model.path=" in error.next_step
    assert deployment.model is not None
    assert (deployment.model.path, deployment.model.name, deployment.model.version) == ("/m", name, version)


def test_a_reference_as_path_of_a_mapping_leaves_what_the_file_says(write: Write) -> None:
    path = write("model: {path: azureml:heart:3, name: ours}\n")

    deployment = load_deployment(path, {"model": "/m"})

    assert deployment.model is not None
    assert (deployment.model.name, deployment.model.version) == ("ours", "3")


@pytest.mark.parametrize("key", ["input.location", "output.location", "code_configuration.code"])
def test_other_references_are_refused_too(key: str) -> None:
    error = _refused(None, {key: "azureml://datastores/d/paths/x", "code_configuration.scoring_script": "s.py"})

    assert error.code == "AZURE_REFERENCE"
    assert f"--set {key}=PATH" in error.next_step


@pytest.mark.parametrize(
    ("written", "read"),
    [("5", "5"), ("1.10", "1.10"), ("true", "true"), ("True", "True"), ("no", "no"), ("'a b'", "a b"), ("0x1", "0x1")],
)
def test_environment_variables_are_texts_as_written(written: str, read: str, write: Write) -> None:
    deployment = load_deployment(write(f"environment_variables: {{A: {written}}}\n"))

    assert deployment.environment_variables == {"A": read}


def test_environment_variables_from_python_are_written_as_yaml_writes_them() -> None:
    variables = {"A": 5, "B": 1.5, "C": True, "D": "x"}

    deployment = load_deployment(None, {"environment_variables": variables, "environment_variables.E.F": 1})

    assert deployment.environment_variables == {"A": "5", "B": "1.5", "C": "true", "D": "x", "E.F": "1"}


def test_versions_and_arguments_are_texts_as_written(write: Write) -> None:
    deployment = load_deployment(
        write("""\
        model: {path: m, version: 1.10}
        models: {other: {path: n, version: 2.0}}
        environment: {name: e, version: 3.10}
        code_configuration: {scoring_script: s.py, arguments: [--n, 010, --rate, 1.50]}
        """)
    )

    assert deployment.model is not None
    assert deployment.model.version == "1.10"
    assert deployment.models["other"].version == "2.0"
    assert deployment.environment is not None
    assert deployment.environment.version == "3.10"
    assert deployment.code_configuration is not None
    assert deployment.code_configuration.arguments == ("--n", "010", "--rate", "1.50")


def test_arguments_in_one_text_are_split_as_a_shell_does(write: Write) -> None:
    text = "code_configuration: {scoring_script: s.py, arguments: \"--label 'a b' -v\"}\n"

    deployment = load_deployment(write(text))

    assert deployment.code_configuration is not None
    assert deployment.code_configuration.arguments == ("--label", "a b", "-v")


def test_keys_without_a_value_are_absent(write: Write) -> None:
    deployment = load_deployment(write("name:\ninput:\n  format:\nsettings:\ntags:\nmodel: ~\n"))

    assert deployment == Deployment()


def test_one_name_is_a_list_of_one(write: Write) -> None:
    deployment = load_deployment(write("output: {partition_by: day, carry: []}\ninput: {location: /a, columns: [x]}\n"))

    assert deployment.output.partition_by == ("day",)
    assert deployment.output.carry == ()
    assert deployment.input.location == ("/a",)
    assert deployment.input.columns == ("x",)


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("settings.mini_batch_size=100", ("settings.mini_batch_size", 100)),
        ("mini_batch_size=1MB", ("mini_batch_size", "1MB")),
        ("output.carry=[]", ("output.carry", [])),
        ("output.partition_by=[a, b]", ("output.partition_by", ["a", "b"])),
        ("input.options={header: true}", ("input.options", {"header": "true"})),
        ("environment_variables.A.B=010", ("environment_variables.A.B", "010")),
        ("model.version=1.10", ("model.version", "1.10")),
        ("description=a=b", ("description", "a=b")),
        (" name = heart ", ("name", "heart")),
        ("description=''", ("description", "")),
        ("settings.allowed_failed_percent=2.5", ("settings.allowed_failed_percent", 2.5)),
    ],
)
def test_an_assignment_is_a_key_and_a_yaml_value(assignment: str, expected: tuple[str, object]) -> None:
    assert parse_assignment(assignment) == expected


@pytest.mark.parametrize(
    "assignment", ["name", "", "=x", ".a=x", "a..b=x", "a=", "a=null", "a=[1", "a=&x 1", "a=b: c: d"]
)
def test_an_assignment_that_is_none_is_refused(assignment: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_assignment(assignment)

    assert caught.value.code == "CONFIG_SET"
    assert caught.value.expected
