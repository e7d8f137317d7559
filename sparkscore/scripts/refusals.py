"""Refuse scoring scripts in the same words on the driver, which reads them, and on the worker, which runs them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ScoringScriptError

# What was loaded before any script: a script of that name would take its place.
_TAKEN: Final = frozenset(sys.modules)
_NEEDED: Final = sys.stdlib_module_names | {"numpy", "packaging", "pandas", "pyarrow", "sparkscore"}


def missing_run(script: str) -> ScoringScriptError:
    """Make the error for a scoring script without ``run()``."""
    return ScoringScriptError(
        code=ErrorCode.SCRIPT_NO_RUN,
        what=f"scoring script '{script}'",
        got="no function 'run'",
        expected="run(mini_batch), and optionally init()",
        next_step="Define run(mini_batch) at the top level of the script.",
    )


def other_parameters(script: str, got: str) -> ScoringScriptError:
    """Make the error for a ``run()`` that cannot be called with a mini-batch alone."""
    return ScoringScriptError(
        code=ErrorCode.SCRIPT_PARAMETERS,
        what=f"function 'run' of scoring script '{script}'",
        got=got,
        expected="run(mini_batch): a mini_batch_context comes with Azure's 'partition_keys' only, which this version "
        "does not have: a call there gets all rows of one key",
        next_step="Where the script can do without it, write run(mini_batch, mini_batch_context=None). Else write the "
        "rows of each key into a file of their own, and let run() read its file, with 'input.format: files' and "
        "'settings.mini_batch_size: 1'.",
    )


def is_taken(name: str) -> bool:
    """Whether a module of this name was loaded in this process before any script (worker)."""
    return name in _TAKEN


def is_certainly_taken(name: str) -> bool:
    """Whether a module of this name is loaded wherever scripts run (driver)."""
    return name in _TAKEN and name in _NEEDED


def taken_name(script: str) -> ScoringScriptError:
    """Make the error for a scoring script that would take the place of a module that is in use."""
    return ScoringScriptError(
        code=ErrorCode.SCRIPT_NAME,
        what=f"scoring script '{script}'",
        got=f"the name of the module '{Path(script).stem}', which Python or sparkscore needs",
        next_step="Give the file another name, such as score.py, also in 'code_configuration.scoring_script'.",
    )
