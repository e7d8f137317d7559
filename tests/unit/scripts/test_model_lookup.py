from __future__ import annotations

from pathlib import Path

import pytest

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelError, ModelNotFoundError
from sparkscore.scripts.model_lookup import DeployedModel, ModelLookup

ROOT = Path("/models")
CHURN = DeployedModel("churn", "4", ROOT / "model.pkl")
WORDS = DeployedModel("words", "sha256:ab", ROOT / "words" / "1" / "tokens")
NAMED_LIKE_A_FILE = DeployedModel("model.pkl", "9", ROOT / "model.pkl" / "9" / "other.bin")


class Registry:
    """A registry of two versions of 'heart'; remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []

    def fetch(self, name: str, version: str | None) -> tuple[Path, str]:
        self.asked.append((name, version))
        if name != "heart" or version not in {None, "1", "2"}:
            raise ModelNotFoundError(
                code=ErrorCode.MODEL_NOT_FOUND, what=f"model '{name}'", got="no such", next_step="Add it."
            )
        return Path("/cache") / name, version or "2"


@pytest.fixture
def registry() -> Registry:
    return Registry()


def lookup(registry: Registry, *deployed: DeployedModel) -> ModelLookup:
    return ModelLookup(deployed, registry.fetch, lambda copy, name, version: Path("/own") / name / version / copy.name)


@pytest.mark.parametrize(
    ("name", "version", "path"),
    [
        ("churn", None, CHURN.path),
        ("churn", 4, CHURN.path),
        ("churn", "4", CHURN.path),
        ("model.pkl", None, CHURN.path),
        ("words", None, WORDS.path),
        ("words", "sha256:ab", WORDS.path),
        ("tokens", None, WORDS.path),
    ],
)
def test_the_deployments_models_come_first(name: str, version: object, path: Path, registry: Registry) -> None:
    assert lookup(registry, CHURN, WORDS).find(name, version) == path
    assert registry.asked == []


def test_a_name_comes_before_the_name_of_a_file(registry: Registry) -> None:
    assert lookup(registry, CHURN, NAMED_LIKE_A_FILE).find("model.pkl") == NAMED_LIKE_A_FILE.path


def test_another_version_than_the_deployments_is_refused_with_both(registry: Registry) -> None:
    with pytest.raises(
        ModelError, match=r"MODEL_VERSION.*'churn'.*got version 4 in the deployment, expected version 3"
    ):
        lookup(registry, CHURN).find("churn", 3)
    assert registry.asked == []


def test_other_names_are_asked_of_the_registry_once(registry: Registry) -> None:
    models = lookup(registry, CHURN)

    found = [models.find("heart", version) for version in (None, None, 2, "2", 1)]

    assert found == [Path("/own/heart/2/heart")] * 4 + [Path("/own/heart/1/heart")]
    assert registry.asked == [("heart", None), ("heart", "1")]


def test_a_version_that_is_known_is_not_placed_twice(registry: Registry) -> None:
    models = lookup(registry)

    assert models.find("heart", 2) == models.find("heart")
    assert registry.asked == [("heart", "2"), ("heart", None)]


@pytest.mark.parametrize(
    ("deployed", "there"),
    [((), "no models in the deployment"), ((WORDS, CHURN), "only 'churn', 'words' in the deployment")],
)
def test_an_unknown_name_says_what_there_is(
    deployed: tuple[DeployedModel, ...], there: str, registry: Registry
) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        lookup(registry, *deployed).find("lungs")

    assert str(caught.value).startswith(
        f"[MODEL_NOT_FOUND] model 'lungs' that the scoring script asks for: got {there}; no such."
    )
    assert caught.value.next_step == "Add it."
