"""Save and restore the process state that a script may change, such as environment variables. Runs on the workers."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ScoringScriptError


@dataclass(frozen=True)
class Surroundings:
    """The process state that a script may read and change.

    Attributes:
        environment: the environment variables.
        folder: the working directory, or an empty string if it has been removed.
        path: the import path, ``sys.path``.
        arguments: the command-line arguments, ``sys.argv``.
        modules: the loaded modules, ``sys.modules``.
    """

    environment: dict[str, str]
    folder: str
    path: list[str]
    arguments: list[str]
    modules: dict[str, ModuleType]

    @classmethod
    def of_this_process(cls) -> Surroundings:
        """Return this process's environment variables, working directory, import path, arguments and modules."""
        try:
            folder = os.getcwd()  # noqa: PTH109 - a Path takes longer, and this is called for each mini-batch
        except FileNotFoundError:
            folder = ""
        return cls(_environments.current(), folder, sys.path.copy(), sys.argv, _modules.current())

    def enter(self, current: Surroundings) -> None:
        """Set this process's environment variables, working directory, import path and arguments to the saved state.

        Args:
            current: the state of this process now.

        Raises:
            ScoringScriptError: the working directory cannot be entered, for example because it no longer exists.
        """
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise _lost_folder(self.folder) from error
        self._enter(current)

    def enter_again(self, current: Surroundings) -> None:
        """Restore environment variables, working directory, import path and arguments after a script has run.

        Modules are restored only if the script cleared ``sys.modules``. No error is raised if the working directory
        cannot be entered.

        Args:
            current: the state of this process now.
        """
        with suppress(OSError):
            os.chdir(self.folder)
        self._enter(current)
        if "builtins" not in sys.modules:  # a script called sys.modules.clear()
            sys.modules.update({**self.modules, **sys.modules})

    def _enter(self, current: Surroundings) -> None:
        sys.argv, sys.path[:] = self.arguments, self.path
        # Setting every variable again would take longer than scoring a small mini-batch.
        removed, changed = _changes.between(current.environment, self.environment)
        for name in removed:
            del os.environ[name]
        for name, value in changed:
            os.environ[name] = value


class _Environments:
    """Caches this process's last two environments, because each call switches between a worker's and a script's."""

    def __init__(self) -> None:
        self._known: list[tuple[dict[Any, Any], dict[str, str]]] = []

    def current(self) -> dict[str, str]:
        """Return the environment variables. Callers must not change the dictionary."""
        # Python decodes each variable that is read, which takes longer than all other work between two calls.
        encoded = getattr(os.environ, "_data", None)
        if encoded is None:
            return os.environ.copy()
        for known, decoded in self._known:
            if known == encoded:
                return decoded
        self._known = [*self._known[-1:], (encoded.copy(), os.environ.copy())]
        return self._known[-1][1]


class _Changes:
    """Caches the last two differences of environments: a call changes the worker's to the script's, and back."""

    def __init__(self) -> None:
        self._known: list[tuple[dict[str, str], dict[str, str], list[str], list[tuple[str, str]]]] = []

    def between(self, old: dict[str, str], new: dict[str, str]) -> tuple[list[str], list[tuple[str, str]]]:
        """Return the variables that must be removed to get from one environment to another, and those to be set.

        Environments are known again as objects, which is certain because nothing changes the dictionaries.
        """
        for known_old, known_new, removed, changed in self._known:
            if known_old is old and known_new is new:
                return removed, changed
        removed, changed = list(old.keys() - new.keys()), list(new.items() - old.items())
        self._known = [*self._known[-1:], (old, new, removed, changed)]
        return removed, changed


class _Modules:
    """Caches a copy of ``sys.modules``, which is needed only if a script clears it."""

    def __init__(self) -> None:
        self._known: dict[str, ModuleType] = {}

    def current(self) -> dict[str, ModuleType]:
        """Return the loaded modules. Those that were replaced since the last call may be missing."""
        if len(self._known) != len(sys.modules):
            self._known = sys.modules.copy()
        return self._known

    def forget(self) -> None:
        """Forget the copy, which would keep a script's modules after they have been unloaded."""
        self._known = {}


_environments: Final = _Environments()
_changes: Final = _Changes()
_modules: Final = _Modules()


def forget_known_modules() -> None:
    """Keep no modules any more but those in ``sys.modules``."""
    _modules.forget()


def _lost_folder(folder: str) -> ScoringScriptError:
    return ScoringScriptError(
        code=ErrorCode.SCRIPT_FOLDER,
        what="the working directory of the scoring script does not exist any more",
        got=folder or "a folder that was removed",
        next_step="Change the script so that it does not remove its working directory.",
    )
