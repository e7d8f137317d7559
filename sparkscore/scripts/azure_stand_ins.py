"""Stand in for the modules that Azure gives to a scoring script, while that script runs (worker).

``azureml_user.parallel_run`` has `EntryScript`; ``azureml.core`` and ``azureml.core.model`` have ``Model`` with
``get_model_path``. Nothing else of Azure's SDK is here, and asking for it says so.

What is installed, or stands in the script's own folder, wins: models that AutoML trained load classes of the real SDK.
Only ``Model.get_model_path`` of the real one is replaced. It looks for a workspace in the run of Azure's that it is
called from, and there is none, so a script that works in Azure would not find the deployment's models.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Final, Self

from sparkscore.redaction import RedactingFormatter
from sparkscore.rotating_log import rotating_handler

FindModel = Callable[[str, object], Path]

_OURS: Final = ("azureml", "azureml_user")
_PACKAGES: Final = frozenset({"azureml", "azureml.core", "azureml_user"})
_MODULES: Final = _PACKAGES | {"azureml.core.model", "azureml_user.parallel_run"}
_ADVICE: Final = (
    "sparkscore stands in for Azure's SDK with Model.get_model_path(name) and EntryScript only: name models and paths "
    "in the deployment, or install the package in the workers' environment."
)


@dataclass(frozen=True)
class ScriptPlaces:
    """What `EntryScript` tells a script.

    Attributes:
        output: folder for the script's own files.
        logs: folder of this host for its logs; made when it is asked for.
        working: folder of the script.
    """

    output: Path
    logs: Path
    working: Path


class _HasOnly(type):
    """The type of classes that say what they have when they are asked for more."""

    def __getattr__(cls, name: str) -> Any:
        raise AttributeError(_missing(f"{cls.__name__}.{name}"))


class EntryScript(metaclass=_HasOnly):
    """Azure's helper for scripts; every call gives the same object.

    Source: https://learn.microsoft.com/azure/machine-learning/how-to-debug-parallel-run-step, and the dummy for
    local tests in Azure/MachineLearningNotebooks (``working_dir``).
    """

    _places: ClassVar[ScriptPlaces]
    _one: ClassVar[Any] = None
    _logger: logging.Logger | None = None

    def __new__(cls) -> Self:
        """Give the only one."""
        if cls._one is None:
            cls._one = super().__new__(cls)
        only: Self = cls._one
        return only

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(_missing(f"EntryScript().{name}"))

    @property
    def logger(self) -> logging.Logger:
        """A logger; its file is ``<log_dir>/<agent_name>.txt``."""
        if self._logger is None:
            # One from logging.getLogger() would outlive the script.
            self._logger = logging.Logger("ParallelRunStep", logging.DEBUG)  # noqa: LOG001
            self._logger.parent = logging.getLogger()
            handler = rotating_handler(Path(self.log_dir) / f"{self.agent_name}.txt", delay=True)
            handler.setFormatter(RedactingFormatter("%(asctime)s|%(name)s|%(levelname)s|%(message)s"))
            self._logger.addHandler(handler)
        return self._logger

    @property
    def log_dir(self) -> str:
        """This host's folder for logs."""
        self._places.logs.mkdir(parents=True, exist_ok=True)
        return str(self._places.logs)

    @property
    def output_dir(self) -> str:
        """The folder for the script's own files."""
        return str(self._places.output)

    @property
    def working_dir(self) -> str:
        """The folder of the script."""
        return str(self._places.working)

    @property
    def agent_name(self) -> str:
        """The name of this worker process, which no other one on this host has."""
        return f"process{os.getpid():03d}"


class AzureModules(MetaPathFinder, Loader):
    """The modules of Azure's that belong to one script; no other code in the process sees them."""

    def __init__(self, find_model: FindModel, places: ScriptPlaces) -> None:
        self._model = _model_class(find_model)
        self._entry_script = _entry_script_class(places)
        self._modules: dict[str, ModuleType] = {}

    @contextmanager
    def present(self) -> Iterator[None]:
        """Let the script's own modules of Azure's be found, in the place of any that the worker has."""
        workers = _take_modules()
        sys.modules.update(self._modules)
        sys.meta_path.insert(0, self)
        try:
            yield
        finally:
            with suppress(ValueError):
                sys.meta_path.remove(self)
            self._modules = _take_modules()
            sys.modules.update(workers)

    def close(self) -> None:
        """Forget the modules and close the script's log."""
        self._modules.clear()
        entry_script = self._entry_script._one  # noqa: SLF001 - of this module
        if entry_script is not None and entry_script._logger is not None:  # noqa: SLF001 - as above
            for handler in entry_script._logger.handlers:  # noqa: SLF001 - as above
                handler.close()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find what is installed, or what stands in for it."""
        if fullname.partition(".")[0] not in _OURS:
            return None
        spec = self._installed(fullname, path, target)
        if spec is not None:
            if fullname == "azureml.core.model" and spec.loader is not None:
                spec.loader = _ModelLoader(spec.loader, self._model)
            return spec
        if fullname in _MODULES:
            return ModuleSpec(fullname, self, is_package=fullname in _PACKAGES)
        if isinstance(sys.modules.get(fullname.rpartition(".")[0]), _StandIn):
            # Without its name in the error: `from package import name` would throw the sentence away.
            raise ModuleNotFoundError(_missing(fullname))
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make an empty module that says what it has when it is asked for more."""
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Fill it."""
        if module.__name__ in {"azureml.core", "azureml.core.model"}:
            module.__dict__["Model"] = self._model
        if module.__name__ == "azureml.core":
            importlib.import_module("azureml.core.model")
        if module.__name__ == "azureml_user.parallel_run":
            module.__dict__["EntryScript"] = self._entry_script

    def _installed(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(name, path, target)) is not None:
                return spec
        return None


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        raise AttributeError(_missing(f"{self.__name__}.{name}"))


class _ModelLoader(Loader):
    """Load the real SDK's module of models, and replace the one function."""

    def __init__(self, real: Loader, stand_in: type) -> None:
        self._real = real
        self._stand_in = stand_in

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._real.exec_module(module)
        module.__dict__["Model"].get_model_path = staticmethod(self._stand_in.__dict__["get_model_path"].__func__)


def _model_class(find: FindModel) -> type:
    class Model(metaclass=_HasOnly):
        """What a script needs of Azure's registered models."""

        def __init__(self, *_: object, **__: object) -> None:
            raise NotImplementedError(_missing("Model(workspace, name)"))

        @staticmethod
        def get_model_path(model_name: str, version: object = None, _workspace: object = None) -> str:
            """Give the path of a model's file or folder."""
            return str(find(model_name, version))

    return Model


def _entry_script_class(places: ScriptPlaces) -> type[EntryScript]:
    class Own(EntryScript):
        _places = places

    Own.__name__ = Own.__qualname__ = EntryScript.__name__
    return Own


def _take_modules() -> dict[str, ModuleType]:
    found = [name for name in sys.modules if name.startswith(_OURS) and name.partition(".")[0] in _OURS]
    return {name: sys.modules.pop(name) for name in found}


def _missing(name: str) -> str:
    return f"'{name}' is not here: {_ADVICE}"
