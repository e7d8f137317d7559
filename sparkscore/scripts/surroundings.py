"""What a script finds around it in its process, and may change: variables, folder, import path, arguments (worker)."""

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
    """What a script takes from the process around it, and what it may change of it.

    Attributes:
        environment: the environment variables.
        folder: the working directory; empty where it was removed.
        path: the import path.
        arguments: the arguments of the process.
        modules: the modules that are loaded.
    """

    environment: dict[str, str]
    folder: str
    path: list[str]
    arguments: list[str]
    modules: dict[str, ModuleType]

    @classmethod
    def of_this_process(cls) -> Surroundings:
        """Take those that are there."""
        try:
            folder = str(Path.cwd())
        except FileNotFoundError:
            folder = ""
        return cls(os.environ.copy(), folder, sys.path.copy(), sys.argv, sys.modules.copy())

    def enter(self) -> None:
        """Make them those of this process.

        Raises:
            ScoringScriptError: the working directory is gone.
        """
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise _lost_folder(self.folder) from error
        self._enter()

    def enter_again(self) -> None:
        """Take them back from a script, also where the folder or the modules are gone."""
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
        what="the working directory that the scoring script was last in is gone",
        got=folder or "a folder that was removed",
        next_step="Let the script leave a folder before it removes it, and keep the folder that it runs in.",
    )
