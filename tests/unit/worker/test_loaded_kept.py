"""The engines that a worker process keeps between tasks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from sparkscore.scorers.model_files import ModelFiles
from sparkscore.scorers.specs import FrameworkSpec, RowsSpec
from sparkscore.worker import loaded
from sparkscore.worker.engine import ChildSpec, EngineSpec, Loaded
from sparkscore.worker.loaded import KeptEngines


@dataclass
class Seen:
    made: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    seen = Seen()

    class Child:
        def __init__(self, spec: EngineSpec, child: ChildSpec | None = None) -> None:
            self.key, self.is_loaded = spec.key, False
            del child
            seen.made.append(self.key)

        def load(self) -> Loaded:
            self.is_loaded = True
            return Loaded()

        def close(self) -> None:
            seen.closed.append(self.key)

    class Local(Child):
        pass

    monkeypatch.setattr(loaded, "ChildEngine", Child)
    monkeypatch.setattr(loaded, "LocalEngine", Local)
    return seen


def spec(key: str, *, is_child: bool = True) -> EngineSpec:
    return EngineSpec(key, RowsSpec(("x",)), child=ChildSpec() if is_child else None)


def test_two_keys_by_turns_are_loaded_once_each(seen: Seen) -> None:
    engines = KeptEngines()

    found = [engines.get(spec(key)) for key in "abababab"]

    assert seen == Seen(made=["a", "b"])
    assert [each.loads for each in found] == [1] * 8
    assert found[0] is found[2] is not found[1]


def test_the_engine_that_was_used_longest_ago_makes_room_and_is_closed(seen: Seen) -> None:
    engines = KeptEngines(room=2)

    for key in "abac":
        engines.get(spec(key))

    assert seen.closed == ["b"]
    engines.get(spec("a"))
    assert seen == Seen(made=["a", "b", "c"], closed=["b"])
    engines.get(spec("b"))
    assert seen == Seen(made=["a", "b", "c", "b"], closed=["b", "c"])


def test_never_more_are_kept_than_there_is_room_for(seen: Seen) -> None:
    engines = KeptEngines(room=3)

    for number in range(20):
        engines.get(spec(f"k{number}"))

    assert len(seen.made) - len(seen.closed) == 3


def test_engines_in_the_workers_own_process_replace_each_other(seen: Seen) -> None:
    # Two scripts may each have a `helper.py`: the modules of one would be those of the other.
    engines = KeptEngines(room=4)

    for key, is_child in [("a", False), ("b", True), ("c", False)]:
        engines.get(spec(key, is_child=is_child))

    assert seen.closed == ["a"]
    engines.get(spec("b"))
    assert seen.made == ["a", "b", "c"]


def test_models_without_code_stay_beside_each_other(seen: Seen) -> None:
    files = ModelFiles("m", "1", "/m.ubj", "0")
    engines = KeptEngines(room=4)

    for number in range(6):
        engines.get(EngineSpec(f"trees{number % 2}", FrameworkSpec(files, "xgboost", ())))
    assert seen == Seen(made=["trees0", "trees1"])

    for key in ("c", "d"):
        engines.get(EngineSpec(key, FrameworkSpec(replace(files, source="/m.pkl"), "xgboost", ())))
    assert seen.closed == ["c"]


def test_the_process_is_prepared_once_and_before_a_scorer_is_loaded(
    seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded, "_engines", KeptEngines())
    monkeypatch.setattr("gc.freeze", lambda: prepared.append(("modules", *seen.made)))
    monkeypatch.setattr(loaded, "keep_freed_memory", lambda: prepared.append(("memory", *seen.made)))
    prepared: list[tuple[str, ...]] = []
    loaded._prepare_process.cache_clear()

    for key in "aab":
        loaded.engine_of_this_process(spec(key))
    loaded.engine_of_function(spec("c"))

    assert prepared == [("modules",), ("memory",)]
    assert seen.made == ["a", "b", "c"]


def test_the_modules_of_a_library_are_kept_once_a_model_without_code_is_loaded(
    seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded, "_engines", KeptEngines())
    monkeypatch.setattr(loaded, "_prepare_process", lambda: None)
    monkeypatch.setattr("gc.freeze", lambda: frozen.append(list(seen.made)))
    frozen: list[list[str]] = []
    loaded._keep_modules_of.cache_clear()
    trees, code = (FrameworkSpec(ModelFiles("m", "1", f"/m.{end}", "0"), "xgboost", ()) for end in ("ubj", "pkl"))

    for number, scorer in enumerate((code, trees, trees)):
        loaded.engine_of_this_process(EngineSpec(f"k{number}", scorer))
    loaded.engine_of_this_process(EngineSpec("child", trees, child=ChildSpec()))

    assert frozen == [["k0", "k1"]]
