from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from sparkscore.config import Model
from sparkscore.digest import digest_of_path
from sparkscore.errors import ConfigError, ModelError, ModelNotFoundError
from sparkscore.models import ResolvedModel, resolve_model


def resolved(model: Model) -> ResolvedModel:
    found = resolve_model(model)
    assert found is not None
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "churn-1.2"
    (folder / "data").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors:")
    (folder / "data" / "model.pkl").write_bytes(b"weights")
    return folder


def test_no_model_is_no_model() -> None:
    assert resolve_model(None) is None


def test_a_file_is_named_by_its_stem_and_versioned_by_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()

    found = resolved(Model(path=str(path)))

    assert found == ResolvedModel(path, "model", f"sha256:{sha256[:12]}", sha256)
    assert found.describe() == {
        "name": "model", "version": found.version, "sha256": sha256, "path": str(path), "uri": None,
    }  # fmt: skip


def test_a_folder_is_named_by_its_whole_name(folder: Path) -> None:
    assert resolved(Model(path=str(folder))).name == "churn-1.2"


def test_what_the_deployment_says_holds(folder: Path) -> None:
    found = resolved(Model(path=f"file:{folder}", name="churn", version="7", sha256=digest_of_path(folder).upper()))

    assert (found.path, found.name, found.version) == (folder, "churn", "7")


def test_a_relative_path_is_made_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)

    assert resolved(Model(path="MLmodel")).path == folder / "MLmodel"


def test_another_digest_than_the_pinned_one_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError) as caught:
        resolve_model(Model(path=str(folder), sha256="0" * 64))

    assert caught.value.code == "MODEL_DIGEST"
    assert digest_of_path(folder) in caught.value.got


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        resolve_model(Model(path=str(tmp_path / "nothing")))

    assert caught.value.code == "MODEL_NOT_FOUND"
    assert str(tmp_path / "nothing") in str(caught.value)


def test_a_model_on_a_store_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_model(Model(path="s3://bucket/model.pkl"))

    assert caught.value.code == "LOCATION_REMOTE"


def test_a_digest_is_that_of_contents_and_relative_names(folder: Path, tmp_path: Path) -> None:
    before = digest_of_path(folder)

    os.utime(folder / "MLmodel", (1, 1))
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_bytes(b"cache")
    moved = folder.rename(tmp_path / "__pycache__")

    assert digest_of_path(moved) == before


def test_a_digest_changes_with_contents_names_and_places(folder: Path) -> None:
    digests = [digest_of_path(folder)]
    (folder / "MLmodel").write_text("flavors: 2")
    digests.append(digest_of_path(folder))
    (folder / "MLmodel").rename(folder / "MLmodel2")
    digests.append(digest_of_path(folder))
    (folder / "MLmodel2").rename(folder / "data" / "MLmodel2")
    digests.append(digest_of_path(folder))
    (folder / os.fsdecode(b"caf\xe9")).write_bytes(b"")
    digests.append(digest_of_path(folder))

    assert len(set(digests)) == 5


def test_a_large_file_is_read_in_blocks(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"0123456789" * 300_000)

    assert digest_of_path(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_linked_files_and_folders_belong_to_the_model_and_circles_end(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "layer").write_bytes(b"1")
    plain = digest_of_path(folder)
    (folder / "linked").symlink_to(tmp_path / "weights")
    (folder / "circle").symlink_to(folder)
    (folder / "broken").symlink_to(tmp_path / "nowhere")
    linked = digest_of_path(folder)

    (tmp_path / "weights" / "layer").write_bytes(b"2")

    assert len({plain, linked, digest_of_path(folder)}) == 3
