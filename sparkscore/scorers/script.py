"""Run a scoring script, `init()` and `run(mini_batch)`, as it runs in an Azure ML batch endpoint (worker)."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from types import ModuleType

from sparkscore.errors import ScoringScriptError
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure, describe_failure
from sparkscore.scorers.frames import to_pandas


@dataclass(frozen=True)
class ScriptSpec:
    """Everything a worker needs to run a scoring script; plain and picklable.

    Attributes:
        code: the code folder as the bytes of a ZIP archive.
        script: path of the script inside that folder.
        arguments: what the script finds in ``sys.argv[1:]``.
        environment: environment variables, as pairs.
        model_path: absolute path of the model file or folder, if there is a model.
        output_folder: existing folder that the script finds as ``AZUREML_BI_OUTPUT_PATH``.
        work_folder: existing folder for the unpacked copies, removed with the run; the system's own if empty.
        arrow_dtypes: whether DataFrames come with Arrow-backed columns instead of NumPy ones.
    """

    code: bytes
    script: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    model_path: str | None = None
    output_folder: str = ""
    work_folder: str = ""
    arrow_dtypes: bool = False


class ScriptFailedError(Exception):
    """The user's code raised; carries the failure as plain data."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class ScriptScorer:
    """A scoring script in the worker process.

    The script runs in an unpacked copy of its code folder: that is its working directory, the first entry of
    ``sys.path`` and the folder of its ``__file__``. Environment, directory, path and arguments are the script's only
    while its code runs, and the modules that it imported from its folder go when the scorer is closed.
    """

    def __init__(self, spec: ScriptSpec) -> None:
        self._spec = spec
        # Resolved, because scripts ask for their folder in ways that resolve links, and modules are known by it.
        self._home = Path(tempfile.mkdtemp(prefix="sparkscore-script-", dir=spec.work_folder or None)).resolve()
        self._folder = self._home / "code"
        self._run: Callable[[object], object] | None = None
        self._module: ModuleType | None = None
        self._scripts_own: _Surroundings | None = None

    def load(self) -> None:
        """Unpack the code, import the script and call its ``init()``, if it has one.

        Raises:
            ScriptFailedError: the import or ``init()`` raised.
        """
        with zipfile.ZipFile(io.BytesIO(self._spec.code)) as archive:
            archive.extractall(self._folder)
        self._link_model()
        with self._surroundings():
            with self._reporting("SCRIPT_IMPORT"):
                self._module = self._import_script()
            run = getattr(self._module, "run", None)
            if not callable(run):
                raise missing_run(self._spec.script)
            init = getattr(self._module, "init", None)
            if callable(init):
                with self._reporting("SCRIPT_INIT"):
                    init()
        self._run = run

    def score(self, mini_batch: MiniBatch) -> object:
        """Call the script's ``run()`` with a list of paths, or with a DataFrame of its own.

        A generator is run to its end here, where the script's surroundings are.

        Raises:
            ScriptFailedError: ``run()`` raised.
            OutputContractError: a column cannot be handed over exactly.
        """
        if self._run is None:
            raise RuntimeError("the scorer is not loaded")
        if mini_batch.rows is None:
            argument: object = list(mini_batch.files)
        else:
            argument = to_pandas(mini_batch.rows, arrow_dtypes=self._spec.arrow_dtypes)
        with self._surroundings(), self._reporting("SCRIPT_RUN"):
            returned = self._run(argument)
            return list(returned) if isinstance(returned, Iterator) else returned

    def close(self) -> None:
        """Call the script's ``shutdown()``, if it has one, forget its modules and remove its copy."""
        shutdown = getattr(self._module, "shutdown", None)
        if self._run is not None and callable(shutdown):
            # The result is complete without it, so a failing clean-up must not fail the run.
            with suppress(Exception, SystemExit), self._surroundings():
                shutdown()
        self._run = self._module = None
        for name in _modules_from(self._folder):
            del sys.modules[name]
        rmtree(self._home, ignore_errors=True)

    def _link_model(self) -> None:
        """Make the folder that *holds* the model under its own name: scripts join that name to AZUREML_MODEL_DIR."""
        holder = self._home / "model"
        holder.mkdir()
        if self._spec.model_path:
            model = Path(self._spec.model_path)
            _link_tree(model.resolve(), holder / model.name)

    def _import_script(self) -> ModuleType:
        path = self._folder / self._spec.script
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path.name} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        # Registered before it runs, as an import does: pickles and dataclasses look their module up by name.
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        return module

    @contextmanager
    def _reporting(self, code: str) -> Iterator[None]:
        """Turn whatever the user's code raises into a failure."""
        try:
            yield
        except KeyboardInterrupt:
            raise
        # SystemExit included: a script that calls sys.exit() has failed its mini-batch, not ended the worker.
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            raise ScriptFailedError(describe_failure(error, code, self._folder)) from None

    @contextmanager
    def _surroundings(self) -> Iterator[None]:
        """Give the script its environment variables, directory, import path and arguments, and take them back.

        What ``init()`` changes of them is there again in ``run()``: for the script, the process is its own.
        """
        workers_own = _Surroundings.of_this_process()
        try:
            (self._scripts_own or self._first_surroundings(workers_own)).enter()
            yield
            self._scripts_own = _Surroundings.of_this_process()
        finally:
            workers_own.enter()

    def _first_surroundings(self, workers: _Surroundings) -> _Surroundings:
        script = self._folder / self._spec.script
        environment = {**workers.environment, **dict(self._spec.environment)}
        environment["AZUREML_MODEL_DIR"] = str(self._home / "model")
        environment["AZUREML_BI_OUTPUT_PATH"] = self._spec.output_folder
        path = [*dict.fromkeys([str(script.parent), str(self._folder)]), *workers.path]
        return _Surroundings(environment, str(self._folder), path, [str(script), *self._spec.arguments])


@dataclass(frozen=True)
class _Surroundings:
    """What a script takes from the process around it: environment variables, directory, import path, arguments."""

    environment: dict[str, str]
    folder: str
    path: list[str]
    arguments: list[str]

    @classmethod
    def of_this_process(cls) -> _Surroundings:
        return cls(os.environ.copy(), str(Path.cwd()), sys.path.copy(), sys.argv)

    def enter(self) -> None:
        os.chdir(self.folder)
        sys.argv, sys.path[:] = self.arguments, self.path
        os.environ.clear()
        os.environ.update(self.environment)


def missing_run(script: str) -> ScoringScriptError:
    """Make the error for a scoring script without ``run()``."""
    return ScoringScriptError(
        code="SCRIPT_NO_RUN",
        what=f"scoring script '{script}'",
        got="no function 'run'",
        expected="run(mini_batch), and optionally init()",
        next_step="Define run(mini_batch) at the top level of the script.",
    )


def _link_tree(source: Path, target: Path) -> None:
    """Link a file, or each file of a folder: ``os.walk`` and ``Path.rglob`` do not enter a folder that is a link."""
    if source.is_symlink() or not source.is_dir():
        target.symlink_to(source)
        return
    target.mkdir()
    for entry in source.iterdir():
        _link_tree(entry, target / entry.name)


def _modules_from(folder: Path) -> list[str]:
    return [
        name
        for name, module in list(sys.modules.items())
        if any(Path(place).is_relative_to(folder) for place in _places_of(module))
    ]


def _places_of(module: object) -> list[str]:
    """Name a module's file and folders; a folder without ``__init__.py`` is a module without a file."""
    # Not getattr(): a module that loads itself late would do so here.
    known = getattr(module, "__dict__", {})
    return [place for place in (known.get("__file__"), *known.get("__path__", ())) if isinstance(place, str)]
