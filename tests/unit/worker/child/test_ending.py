from __future__ import annotations

import gc
import gzip
import io
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sparkscore.worker.child import ending


class Odd(io.RawIOBase):
    is_over = False

    def writable(self) -> bool:
        if self.is_over:
            return False
        raise ValueError


@pytest.fixture(autouse=True)
def _only_the_files_of_the_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave out what pytest keeps open, as the files of a template are left out."""
    every = gc.get_objects
    others = every()
    known = {id(each) for each in others}
    monkeypatch.setattr("gc.get_objects", lambda: [each for each in every() if id(each) not in known])
    yield
    others.clear()  # kept until here: a new object must not get the id of one that was freed


NULL = Path(os.devnull)


@pytest.mark.parametrize("make", [io.BytesIO, partial(NULL.open, "rb"), partial(NULL.open, "wb", 0)])
def test_files_without_unwritten_data_do_not_delay_the_end(make: Callable[[], Any]) -> None:
    with make():
        assert not ending._has_file_to_write()


@pytest.mark.parametrize("make", [partial(NULL.open, "w"), partial(gzip.open, NULL, "w"), Odd])
def test_files_with_unwritten_data_delay_the_end_until_they_are_closed(
    make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with make():
        assert ending._has_file_to_write()
        monkeypatch.setattr(Odd, "is_over", True)

    assert not ending._has_file_to_write()


@pytest.mark.parametrize("has_file", [False, True])
def test_python_itself_ends_the_process_only_if_a_file_has_unwritten_data(
    monkeypatch: pytest.MonkeyPatch, *, has_file: bool
) -> None:
    done: list[object] = []
    monkeypatch.setattr("threading._shutdown", lambda: done.append("threads"))
    monkeypatch.setattr("atexit._run_exitfuncs", lambda: done.append("functions"))
    monkeypatch.setattr("gc.collect", lambda: done.append("objects"))
    monkeypatch.setattr(ending, "_has_file_to_write", lambda: has_file)
    monkeypatch.setattr(ending, "_exit", done.append)

    ending.end_process()

    assert done == ["threads", "functions", "objects", *([] if has_file else [0])]
