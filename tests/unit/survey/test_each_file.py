from __future__ import annotations

import threading
import time

import pytest

from sparkscore.survey import each_file
from sparkscore.survey.each_file import read_each


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 100])
@pytest.mark.parametrize("slow_s", [0.0, 1.0])
def test_each_file_is_read_once_and_answered_in_order(
    count: int, slow_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(each_file, "_SLOW_S", slow_s)
    paths = [str(number) for number in range(count)]
    asked: list[str] = []

    def read(path: str) -> int:
        asked.append(path)
        return int(path)

    assert list(read_each(read, paths)) == list(range(count))
    assert sorted(asked) == sorted(paths)


def test_slow_files_are_read_in_threads_from_where_they_become_slow() -> None:
    def read(path: str) -> int:
        if int(path) >= 32:
            time.sleep(0.003)
        return threading.get_ident()

    found = list(read_each(read, [str(number) for number in range(100)]))

    assert set(found[:64]) == {threading.get_ident()}
    assert threading.get_ident() not in found[64:]
