"""Create the errors for scoring scripts that cannot work. Runs on the driver and the workers.

Some errors are found by the driver when it reads a script, others by a worker when it runs the script.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ScoringScriptError

# The modules that are loaded before any script. A script of the same name would replace the module.
_TAKEN: Final = frozenset(sys.modules)
# A notebook or a debugger loads these on the driver. Workers do not.
_INTERACTIVE: Final = {"bdb", "cmd", "code", "codeop", "pdb"}
_OF_PYTHON: Final = sys.stdlib_module_names - _INTERACTIVE
_OF_WORKERS: Final = {"numpy", "packaging", "pandas", "pyarrow", "sparkscore"}


def missing_run(script: str) -> ScoringScriptError:
    """Return the error for a scoring script without ``run()``."""
    return ScoringScriptError(
        code=ErrorCode.SCRIPT_NO_RUN,
        what=f"scoring script '{script}'",
        got="no function 'run'",
        expected="run(mini_batch), and optionally init()",
        next_step="Define run(mini_batch) at the top level of the script.",
    )


def other_parameters(script: str, got: str) -> ScoringScriptError:
    """Return the error for a ``run()`` that cannot be called with the mini-batch as its only argument.

    Args:
        script: name of the scoring script.
        got: the function with its parameters, as defined in the script.
    """
    return ScoringScriptError(
        code=ErrorCode.SCRIPT_PARAMETERS,
        what=f"function 'run' of scoring script '{script}'",
        got=got,
        expected="run(mini_batch): Azure passes a mini_batch_context only with 'partition_keys', where a call gets all "
        "rows of one key, and this version does not have that",
        next_step="If the script does not need the context, write run(mini_batch, mini_batch_context=None). Otherwise "
        "write the rows of each key to a separate file, and let run() read that file, with 'input.format: files' and "
        "'settings.mini_batch_size: 1'.",
    )


def is_taken(name: str) -> bool:
    """Return whether a module of the given name was loaded before any script could run. Runs on the workers.

    A module counts if it was already loaded when ``refusals`` was imported.
    """
    return name in _TAKEN


def is_always_taken(name: str) -> bool:
    """Return whether every worker is expected to load a module of the given name before it runs a script.

    Runs on the driver.

    Such modules are sparkscore, the packages that it needs on workers, and modules of the standard library that were
    loaded on the driver when ``refusals`` was imported. Modules that only notebooks and debuggers load do not count.
    """
    return name in _OF_WORKERS or (name in _TAKEN and name in _OF_PYTHON)


def taken_name(script: str) -> ScoringScriptError:
    """Return the error for a scoring script that has the same name as a module that Python or sparkscore needs."""
    return ScoringScriptError(
        code=ErrorCode.SCRIPT_NAME,
        what=f"scoring script '{script}'",
        got=f"the name of the module '{Path(script).stem}', which Python or sparkscore needs",
        next_step="Give the file another name, such as score.py, also in 'code_configuration.scoring_script'.",
    )
