"""Import libraries in the template process once, so that its children do not each import them again.

Runs in the template and in child processes. A template never runs the user's code. But most scripts and models import a
few well-known libraries, which takes longer than scoring some 100,000 rows. A child reports which of them it has
imported, and a later child is forked from a template that has imported them too.
"""

from __future__ import annotations

import gc
import importlib
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from itertools import islice
from typing import Final

from sparkscore.worker.child.messages import Library

_PACKAGES: Final = frozenset({"PIL", "joblib", "lightgbm", "scipy", "sklearn", "xgboost"})
# Other flavors of MLflow would import libraries that may start threads.
_MODULES: Final = frozenset(
    {"mlflow", "sparkscore.scorers.framework", "sparkscore.scorers.mlflow"}
    | {f"mlflow.{name}" for name in ("lightgbm", "pyfunc", "sklearn", "xgboost")}
)
# Libraries that do not support a fork after they have been imported, or for which this is not known.
_UNFIT: Final = frozenset({"dask", "jax", "onnxruntime", "ray", "tensorflow", "torch"})


class _Preloaded:
    """What this process, or the template that it was forked from, has imported for children.

    Attributes:
        tops: names of the packages and modules, without those inside packages.
        path: the import path that was used.
        known: number of modules, if children have reported all of them that are libraries. Otherwise 0.
    """

    tops: frozenset[str] = frozenset()
    path: tuple[str, ...] = ()
    known: int = 0


_preloaded: Final = _Preloaded()


def imported_libraries() -> tuple[Library, ...]:
    """Return the modules of well-known libraries that this process has imported, in the order of their import.

    Those that the template has imported may be left out if the worker knows them.
    """
    # To look at the template's modules would write to their memory, which the system would have to copy.
    latest = islice(reversed(sys.modules), max(0, len(sys.modules) - _preloaded.known))
    names = list(latest)[::-1]
    return tuple(Library(name, origin) for name, origin in _origins(names) if _is_known(name))


def _is_known(name: str) -> bool:
    package, _, module = name.partition(".")
    return name in _MODULES or (package in _PACKAGES and "." not in module and not module.startswith("_"))


def _origins(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        module = sys.modules.get(name)
        # getattr() is avoided, because it would load modules that are loaded lazily on first access.
        spec = getattr(module, "__dict__", {}).get("__spec__")
        if spec is not None and spec.name == name and spec.has_location:
            yield name, spec.origin


def import_libraries(libraries: Sequence[Library], paths: Sequence[str]) -> bool:
    """Import modules in the template, and return whether children may be forked from it afterwards.

    They must not if a module cannot be imported or comes from a different file than in a child that reported it, or if
    a thread has been started, because a fork copies no threads.

    Args:
        libraries: the modules.
        paths: the worker's import path, or an empty list if the template has another interpreter.
    """
    sys.path[:] = [*paths, *(path for path in sys.path if path not in paths)]
    before = _tops()
    try:
        for library in libraries:
            _import(library.name)
    # A library may raise any exception. The child imports it again, and reports the exception.
    except Exception:  # noqa: BLE001
        return False
    _preloaded.tops |= _tops() - before
    _preloaded.path = tuple(sys.path)
    gc.freeze()
    reported = {library for library in libraries if library.origin}
    is_same = reported <= {Library(*each) for each in _origins(list(sys.modules))}
    _preloaded.known = len(sys.modules) if len(reported) == len(libraries) else 0
    return is_same and threading.active_count() == 1 and not _preloaded.tops & _UNFIT


def _import(name: str) -> None:
    if not name.startswith("mlflow"):
        importlib.import_module(name)
        return
    from sparkscore.registry import quiet_mlflow  # noqa: PLC0415 - other libraries do not need it

    with quiet_mlflow():
        importlib.import_module(name)


def _tops() -> frozenset[str]:
    return frozenset(name.partition(".")[0] for name in list(sys.modules))


def has_libraries() -> bool:
    """Return whether this child's template has imported libraries for it."""
    return bool(_preloaded.tops)


def is_shadowed(path: Sequence[str]) -> bool:
    """Return whether the user's code would have imported other modules than those that the template has imported.

    This is so if a folder that the code has added to the import path has a module of the same name, for example a
    ``yaml.py`` beside a script. Runs in child processes, after a script or model was loaded.

    Args:
        path: import path of the script or model.
    """
    if not has_libraries():
        return False
    added = [folder for folder in path if folder not in _preloaded.path]
    if [folder for folder in path if folder in _preloaded.path] != list(_preloaded.path):
        return True
    found = (PathFinder.find_spec(name, added) for name in _preloaded.tops)
    # A folder without code has no loader. Python prefers modules elsewhere on the path to it.
    return any(spec is not None and spec.loader is not None for spec in found)
