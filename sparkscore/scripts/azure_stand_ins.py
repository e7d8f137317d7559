"""Provide replacements for the modules that Azure ML offers to scoring scripts, while a script runs.

Runs on the workers.

``azureml_user.parallel_run`` contains `EntryScript`. ``azureml.core`` and ``azureml.core.model`` contain ``Model`` with
``get_model_path``. Using any other name from these modules raises an error that lists the supported ones.

Modules that are installed or in the script's folder take precedence over the replacements, because models trained by
AutoML load classes from the real SDK. In the real SDK, only ``Model.get_model_path`` is replaced, because it finds
models through an Azure run, which does not exist here.
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
class ScriptFolders:
    """The folders that a script can look up in `EntryScript`.

    Attributes:
        output: folder for files that the script writes.
        logs: folder for the script's logs on this host. It is created on first use.
        working: the unpacked copy of the script's code folder.
    """

    output: Path
    logs: Path
    working: Path


class _HasOnly(type):
    """A metaclass for replacement classes. Accessing a missing attribute raises an error that lists supported names."""

    def __getattr__(cls, name: str) -> Any:
        raise AttributeError(_missing(f"{cls.__name__}.{name}"))


class EntryScript(metaclass=_HasOnly):
    """A replacement for Azure's ``EntryScript`` helper class, which has only one instance.

    Source: https://learn.microsoft.com/azure/machine-learning/how-to-debug-parallel-run-step. The ``working_dir``
    property comes from a class for local tests in the GitHub repository Azure/MachineLearningNotebooks.
    """

    _folders: ClassVar[ScriptFolders]
    _loggers: ClassVar[list[logging.Logger]]
    _one: ClassVar[Any] = None
    _logger: logging.Logger | None = None

    def __new__(cls) -> Self:
        """Return the only instance of the class, which is created on the first call."""
        if cls._one is None:
            cls._one = super().__new__(cls)
        only: Self = cls._one
        return only

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(_missing(f"EntryScript().{name}"))

    @property
    def logger(self) -> logging.Logger:
        """A logger that writes to ``<log_dir>/<agent_name>.txt``."""
        if self._logger is None:
            # A logger from logging.getLogger() would remain in the process after the script is closed.
            self._logger = logging.Logger("ParallelRunStep", logging.DEBUG)  # noqa: LOG001
            self._logger.parent = logging.getLogger()
            handler = rotating_handler(Path(self.log_dir) / f"{self.agent_name}.txt", delay=True)
            handler.setFormatter(RedactingFormatter("%(asctime)s|%(name)s|%(levelname)s|%(message)s"))
            self._logger.addHandler(handler)
            self._loggers.append(self._logger)
        return self._logger

    @property
    def log_dir(self) -> str:
        """The folder for the script's logs on this host, which is created if it does not exist."""
        self._folders.logs.mkdir(parents=True, exist_ok=True)
        return str(self._folders.logs)

    @property
    def output_dir(self) -> str:
        """The folder for files that the script writes."""
        return str(self._folders.output)

    @property
    def working_dir(self) -> str:
        """The unpacked copy of the script's code folder."""
        return str(self._folders.working)

    @property
    def agent_name(self) -> str:
        """A name for the process that runs the script, based on the process id."""
        return f"process{os.getpid():03d}"


class AzureModules(MetaPathFinder, Loader):
    """Finds and loads replacements for Azure's modules for one script, only while `present` is active."""

    def __init__(self, find_model: FindModel, folders: ScriptFolders) -> None:
        self._model = _model_class(find_model)
        self._loggers: list[logging.Logger] = []
        self._entry_script = _entry_script_class(folders, self._loggers)
        self._modules: dict[str, ModuleType] = {}

    @contextmanager
    def present(self) -> Iterator[None]:
        """Make the replacement modules importable in the ``with`` block.

        If the worker itself has imported Azure modules, they are removed from ``sys.modules`` during the block and put
        back afterwards.
        """
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
        """Drop the references to the Azure modules that the script imported, and close the script's log file."""
        self._modules.clear()
        for handler in [handler for logger in self._loggers for handler in logger.handlers]:
            handler.close()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module from ``azureml`` or ``azureml_user``, or None for any other module.

        An installed module takes precedence over its replacement. If the module is neither installed nor replaced, None
        is returned or an error is raised.

        Raises:
            ModuleNotFoundError: the module is neither installed nor replaced, and its parent package is a replacement.
        """
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
            # The error has no ``name``. If it had one, `from package import name` would raise a different error.
            raise ModuleNotFoundError(_missing(fullname))
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return an empty replacement module, in which missing attributes raise an error that lists supported names."""
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Add the supported classes, such as ``Model``, to a module that replaces one of Azure's modules."""
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
    """A replacement for an Azure ML module. Accessing a missing attribute raises an error with advice."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(_missing(f"{self.__name__}.{name}"))


class _ModelLoader(Loader):
    """Loads the real ``azureml.core.model`` module, and then replaces its ``Model.get_model_path`` method."""

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
    """Return a ``Model`` class whose ``get_model_path`` calls the given function."""

    class Model(metaclass=_HasOnly):
        """A replacement for Azure's ``Model`` class that only has ``get_model_path``."""

        def __init__(self, *_: object, **__: object) -> None:
            raise NotImplementedError(_missing("Model(workspace, name)"))

        @staticmethod
        def get_model_path(model_name: str, version: object = None, _workspace: object = None) -> str:
            """Return the path of a model, given its name and, optionally, its version."""
            return str(find(model_name, version))

    return Model


def _entry_script_class(folders: ScriptFolders, loggers: list[logging.Logger]) -> type[EntryScript]:
    """Return a subclass of `EntryScript` for one script.

    Args:
        folders: folders of the script.
        loggers: list to which the class adds the script's logger once it is created.
    """

    class Own(EntryScript):
        _folders = folders
        _loggers = loggers

    Own.__name__ = Own.__qualname__ = EntryScript.__name__
    return Own


def _take_modules() -> dict[str, ModuleType]:
    """Remove Azure's modules or their replacements from ``sys.modules``, and return them by name."""
    if not any(package in sys.modules for package in _OURS):
        return {}  # importing a module imports its package first, and looking through all modules takes 0.2 ms
    found = [name for name in sys.modules if name.startswith(_OURS) and name.partition(".")[0] in _OURS]
    return {name: sys.modules.pop(name) for name in found}


def _missing(name: str) -> str:
    return f"'{name}' is not here: {_ADVICE}"
