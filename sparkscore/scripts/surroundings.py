"""Save and restore the process state that a script may change, such as environment variables. Runs on the workers."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

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
            folder = str(Path.cwd())
        except FileNotFoundError:
            folder = ""
        return cls(os.environ.copy(), folder, sys.path.copy(), sys.argv, sys.modules.copy())

    def enter(self) -> None:
        """Set this process's environment variables, working directory, import path and arguments to the saved state.

        Raises:
            ScoringScriptError: the working directory cannot be entered, for example because it no longer exists.
        """
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise _lost_folder(self.folder) from error
        self._enter()

    def enter_again(self) -> None:
        """Restore environment variables, working directory, import path and arguments after a script has run.

        Modules are restored only if the script cleared ``sys.modules``. No error is raised if the working directory
        cannot be entered.
        """
        with suppress(OSError):
            os.chdir(self.folder)
        self._enter()
        if "builtins" not in sys.modules:  # a script called sys.modules.clear()
            sys.modules.update({**self.modules, **sys.modules})

    def _enter(self) -> None:
        sys.argv, sys.path[:] = self.arguments, self.path
        os.environ.clear()
        os.environ.update(self.environment)


def _lost_folder(folder: str) -> ScoringScriptError:
    return ScoringScriptError(
        code=ErrorCode.SCRIPT_FOLDER,
        what="the working directory of the scoring script does not exist any more",
        got=folder or "a folder that was removed",
        next_step="Change the script so that it does not remove its working directory.",
    )
