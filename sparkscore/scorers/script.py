"""Run a scoring script that defines ``init()`` and ``run(mini_batch)``, as Azure ML batch endpoints do.

Runs on the workers.
"""

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
from sparkscore.scorers.model_files import ModelFiles, fetch_model, link_files, make_folder_for_links, read_file
from sparkscore.scorers.own_modules import forget_modules
from sparkscore.scorers.registered_models import fetch_registered
from sparkscore.scripts.azure_stand_ins import AzureModules, ScriptFolders
from sparkscore.scripts.contained import Contained
from sparkscore.scripts.faults import advice_for
from sparkscore.scripts.mlflow_store import end_active_run, variables_of_store
from sparkscore.scripts.model_lookup import DeployedModel, ModelLookup
from sparkscore.scripts.refusals import is_taken, missing_run, other_parameters, taken_name
from sparkscore.scripts.surroundings import Surroundings, forget_known_modules
from sparkscore.stage.layout import SCRIPTS

# The command line sets this environment variable to keep workers from importing modules from the working directory. It
# is removed from the script's environment. Python treats all non-empty values alike.
# Source: https://docs.python.org/3/using/cmdline.html#envvar-PYTHONSAFEPATH
SAFE_PATH: Final = ("PYTHONSAFEPATH", "sparkscore")


@dataclass(frozen=True)
class ScriptSpec:
    """Everything that a worker needs to run a scoring script. Instances can be pickled.

    Attributes:
        code: ZIP archive of the code folder.
        script: path of the script inside the code folder.
        arguments: the script's command-line arguments, ``sys.argv[1:]``.
        environment: the script's environment variables, as (name, value) pairs.
        model: the main model, which is placed in ``AZUREML_MODEL_DIR``, or None if the deployment has no main model.
        models: further models, placed in ``AZUREML_MODEL_DIR`` as ``<name>/<version>/<file or folder>``.
        tracking_uri: URI of the script's MLflow tracking store, or an empty string if unknown. A URI in
            ``environment`` takes precedence.
        registry_uri: URI of the script's MLflow registry, or an empty string if unknown. A URI in ``environment``
            takes precedence.
        output_folder: existing folder whose path is passed to the script in ``AZUREML_BI_OUTPUT_PATH``.
        log_folder: folder for the logs of Azure's ``EntryScript``, and for MLflow's data if no tracking store is set.
            If empty, logs are written to a folder that is removed when the scorer is closed.
        work_folder: existing folder where the code is unpacked, or an empty string for the system's temporary folder.
            The unpacked code is removed when the scorer is closed.
        dtypes: dtype options for the DataFrames that are passed to ``run()``.
    """

    code: bytes | ModelFiles
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

    The script's working directory is an unpacked copy of its code folder, and the script's own folder comes first in
    ``sys.path``. Environment variables, working directory, import path and arguments are set only while the script's
    code runs. Modules imported from the code folder are unloaded when the scorer is closed.

    Attributes:
        handed_over: the DataFrame that was passed to ``run()`` in the last call, with the rows that it was made from.
            It is None before the first call and after `close`, and always if ``run()`` takes a list of files.
        verified: digests of the models' files, once they have been checked on this host. Empty until then.
    """

    def __init__(self, spec: ScriptSpec) -> None:
        self.handed_over: HandedOver | None = None
        self.verified: tuple[str, ...] = ()
        self._spec = spec
        # Symbolic links are resolved, because scripts often do so as well, and `forget_modules` compares paths.
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
        """Unpack the code folder, import the script, and call its ``init()`` if it has one.

        Raises:
            ScorerFailedError: the import or ``init()`` raised an exception, or the script has the same name as a module
                that this process loaded before any script.
            ModelError: a model cannot be copied to this host, a model's files have changed, or two models would be
                linked at the same path.
            ScoringScriptError: the script has no ``run()``, or its ``run()`` cannot be called with one argument.
        """
        code = self._spec.code
        with zipfile.ZipFile(io.BytesIO(code if isinstance(code, bytes) else read_file(code))) as archive:
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
        """Call the script's ``run()`` with a list of file paths or a DataFrame, and return the result.

        If ``run()`` returns an iterator, it is consumed here and returned as a list, because a generator's code must
        run with the script's environment variables and working directory.

        Raises:
            ScorerFailedError: ``run()`` raised an exception.
            ScoringScriptError: the script's working directory cannot be entered, for example because it was removed.
            SourceSchemaError: a column cannot be converted to pandas; `to_pandas` lists the reasons.
        """
        if self._run is None:
            raise RuntimeError("the scorer is not loaded")
        self.handed_over = None
        if self._models is not None:
            os.utime(self._models)  # other processes remove folders that have not been used for a week
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

    @property
    def import_path(self) -> list[str]:
        """The script's import path, with the folders that the script has added. The worker's before `load`."""
        return sys.path if self._scripts_own is None else self._scripts_own.path

    @property
    def copies_rows(self) -> bool:
        """Whether the DataFrames for the script share no memory with the rows, except for columns of some types.

        See `sparkscore.scorers.frames.is_copied`.
        """
        return not self._spec.dtypes.are_arrow

    def close(self) -> None:
        """Call the script's ``shutdown()`` if it has one, unload its modules, and remove its code and model links.

        ``shutdown()`` is called only if `load` succeeded, and its exceptions are ignored. If the script left an MLflow
        run active, that run is ended.
        """
        shutdown = getattr(self._module, "shutdown", None)
        if self._run is not None and callable(shutdown):
            # All mini-batches have been scored by now, so an error in shutdown() must not fail the run.
            with suppress(BaseException), self._surroundings(), self._contained:
                shutdown()
        if self._scripts_own is not None:
            with suppress(BaseException), self._contained:
                end_active_run(self._scripts_own.environment)
        self._run = self._module = self.handed_over = None
        if self._azure is not None:
            self._azure.close()
        self._scripts_own = None
        forget_modules(self._folder)
        forget_known_modules()
        remove_made(self._home)
        if self._models is not None:
            remove_made(self._models)

    def _folder_for_models(self) -> Path:
        """Return the folder for this scorer's hard links to models, creating it on the first call.

        The folder is in this host's model cache, because a hard link and its file must be on the same file system.
        """
        if self._models is None:
            self._models = make_folder_for_links().resolve()
        return self._models

    def _link_models(self) -> list[DeployedModel]:
        """Create the ``AZUREML_MODEL_DIR`` folder, link the deployment's models into it, and return the models.

        The main model keeps its file or folder name, because scripts append that name to ``AZUREML_MODEL_DIR``.

        Raises:
            ModelError: a model cannot be copied to this host, its files have changed, or a further model has the same
                name as the main model's file or folder.
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
        # Registered models are kept out of AZUREML_MODEL_DIR, because scripts search it for the deployment's model.
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
        # As in a normal import, the module is added before it runs, because pickles and dataclasses look it up by name.
        sys.modules[module.__name__] = module
        if module.__spec__ is not None and module.__spec__.loader is not None:
            module.__spec__.loader.exec_module(module)

    @contextmanager
    def _reporting(self, code: ErrorCode) -> Iterator[None]:
        """Replace any exception except `KeyboardInterrupt` in the ``with`` block with a `ScorerFailedError`.

        Args:
            code: code of the failure, which depends on the part of the script that is running.
        """
        try:
            yield
        except KeyboardInterrupt:
            raise
        # This includes SystemExit: if a script calls sys.exit(), only its mini-batch fails, and the worker continues.
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            failure = describe_failure(error, code, self._folder)
            step = failure.next_step or advice_for(error, self._model_folder, self._folder)
            raise ScorerFailedError(replace(failure, next_step=step)) from None

    @contextmanager
    def _surroundings(self) -> Iterator[None]:
        """Use the script's environment variables, working directory, import path and arguments in the ``with`` block.

        After the block, the worker's own settings are restored. If the script has changed its settings, for example in
        ``init()``, its next call uses the changed settings, unless the block raised an exception.
        """
        workers_own = Surroundings.of_this_process()
        left: Surroundings | None = None
        try:
            (self._scripts_own or self._first_surroundings(workers_own)).enter(workers_own)
            with nullcontext() if self._azure is None else self._azure.present():
                yield
            self._scripts_own = left = Surroundings.of_this_process()
        finally:
            workers_own.enter_again(left or Surroundings.of_this_process())

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

    If ``run()`` has no Python signature, for example because it is written in C, it is accepted.
    """
    try:
        signature = inspect.signature(run)
    except (TypeError, ValueError):  # functions written in C may have no signature
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
    """Link a model into a folder as ``<name>/<version>/<file or folder>``, as Azure ML does, and return the path.

    Slashes and other unusual characters in the version are replaced with hyphens.

    Args:
        copy: path of this host's copy of the model.
        holder: the folder to link the model into.
        name: name of the model.
        version: version of the model.
    """
    folder = holder / name / re.sub(r"[^\w.+-]|^\.+$", "-", version)
    folder.mkdir(parents=True)
    link_files(copy, folder / copy.name)
    return folder / copy.name
