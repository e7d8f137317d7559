"""Run a scoring script with ``init()`` and ``run(mini_batch)``, as Azure ML batch endpoints do (worker)."""

from __future__ import annotations

import importlib.util
import inspect
import io
import os
import re
import socket
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelError
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import describe_failure
from sparkscore.removal import make_folder, remove_made
from sparkscore.scorers.dtypes import Dtypes
from sparkscore.scorers.failed import ScorerFailedError
from sparkscore.scorers.frames import HandedOver, hand_over
from sparkscore.scorers.model_files import ModelFiles, fetch_model, link_files, make_folder_for_links
from sparkscore.scorers.own_modules import forget_modules
from sparkscore.scorers.registered_models import fetch_registered
from sparkscore.scripts.azure_stand_ins import AzureModules, ScriptFolders
from sparkscore.scripts.contained import Contained
from sparkscore.scripts.faults import advice_for
from sparkscore.scripts.mlflow_store import end_active_run, variables_of_store
from sparkscore.scripts.model_lookup import DeployedModel, ModelLookup
from sparkscore.scripts.refusals import is_taken, missing_run, other_parameters, taken_name
from sparkscore.scripts.surroundings import Surroundings
from sparkscore.stage.layout import SCRIPTS

# With this environment variable, workers that the command line starts do not import modules from the working directory.
# It is removed from the environment of the script. Python accepts any value that is not an empty string.
# Source: https://docs.python.org/3/using/cmdline.html#envvar-PYTHONSAFEPATH
SAFE_PATH: Final = ("PYTHONSAFEPATH", "sparkscore")


@dataclass(frozen=True)
class ScriptSpec:
    """Everything that a worker needs to run a scoring script. It can be pickled.

    Attributes:
        code: the code folder, as the bytes of a ZIP archive.
        script: path of the script inside the code folder.
        arguments: the command-line arguments of the script, ``sys.argv[1:]``.
        environment: the script's environment variables, as pairs of name and value.
        model: the main model, which is in the folder ``AZUREML_MODEL_DIR``, or None if the deployment has none.
        models: further models, which are in ``AZUREML_MODEL_DIR`` as ``<name>/<version>/<file or folder>``.
        tracking_uri: URI of MLflow's tracking store for the script, or an empty string if it is not known. A URI in
            ``environment`` has priority.
        registry_uri: URI of MLflow's registry for the script, or an empty string if it is not known. A URI in
            ``environment`` has priority.
        output_folder: existing folder, whose path the script finds in the variable ``AZUREML_BI_OUTPUT_PATH``.
        log_folder: folder for the logs of Azure's ``EntryScript``, and for MLflow's data if no tracking store is set.
            If it is an empty string, the logs are written to a folder that is removed when the scorer is closed.
        work_folder: existing folder in which the code is unpacked, or an empty string for the system's folder for
            temporary files. The unpacked code is removed when the scorer is closed.
        dtypes: the choice of dtypes for the DataFrames that ``run()`` gets.
    """

    code: bytes
    script: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    model: ModelFiles | None = None
    models: tuple[ModelFiles, ...] = ()
    tracking_uri: str = ""
    registry_uri: str = ""
    output_folder: str = ""
    log_folder: str = ""
    work_folder: str = ""
    dtypes: Dtypes = field(default_factory=Dtypes)


class ScriptScorer:
    """A scorer that runs a scoring script.

    The script runs in an unpacked copy of its code folder, which is its working directory. The folder of the script is
    the first entry of ``sys.path``. The script's environment variables, working directory, import path and arguments
    are set only while its code runs. The modules that it imported from its code folder are unloaded when the scorer is
    closed.

    Attributes:
        handed_over: the DataFrame that ``run()`` got in the last call, with the rows that it was made from. None if
            ``run()`` got a list of files, before the first call, and after `close`.
        verified: digests of the models' files, which were checked on this host. Empty before the models are copied.
    """

    def __init__(self, spec: ScriptSpec) -> None:
        self.handed_over: HandedOver | None = None
        self.verified: tuple[str, ...] = ()
        self._spec = spec
        # The path has no symbolic links: scripts often resolve them, and `forget_modules` finds modules by their paths.
        self._home = make_folder(SCRIPTS, Path(spec.work_folder) if spec.work_folder else None).resolve()
        self._folder = self._home / "code"
        self._models: Path | None = None
        self._model_folder = self._home / "model"
        self._run: Callable[[object], object] | None = None
        self._module: ModuleType | None = None
        self._scripts_own: Surroundings | None = None
        self._azure: AzureModules | None = None
        self._contained = Contained()

    def load(self) -> None:
        """Unpack the code folder, import the script, and call the script's ``init()`` if there is one.

        Raises:
            ScorerFailedError: the import or ``init()`` raised an exception, or the script has the name of a module that
                this process had loaded before any script.
            ModelError: a model cannot be copied to this host, its files have changed, or two models would have the same
                path.
            ScoringScriptError: the script has no ``run()``, or its ``run()`` cannot be called with one argument.
        """
        with zipfile.ZipFile(io.BytesIO(self._spec.code)) as archive:
            archive.extractall(self._folder)
        self._azure = self._azure_modules(self._link_models())
        with self._surroundings():
            with self._reporting(ErrorCode.SCRIPT_IMPORT):
                self._module = self._find_script()
                with self._contained:
                    self._execute(self._module)
            run = getattr(self._module, "run", None)
            if not callable(run):
                raise missing_run(self._spec.script)
            _check_parameters(run, self._spec.script)
            init = getattr(self._module, "init", None)
            if callable(init):
                with self._reporting(ErrorCode.SCRIPT_INIT), self._contained:
                    init()
        self._run = run

    def score(self, mini_batch: MiniBatch) -> object:
        """Call the script's ``run()`` with a list of file paths or a DataFrame, and return its return value.

        A generator or other iterator is converted to a list, because its code must run with the script's environment
        variables and working directory.

        Raises:
            ScorerFailedError: ``run()`` raised an exception.
            ScoringScriptError: the script's working directory cannot be entered, for example because it was removed.
            SourceSchemaError: a column cannot be converted to pandas; `to_pandas` lists the reasons.
        """
        if self._run is None:
            raise RuntimeError("the scorer is not loaded")
        self.handed_over = None
        if self._models is not None:
            os.utime(self._models)  # other processes remove a folder that has not been used for a week
        if mini_batch.rows is None:
            argument: object = list(mini_batch.files)
        else:
            self.handed_over = hand_over(mini_batch.rows, self._spec.dtypes)
            argument = self.handed_over.frame
        with self._surroundings(), self._reporting(ErrorCode.SCRIPT_RUN):
            with self._contained:
                returned = self._run(argument)
            if isinstance(returned, Iterator):
                with self._contained:
                    returned = [*returned]
            return returned

    def close(self) -> None:
        """Call the script's ``shutdown()`` if there is one, unload its modules, and remove its code and linked models.

        ``shutdown()`` is called only if `load` succeeded, and its exceptions are ignored. If the script has left an
        MLflow run active, the MLflow run is ended.
        """
        shutdown = getattr(self._module, "shutdown", None)
        if self._run is not None and callable(shutdown):
            # The result is complete by now, so an error in shutdown() must not fail the run.
            with suppress(BaseException), self._surroundings(), self._contained:
                shutdown()
        if self._scripts_own is not None:
            with suppress(BaseException), self._contained:
                end_active_run(self._scripts_own.environment)
        self._run = self._module = self.handed_over = None
        if self._azure is not None:
            self._azure.close()
        forget_modules(self._folder)
        remove_made(self._home)
        if self._models is not None:
            remove_made(self._models)

    def _folder_for_models(self) -> Path:
        """Return the folder into which this scorer links models. The first call creates it.

        The folder is in this host's cache of models, because a hard link and its file must be on one file system.
        """
        if self._models is None:
            self._models = make_folder_for_links().resolve()
        return self._models

    def _link_models(self) -> list[DeployedModel]:
        """Create the folder ``AZUREML_MODEL_DIR``, link the models of the deployment into it, and return the models.

        The main model keeps the name of its file or folder, because scripts append that name to the path
        ``AZUREML_MODEL_DIR``.

        Raises:
            ModelError: a model cannot be copied to this host, its files have changed, or a further model has the name
                of the main model's file or folder.
        """
        has_models = self._spec.model is not None or bool(self._spec.models)
        self._model_folder = holder = (self._folder_for_models() if has_models else self._home) / "model"
        holder.mkdir()
        linked = []
        if self._spec.model is not None:
            model = fetch_model(self._spec.model)
            link_files(model, holder / model.name)
            linked.append(DeployedModel(self._spec.model.name, self._spec.model.version, holder / model.name))
        for files in self._spec.models:
            if (holder / files.name).exists():
                raise _two_models(files.name)
            path = _link_version(fetch_model(files), holder, files.name, files.version)
            linked.append(DeployedModel(files.name, files.version, path))
        fetched = (*self._spec.models, *([self._spec.model] if self._spec.model else []))
        self.verified = tuple({files.sha256 for files in fetched})
        return linked

    def _azure_modules(self, deployed: list[DeployedModel]) -> AzureModules:
        # Registered models are not in AZUREML_MODEL_DIR, because scripts search that folder for the deployment's model.
        lookup = ModelLookup(
            deployed,
            fetch_registered,
            lambda copy, name, version: _link_version(copy, self._folder_for_models() / "registered", name, version),
        )
        logs = Path(self._spec.log_folder or self._home / "logs") / socket.gethostname()
        return AzureModules(lookup.find, ScriptFolders(Path(self._spec.output_folder), logs, self._folder))

    def _find_script(self) -> ModuleType:
        path = self._folder / self._spec.script
        if is_taken(path.stem):
            raise taken_name(self._spec.script)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path.name} is not a Python file")
        return importlib.util.module_from_spec(spec)

    @staticmethod
    def _execute(module: ModuleType) -> None:
        # Added before it runs, as an import does, because pickles and dataclasses look up their module by name.
        sys.modules[module.__name__] = module
        if module.__spec__ is not None and module.__spec__.loader is not None:
            module.__spec__.loader.exec_module(module)

    @contextmanager
    def _reporting(self, code: ErrorCode) -> Iterator[None]:
        """Replace any exception that is raised in the ``with`` block with a `ScorerFailedError`.

        Only `KeyboardInterrupt` passes through.

        Args:
            code: the code of the failure, which says what part of the script was running.
        """
        try:
            yield
        except KeyboardInterrupt:
            raise
        # SystemExit included: if a script calls sys.exit(), only its mini-batch fails, and the worker continues.
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            failure = describe_failure(error, code, self._folder)
            step = failure.next_step or advice_for(error, self._model_folder, self._folder)
            raise ScorerFailedError(replace(failure, next_step=step)) from None

    @contextmanager
    def _surroundings(self) -> Iterator[None]:
        """Set the script's environment variables, working directory, import path and arguments in the ``with`` block.

        Changes that the script makes to these settings, for example in ``init()``, are kept for its next call, unless
        the block raises an exception. After the block, the settings of the worker process are restored.
        """
        workers_own = Surroundings.of_this_process()
        try:
            (self._scripts_own or self._first_surroundings(workers_own)).enter()
            with nullcontext() if self._azure is None else self._azure.present():
                yield
            self._scripts_own = Surroundings.of_this_process()
        finally:
            workers_own.enter_again()

    def _first_surroundings(self, workers: Surroundings) -> Surroundings:
        script = self._folder / self._spec.script
        mlflow = {"MLFLOW_TRACKING_URI": self._spec.tracking_uri, "MLFLOW_REGISTRY_URI": self._spec.registry_uri}
        drivers = {name: uri for name, uri in mlflow.items() if uri}
        environment = {**workers.environment, **drivers, **dict(self._spec.environment)}
        if environment.get(SAFE_PATH[0]) == SAFE_PATH[1]:
            del environment[SAFE_PATH[0]]
        environment |= variables_of_store(self._folder, self._spec.log_folder, environment)
        environment["AZUREML_MODEL_DIR"] = str(self._model_folder)
        environment["AZUREML_BI_OUTPUT_PATH"] = self._spec.output_folder
        path = [*dict.fromkeys([str(script.parent), str(self._folder)]), *workers.path]
        arguments = [str(script), *self._spec.arguments]
        return Surroundings(environment, str(self._folder), path, arguments, workers.modules)


def _check_parameters(run: Callable[..., object], script: str) -> None:
    """Raise an error if ``run()`` cannot be called with the mini-batch as its only argument.

    A ``run()`` without a Python signature, for example one that is written in C, is accepted.
    """
    try:
        signature = inspect.signature(run)
    except (TypeError, ValueError):  # functions that are written in C may have no signature
        return
    try:
        signature.bind(None)
    except TypeError:
        raise other_parameters(script, f"run{signature}") from None


def _two_models(name: str) -> ModelError:
    return ModelError(
        code=ErrorCode.MODEL_NAME,
        what=f"name '{name}' in AZUREML_MODEL_DIR",
        got="the file or folder of 'model', and a model under 'models'",
        next_step="Give the model under 'models' another name.",
    )


def _link_version(copy: Path, holder: Path, name: str, version: str) -> Path:
    """Link a model into a folder as ``<name>/<version>/<file or folder>``, as Azure ML does, and return that path.

    In the version, characters that are unusual in file names, such as a slash, are replaced with hyphens.

    Args:
        copy: path of this host's copy of the model.
        holder: the folder to create the link in.
        name: name of the model.
        version: version of the model.
    """
    folder = holder / name / re.sub(r"[^\w.+-]|^\.+$", "-", version)
    folder.mkdir(parents=True)
    link_files(copy, folder / copy.name)
    return folder / copy.name
