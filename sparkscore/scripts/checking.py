"""Check, without running it, whether a scoring script can work.

Runs on the driver, and needs only the standard library.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ScoringScriptError
from sparkscore.scripts.refusals import is_always_taken, missing_run, other_parameters, taken_name

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SCOPES = (*_DEFINITIONS, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def check_script(path: Path) -> None:
    """Check that workers will be able to run a scoring script.

    All of the following must hold:

    - The script is valid Python.
    - It defines ``run()``, which can be called with the mini-batch as its only argument. The parameters are not checked
      if ``run()`` has a decorator, is imported or is assigned.
    - It is not written for an online endpoint.
    - Neither the script nor a file that it imports from its folder has the same name as a module that workers load
      first, according to `is_always_taken`.

    Raises:
        ScoringScriptError: one of these conditions is not met.
    """
    tree = _parse(path)
    run = _definition_of_run(tree)
    if run is None and not _may_define_run_elsewhere(tree):
        raise missing_run(path.name)
    if is_always_taken(path.stem):
        raise taken_name(path.name)
    if run is not None and not run.decorator_list and not _may_define_run_elsewhere(tree):
        _check_parameters(run, path.name)
    _check_imported_files(tree, path)
    reason = _online_reason(tree, run)
    if reason:
        raise ScoringScriptError(
            code=ErrorCode.SCRIPT_ONLINE,
            what=f"scoring script '{path.name}' is written for an online endpoint",
            got=reason,
            expected="run(mini_batch) that takes a list of file paths or a DataFrame",
            next_step="Write run(mini_batch) for batches and return one element per item.",
        )


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), filename=path.name)
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise ScoringScriptError(
            code=ErrorCode.SCRIPT_SYNTAX,
            what=f"scoring script '{path.name}'{line} is not valid Python",
            got=getattr(error, "msg", str(error)),
            next_step="Correct the script and run again.",
        ) from error


def _check_parameters(run: ast.FunctionDef, script: str) -> None:
    """Raise a `ScoringScriptError` if ``run()`` cannot be called with the mini-batch as its only argument."""
    taken = run.args
    positional = [*taken.posonlyargs, *taken.args]
    required = positional[: len(positional) - len(taken.defaults)]
    keywords = [arg for arg, default in zip(taken.kwonlyargs, taken.kw_defaults, strict=True) if default is None]
    if len(required) > 1 or keywords or not (positional or taken.vararg):
        raise other_parameters(script, f"run({ast.unparse(taken)})")


def _check_imported_files(tree: ast.Module, path: Path) -> None:
    """Raise a `ScoringScriptError` if the script imports a file whose name clashes with a module loaded by workers.

    Python would use the loaded module instead of the file. See `is_always_taken` for the modules.
    """
    for node in ast.walk(tree):
        imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        imported += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        for name in {module.partition(".")[0] for module in imported}:
            if is_always_taken(name) and (path.parent / f"{name}.py").is_file():
                raise ScoringScriptError(
                    code=ErrorCode.SCRIPT_NAME,
                    what=f"scoring script '{path.name}' imports '{name}'",
                    got=f"a file '{name}.py' in its folder, and the module of that name that Python needs",
                    next_step=f"Give '{name}.py' another name, so that Python does not import the other module.",
                )


def _top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements of a script that are not inside a function or class, in order.

    Statements inside ``if``, ``try`` and other blocks are included.
    """
    waiting: list[ast.AST] = [*reversed(tree.body)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.stmt):
            yield node
        if not isinstance(node, (ast.expr, *_DEFINITIONS)):
            waiting += [*ast.iter_child_nodes(node)][::-1]


def _definition_of_run(tree: ast.Module) -> ast.FunctionDef | None:
    """Return the last top-level definition of ``run()`` in the script, or None if the script does not define it."""
    found = [node for node in _top_level(tree) if isinstance(node, ast.FunctionDef) and node.name == "run"]
    return found[-1] if found else None


def _may_define_run_elsewhere(tree: ast.Module) -> bool:
    """Return whether the script assigns or imports ``run`` at its top level, or has a star import there."""
    for node in _top_level(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)) and {a.asname or a.name for a in node.names} & {"run", "*"}:
            return True
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(name, ast.Name) and name.id == "run" for t in targets for name in ast.walk(t)):
                return True
    return False


def _online_reason(tree: ast.Module, run: ast.FunctionDef | None) -> str:
    """Return why a script seems to be written for an online endpoint, or an empty string if nothing suggests this."""
    for node in _top_level(tree):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if any(module.split(".")[0] == "inference_schema" for module in modules):
            return "an import of 'inference_schema'"
    if run is not None and run.args.args and _parses_json_of(run, run.args.args[0].arg):
        return f"run({run.args.args[0].arg}) that parses its argument as JSON"
    return ""


def _parses_json_of(run: ast.FunctionDef, parameter: str) -> bool:
    """Return whether ``run()`` passes its parameter to ``json.loads`` before assigning a new value to it.

    If ``run()`` also passes the parameter to ``isinstance``, the result is False, because ``run()`` may then accept
    both JSON and mini-batches.
    """
    nodes = list(_nodes_of(run, parameter))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    if any(_is_call(call, "isinstance", parameter) for call in calls):
        return False
    renewed = min((node.lineno for node in nodes if _assigns(node, parameter)), default=math.inf)
    return any(_is_call(call, "json.loads", parameter) and call.lineno <= renewed for call in calls)


def _nodes_of(parent: ast.AST, parameter: str) -> Iterator[ast.expr]:
    """Yield the expressions inside a syntax node.

    Inner scopes, such as nested functions, are skipped if they define a variable named `parameter`.
    """
    for child in ast.iter_child_nodes(parent):
        if isinstance(child, _SCOPES) and any(_assigns(node, parameter) for node in ast.walk(child)):
            continue
        if isinstance(child, ast.expr):
            yield child
        yield from _nodes_of(child, parameter)


def _assigns(node: ast.AST, name: str) -> TypeGuard[ast.Name]:
    """Return whether a syntax node assigns to a variable or declares a parameter with the given name."""
    if isinstance(node, ast.arg):
        return node.arg == name
    return isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)


def _is_call(call: ast.Call, function: str, argument: str) -> bool:
    """Return whether a syntax node calls a given function with a given variable as the first argument."""
    first = call.args[0] if call.args else None
    return ast.unparse(call.func) == function and isinstance(first, ast.Name) and first.id == argument
