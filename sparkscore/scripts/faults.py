"""Suggest how to fix script exceptions that have a known cause, such as a full disk or a missing file.

Runs on the workers.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import sys
import traceback
from pathlib import Path
from typing import Final

_LISTED: Final = 5
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
# Exception classes are compared by name, because their libraries (PyTorch, requests, urllib3, httpx) may not be
# installed.
_OF_MEMORY: Final = frozenset({"MemoryError", "OutOfMemoryError", "_ArrayMemoryError"})
_OF_NETWORK: Final = frozenset(
    {
        "ConnectError", "ConnectTimeout", "ConnectionError", "ConnectionRefusedError", "ConnectionResetError",
        "MaxRetryError", "NameResolutionError", "ReadTimeout", "SSLError", "URLError", "gaierror",
    }
)  # fmt: skip
_CUDA_MEMORY: Final = "CUDA out of memory"
# The name of a shared library, such as libGL.so.1 in "libGL.so.1: cannot open shared object file".
_LIBRARY: Final = re.compile(r"\.so\b")
_HOST: Final = {
    "memory": "Make 'settings.mini_batch_size' smaller, or give the workers more memory.",
    "network": "The worker's host did not reach an address that the script uses; the log has the whole traceback.",
    "permission": "Give the user that runs Spark's workers the right to it, or use another file or folder.",
    "room": "Make room on the worker's host, in the folder that the script writes to.",
}
_OTHER_VERSION: Final = (
    "The package is there in a version that lacks this name: list the right one in the requirements."
)
_RELATIVE: Final = (
    "The script is not part of a package. Import the files of the code folder without a dot: "
    "'from helper import NAME', 'from folder.helper import NAME'."
)
# Hints for a pickle whose class cannot be found.
_OF_THE_SAVING_PROGRAM: Final = (
    "The pickle needs a class of the program that saved it. Define the class in a file of the code folder, import it "
    "from there in that program, and save the model again."
)
_OF_ANOTHER_VERSION: Final = (
    "The pickle is of another version of that package, or of a file that has changed since: list the right version in "
    "the deployment's requirements, or save the model again."
)
_ENDED_ITSELF: Final = (
    "The script called sys.exit(); its output is in Spark's log. Set arguments that it reads in "
    "'code_configuration.arguments'."
)


def advice_for(error: BaseException, model_folder: Path, code_folder: Path | None = None) -> str:
    """Return a hint on how to fix an exception that a script raised, or an empty string if there is none.

    There are hints, for example, for a lack of memory or disk space, a missing file or environment variable, and calls
    of ``sys.exit()``. If a method of the user's exception class itself raises an exception, there is no hint.

    Args:
        error: the exception that the script raised.
        model_folder: the ``AZUREML_MODEL_DIR`` folder.
        code_folder: the copy of the script's code folder, if there is one.
    """
    try:
        return _advice(error, model_folder, code_folder)
    except BaseException:  # noqa: BLE001 - the user's own __str__ may even exit
        return ""


def _advice(error: BaseException, model_folder: Path, code_folder: Path | None) -> str:
    advice = _HOST.get(_of_the_host(error), "")
    match error:
        case _ if advice:
            pass
        case FileNotFoundError():
            advice = _of_a_file(error, model_folder)
        case SyntaxError() if (error.filename or "").endswith(".py"):
            advice = f"The workers have Python {platform.python_version()}: write it for that, or set 'python.path'."
        case ImportError():
            advice = _of_an_import(error, code_folder)
        case KeyError() if _is_of_the_environment(error):
            advice = f"Set the variable in the deployment: environment_variables: {{{error.args[0]}: VALUE}}."
        case SystemExit():
            advice = _ENDED_ITSELF
        case AttributeError() if str(error).startswith("Can't get attribute"):
            advice = _OF_THE_SAVING_PROGRAM if "__main__" in str(error) else _OF_ANOTHER_VERSION
    return advice


def _of_the_host(error: BaseException) -> str:
    """Return the problem on the host that caused an exception, as a key of ``_HOST`` such as ``memory``.

    If the exception has a different cause, the result is an empty string.
    """
    class_names = {each.__name__ for each in type(error).__mro__}
    if class_names & _OF_MEMORY or _CUDA_MEMORY in str(error):
        return "memory"
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return "room"
    if isinstance(error, PermissionError):
        return "permission"
    return "network" if class_names & _OF_NETWORK else ""


def _of_a_file(error: FileNotFoundError, model_folder: Path) -> str:
    """Return a hint for the error message that is shown if a script cannot find a file."""
    path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, (str, bytes)) else None
    if path is not None and path.is_relative_to(model_folder):
        held = sorted(entry.name for entry in model_folder.iterdir())
        told = ", ".join(f"'{name}'" for name in held[:_LISTED]) + (" and more" if len(held) > _LISTED else "")
        return (
            f"AZUREML_MODEL_DIR holds {told or 'nothing: the deployment names no model'}. Correct 'model.path', which "
            "gives the name, or the name in the script."
        )
    if path is None or not path.is_absolute():
        return "Put the file into the code folder: a copy of it is the script's working directory."
    return "Put the file at that path on every worker's host, or into the code folder, which is copied to the workers."


def _of_an_import(error: ImportError, code_folder: Path | None) -> str:
    """Return a hint for a failed import, or an empty string if there is none."""
    if isinstance(error, ModuleNotFoundError):
        return _of_a_module(error.name, code_folder) if error.name else "The whole traceback is in the log."
    if _LIBRARY.search(str(error)) or (error.path or "").endswith(".so"):
        return "Install the package on the workers, or a library of their system that it needs."
    if str(error).startswith("attempted relative import"):
        return _RELATIVE
    is_own = code_folder is not None and error.path is not None and Path(error.path).is_relative_to(code_folder)
    return "" if is_own or not str(error).startswith("cannot import name") else _OTHER_VERSION


def _of_a_module(name: str, code_folder: Path | None) -> str:
    """Return a hint for a missing submodule of a module or package in the code folder.

    Return an empty string for any other missing module.

    Args:
        name: full name of the missing module.
        code_folder: the copy of the script's code folder, if there is one.
    """
    top = name.partition(".")[0]
    loaded = sys.modules.get(top)
    paths = [getattr(loaded, "__file__", None), *getattr(loaded, "__path__", ())]
    if code_folder is None or not any(path and Path(path).is_relative_to(code_folder) for path in paths):
        return ""
    return f"'{top}' is of the code folder, which has no module '{name}': add the file, or correct the import."


def _is_of_the_environment(error: KeyError) -> bool:
    """Return whether a `KeyError` was raised in a file named ``os.py``, as it is for a missing environment variable."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).name in {"os.py", "<frozen os>"}
