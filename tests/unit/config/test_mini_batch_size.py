from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.config import load_deployment
from sparkscore.config.mini_batch_size import (
    ItemType,
    MiniBatchSize,
    default_mini_batch_size,
    parse_file_size,
    parse_mini_batch_size,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (10, MiniBatchSize(items=10)),
        ("10", MiniBatchSize(items=10)),
        ("1B", MiniBatchSize(size_bytes=1)),
        ("1024B", MiniBatchSize(size_bytes=1024)),
        ("1KB", MiniBatchSize(size_bytes=1024)),
        ("1mb", MiniBatchSize(size_bytes=1024**2)),
        ("2 GB", MiniBatchSize(size_bytes=2 * 1024**3)),
        ("1024GB", MiniBatchSize(size_bytes=1024**4)),
        (2_147_483_647, MiniBatchSize(items=2_147_483_647)),
        (" 3 ", MiniBatchSize(items=3)),
        (MiniBatchSize(items=4), MiniBatchSize(items=4)),
    ],
)
def test_a_size_counts_items_or_bytes(value: object, expected: MiniBatchSize) -> None:
    assert parse_mini_batch_size(value) == expected


@pytest.mark.parametrize(
    "value",
    [0, -1, True, 1.5, None, [], {}, "", "0", "0MB", "-1KB", "1.5MB", "1TB", "MB", "ten", "1e3", "10 items", "\u0661"],
)
def test_anything_else_is_refused_with_examples(value: object) -> None:
    with pytest.raises(ValueError, match="512KB"):
        parse_mini_batch_size(value)


@pytest.mark.parametrize(
    "value",
    [3_000_000_000, 2**31, "2147483648", "1025GB", "999999999999999999GB", 10**30],
)
def test_more_than_a_batch_can_hold_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="512KB"):
        parse_mini_batch_size(value)


LARGEST = {"": 2**31 - 1, "B": 2**40, "KB": 2**30, "MB": 2**20, "GB": 2**10}


@given(st.sampled_from(list(LARGEST)).flatmap(lambda unit: st.tuples(st.integers(1, LARGEST[unit]), st.just(unit))))
def test_a_size_written_is_the_size_read(written: tuple[int, str]) -> None:
    number, unit = written
    size = parse_mini_batch_size(f"{number}{unit}")

    assert parse_mini_batch_size(str(size)) == size
    assert (size.items is None) is bool(unit)
    assert (size.size_bytes is None) is not bool(unit)


@pytest.mark.parametrize(
    ("kind", "is_azure", "expected"),
    [
        ("files", False, MiniBatchSize(items=10)),
        ("files", True, MiniBatchSize(items=10)),
        ("rows", False, MiniBatchSize(items=10_000)),
        ("rows", True, MiniBatchSize(size_bytes=1024 * 1024)),
    ],
)
def test_the_default_depends_on_the_input_and_the_schema(
    kind: ItemType,
    is_azure: bool,  # noqa: FBT001 - a case
    expected: MiniBatchSize,
) -> None:
    assert default_mini_batch_size(kind, is_azure=is_azure) == expected


@pytest.mark.parametrize(("size", "expected"), [("100", "100B"), (100, "100"), ("1KB", "1024B")])
def test_a_number_in_quotes_counts_bytes_of_azures_tables(size: int | str, expected: str) -> None:
    azure = load_deployment(None, {"$schema": "https://azuremlschemas.azureedge.net/x.json", "mini_batch_size": size})

    assert str(azure.mini_batch_size_for("rows")) == expected
    assert str(azure.mini_batch_size_for("files")) == ("1024B" if size == "1KB" else "100")
    assert str(load_deployment(None, {"mini_batch_size": "100"}).mini_batch_size_for("rows")) == "100"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("64KB", 2**16), ("65536B", 2**16), ("128MB", 2**27), ("1 gb", 2**30), ("1024GB", 2**40), (" 1MB ", 2**20)],
)
def test_the_size_of_a_file_has_a_unit(value: object, expected: int) -> None:
    assert parse_file_size(value) == expected


@pytest.mark.parametrize("value", [128, "134217728", "63KB", "1B", "1025GB", "1TB", "0MB", "-1MB", True, None, [], ""])
def test_another_size_of_a_file_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="'128MB'"):
        parse_file_size(value)


def test_the_size_of_a_file_is_read_again_as_it_is_recorded() -> None:
    deployment = load_deployment(None, {"output.target_file_size": "2MB"})
    recorded = deployment.effective()["output"]

    assert deployment.output.target_file_size == 2 * 1024**2
    assert recorded["target_file_size"] == "2097152B"  # type: ignore[index] # a mapping
    again = load_deployment(None, {"output": recorded})
    assert again.output.target_file_size == 2 * 1024**2
