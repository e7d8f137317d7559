"""Create the errors for scoring scripts that cannot work (driver and worker).

The driver finds some of these errors when it reads a script, and a worker finds others when it runs the script.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ScoringScriptError

# The modules that are loaded before any script. A script with the name of such a module would replace it.
_TAKEN: Final = frozenset(sys.modules)
_NEEDED: Final = sys.stdlib_module_names | {"numpy", "packaging", "pandas", "pyarrow", "sparkscore"}


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
        got: the function with its parameters, as the script defines them.
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
    """Return whether this process had loaded a module with this name before it could run a script (worker).

    The loaded modules were listed when `sparkscore.scripts.refusals` was imported.
    """
    return name in _TAKEN


def is_always_taken(name: str) -> bool:
    """Return whether every worker is expected to load a module with this name before it runs a script (driver).

    The result is True for the name of a standard library module, of ``sparkscore``, or of a package that sparkscore
    needs on workers, if that module was loaded on the driver when `sparkscore.scripts.refusals` was imported.
    """
    return name in _TAKEN and name in _NEEDED


def taken_name(script: str) -> ScoringScriptError:
    """Return the error for a scoring script that has the name of a module that Python or sparkscore needs."""
    return ScoringScriptError(
        code=ErrorCode.SCRIPT_NAME,
        what=f"scoring script '{script}'",
        got=f"the name of the module '{Path(script).stem}', which Python or sparkscore needs",
        next_step="Give the file another name, such as score.py, also in 'code_configuration.scoring_script'.",
    )
