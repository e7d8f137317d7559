"""Tell what is wrong around a script from what is wrong in it, and say what helps (worker)."""

from __future__ import annotations

import errno
import os
import platform
import sys
import traceback
from pathlib import Path
from typing import Final

_LISTED: Final = 5
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
# Classes by their names, since their libraries may not be there: those of PyTorch, requests, urllib3 and httpx.
_OF_MEMORY: Final = frozenset({"MemoryError", "OutOfMemoryError", "_ArrayMemoryError"})
_OF_NETWORK: Final = frozenset(
    {
        "ConnectError", "ConnectTimeout", "ConnectionError", "ConnectionRefusedError", "ConnectionResetError",
        "MaxRetryError", "NameResolutionError", "ReadTimeout", "SSLError", "URLError", "gaierror",
    }
)  # fmt: skip
_CUDA_MEMORY: Final = "CUDA out of memory"
_HOST: Final = {
    "memory": "Make 'settings.mini_batch_size' smaller, or give the workers more memory.",
    "network": "The worker's host did not reach what the script asked for; the traceback in the log tells what.",
    "permission": "Give the user that runs Spark's workers the right to it, or let the script use another place.",
    "room": "Make room on the worker's host, where the script writes.",
}
_OTHER_VERSION: Final = (
    "The package is there in a version that lacks this name: name the version in the deployment's requirements."
)
_RELATIVE: Final = (
    "The script is no part of a package. Import the files of the code folder by their names from there: "
    "'from helper import NAME', 'from folder.helper import NAME'."
)
# For what pickle says of a class that it does not find.
_OF_THE_SAVING_PROGRAM: Final = (
    "The pickle holds a class of the program that saved it. Define the class in a file of the code folder, import it "
    "from there where the model is made, and save it again."
)
_OF_ANOTHER_VERSION: Final = (
    "The pickle is of another version of that package, or of a file that has changed: name the version in the "
    "deployment's requirements, or save it again."
)
_ENDED_ITSELF: Final = (
    "The script ended itself; what it printed is in Spark's log. Arguments that it reads stand in "
    "'code_configuration.arguments'."
)


def advice_for(error: BaseException, model_folder: Path, code_folder: Path | None = None) -> str:
    """Say what helps where the fault is not the script's own; nothing where it is, or where that is not known.

    Never raises: the exception's class may be the user's.

    Args:
        error: what the script raised.
        model_folder: what the script finds as ``AZUREML_MODEL_DIR``.
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
    """Name what the worker's host lacks; nothing where it is something else."""
    of_its_kind = {each.__name__ for each in type(error).__mro__}
    if of_its_kind & _OF_MEMORY or _CUDA_MEMORY in str(error):
        return "memory"
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return "room"
    if isinstance(error, PermissionError):
        return "permission"
    return "network" if of_its_kind & _OF_NETWORK else ""


def _of_a_file(error: FileNotFoundError, model_folder: Path) -> str:
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
    return "The file must be at that place on every worker's host; one in the code folder travels with the script."


def _of_an_import(error: ImportError, code_folder: Path | None) -> str:
    if isinstance(error, ModuleNotFoundError):
        return _of_a_module(error.name, code_folder) if error.name else "The whole traceback is in the log."
    if ".so" in str(error) or (error.path or "").endswith(".so"):
        return "A package of the workers, or a library of their system that it needs, is not whole: install it there."
    if str(error).startswith("attempted relative import"):
        return _RELATIVE
    is_own = code_folder is not None and error.path is not None and Path(error.path).is_relative_to(code_folder)
    return "" if is_own or not str(error).startswith("cannot import name") else _OTHER_VERSION


def _of_a_module(name: str, code_folder: Path | None) -> str:
    """Say that a module would be in the code folder; nothing where it may be one of a package."""
    top = name.partition(".")[0]
    loaded = sys.modules.get(top)
    places = [getattr(loaded, "__file__", None), *getattr(loaded, "__path__", ())]
    if code_folder is None or not any(place and Path(place).is_relative_to(code_folder) for place in places):
        return ""
    return f"'{top}' is of the code folder, which has no module '{name}': add the file, or correct the import."


def _is_of_the_environment(error: KeyError) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).name in {"os.py", "<frozen os>"}
