"""Start child processes by forking a template process that has already imported pandas and PyArrow.

Runs on the workers.

Importing these packages takes almost a second; a fork takes a few milliseconds. The template never runs the user's
code, so nothing that the code changes in one child affects the next.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final

from sparkscore.scorers.model_files import fetch_once
from sparkscore.scorers.script import SAFE_PATH
from sparkscore.worker.child.children import EXIT_CODE
from sparkscore.worker.child.messages import (
    TOKEN_BYTES,
    ChildForgotten,
    Connection,
    ConnectionLostError,
    Forked,
    LibrariesWanted,
    Library,
)
from sparkscore.worker.child.shared_memory import SharedMemory

#: The oldest supported Python version, to compare with `sys.version_info`. pyproject.toml contains the same version.
PYTHON_NEEDED: Final = (3, 11)
#: Exit code of a template whose Python version is older than `PYTHON_NEEDED`.
PYTHON_TOO_OLD: Final = 4
_BOOT: Final = (
    "import sys\n"
    # This check comes before any import that would fail in an older Python version.
    f"if sys.version_info < {PYTHON_NEEDED}:\n"
    "    import json, os\n"
    "    os.write(json.loads(sys.argv.pop())[3], ('%d.%d.%d' % sys.version_info[:3]).encode())\n"
    f"    sys.exit({PYTHON_TOO_OLD})\n"
    # Modules must not be imported from the working directory: it may contain a json.py.
    "sys.path[:] = [path for path in sys.path if path]\n"
    "import importlib.util, json, os\n"
    "paths, package, end, trace, worker, token = json.loads(sys.argv.pop())\n"
    "sys.path[:0] = paths\n"
    "try:\n"
    # sparkscore's folder is not added to sys.path, because it also contains packages of the worker's interpreter.
    "    if package:\n"
    "        spec = importlib.util.spec_from_file_location('sparkscore', package)\n"
    "        sys.modules['sparkscore'] = importlib.util.module_from_spec(spec)\n"
    "        spec.loader.exec_module(sys.modules['sparkscore'])\n"
    "    from sparkscore.worker.child.main import main\n"
    "except (ImportError, OSError) as error:\n"
    "    os.write(trace, str(error).encode())\n"
    "    sys.exit(3)\n"
    "os.close(trace)\n"
    "main(end, worker, token)"
)
#: Exit code of a template whose interpreter cannot import a package.
IMPORT_FAILED: Final = 3
_STOP_SECONDS: Final = 5.0
_SHOWN_TRACE: Final = 20_000
_KILLED: Final = -9


class ChildEndedError(Exception):
    """The child or its template has ended, or was killed because it took too long or sent a wrong answer.

    Attributes:
        code: exit code of the process; or the negated number of the signal that ended it; or None if neither is known.
        trace: tracebacks of the child's threads or a message from the template, or an empty string.
        is_timeout: whether the process took too long.
        broken: how the user's code damaged the child, or an empty string.
    """

    def __init__(self, code: int | None, trace: str, *, is_timeout: bool = False, broken: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.trace = trace
        self.is_timeout = is_timeout
        self.broken = broken


@dataclass(frozen=True)
class ChildStart:
    """What the template needs to start a child.

    Attributes:
        end: the child's end of its connection to the worker.
        trace: file that receives the traceback if the child crashes.
        token: token of the connection.
        timeout: time limit for the start in seconds, or None for no limit.
        memory: shared memory that passes the rows of mini-batches to the child, or None.
    """

    end: socket.socket
    trace: IO[bytes]
    token: bytes
    timeout: float | None
    memory: SharedMemory | None = None


def import_path() -> list[str]:
    """Return ``sys.path`` of this process, with relative paths made absolute. An empty path stays empty.

    Spark adds relative paths for the packages that it sends to workers. They would become wrong when a script changes
    the working directory.
    """
    return [os.path.abspath(path) if path else path for path in sys.path]  # noqa: PTH100 - the empty path stays


def package_file() -> str:
    """Return the path of sparkscore's ``__init__.py`` on this host, for an interpreter without sparkscore.

    If this process imports sparkscore from a ZIP archive, the archive is unpacked once per host.

    Raises:
        ModelError: other users have access to the folder for the unpacked archive.
        OSError: the archive cannot be unpacked.
    """
    file = Path(__file__).parents[2] / "__init__.py"
    if file.is_file():
        return str(file)
    archive = file.parents[1]
    key = f"package {hashlib.sha256(archive.read_bytes()).hexdigest()}"
    return str(fetch_once(key, "package", partial(_unpack, archive)) / file.parent.name / file.name)


def _unpack(archive: Path, target: Path) -> None:
    """Unpack the modules' source files from an archive. Bytecode is left out: it may be for another Python version."""
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(target, [name for name in packed.namelist() if name.endswith(".py")])


class _Exit:
    """Tells how a child has ended, from the pipe on which the template reports it."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._code: int | None = None

    def wait(self, seconds: float) -> int | None:
        """Wait for the child to end, and return its exit code, or None if the time is up first."""
        if self._code is None and self._is_ready(seconds):
            reported = os.read(self._pipe, EXIT_CODE.size)
            # Nothing was reported if the template was killed, and the child with it.
            self._code = EXIT_CODE.unpack(reported)[0] if len(reported) == EXIT_CODE.size else _KILLED
        return self._code

    def close(self) -> None:
        os.close(self._pipe)

    def _is_ready(self, seconds: float) -> bool:
        ready = select.poll()
        ready.register(self._pipe, select.POLLIN)
        return bool(ready.poll(seconds * 1000))


class Template:
    """A process that forks children. They may run at the same time, for example those of several runs."""

    def __init__(self, python: str, *, is_own_python: bool) -> None:
        """Start the template process.

        Args:
            python: path of the template's interpreter.
            is_own_python: whether this is the worker's own interpreter. If so, the template gets the worker's import
                path.

        Raises:
            OSError: no process can be started.
        """
        self._made_for = python, is_own_python, _environment()
        self._exits: dict[int, _Exit] = {}
        self._calls = 0
        self._libraries: set[Library] = set()
        self._paths: list[str] = []
        self._trace = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._end, theirs = socket.socketpair()
        token = os.urandom(TOKEN_BYTES)
        self._connection = Connection(self._end, token, is_other_alive=lambda: self._is_alive)
        inherited = theirs.fileno(), self._trace.fileno()
        paths, package = (import_path(), "") if is_own_python else ([], package_file())
        argument = json.dumps([paths, package, *inherited, os.getpid(), token.hex()])
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the deployment's own interpreter
                [python, "-c", _BOOT, argument],
                stdin=subprocess.DEVNULL,
                env=self._made_for[-1],
                pass_fds=inherited,
                start_new_session=True,
            )
        except OSError:
            self._close()
            raise
        finally:
            theirs.close()

    def fits(self, python: str, *, is_own_python: bool) -> bool:
        """Return whether the template is running with this interpreter and the current environment variables."""
        return self._is_alive and self._made_for == (python, is_own_python, _environment())

    @property
    def has_children(self) -> bool:
        """Whether a child of this template has not been forgotten yet."""
        return bool(self._exits)

    def has_only(self, libraries: Sequence[Library]) -> bool:
        """Return whether the template has imported no other libraries than these, and with the current import path."""
        return not self._libraries or (self._libraries <= {*libraries} and self._paths == self._import_path())

    def missing(self, libraries: Sequence[Library]) -> list[Library]:
        """Return those of these libraries that the template has not imported yet."""
        return [library for library in libraries if library not in self._libraries]

    def prepare(self, libraries: Sequence[Library], timeout: float | None) -> bool:
        """Have the template import libraries, and return whether children may be forked from it afterwards.

        Args:
            libraries: the modules to import. Those that the template has imported already are skipped.
            timeout: time limit in seconds, or None for no limit.

        Raises:
            ChildEndedError: the template has ended, or was killed because it took too long.
        """
        new = self.missing(libraries)
        if not new:
            return True
        self._paths = self._import_path()
        self._libraries |= {*new}
        self._calls += 1
        try:
            self._connection.send(LibrariesWanted(new, self._paths), self._calls, timeout)
            return bool(self._connection.receive(self._calls, self._process.pid, timeout))
        except TimeoutError:
            raise self._ended(is_timeout=True) from None
        except (ConnectionLostError, OSError):
            raise self._ended() from None

    def fork_child(self, start: ChildStart) -> Forked:
        """Ask the template to fork a child, and return its answer.

        Raises:
            ChildEndedError: the template has ended, or was killed because it took too long.
        """
        self._calls += 1
        reading, writing = os.pipe()
        try:
            self._connection.send(start.token, self._calls, start.timeout)
            memory = [] if start.memory is None else [start.memory.descriptor]
            socket.send_fds(self._end, [b"."], [start.end.fileno(), start.trace.fileno(), writing, *memory])
            forked: Forked = self._connection.receive(self._calls, self._process.pid, start.timeout)
        except (TimeoutError, ConnectionLostError, OSError) as error:
            os.close(reading)
            raise self._ended(is_timeout=isinstance(error, TimeoutError)) from None
        finally:
            os.close(writing)
        self._exits[forked.pid] = _Exit(reading)
        return forked

    def wait_for_child(self, pid: int, seconds: float) -> int | None:
        """Wait for a child to end, and return its exit code, or None if it is still running when the time is up.

        If a signal ended the child, the negated signal number is returned. If the template has ended, ``-SIGKILL`` is
        returned. While the template runs, the child's process id is not reused before `forget_child` is called.
        """
        return self._exits[pid].wait(seconds)

    def forget_child(self, pid: int) -> bool:
        """Wait a few seconds for a child to exit, have it reaped, and return whether another child can be forked.

        Return False if the child is still running. The child is then not reaped, so its process id is not reused.
        """
        code = self.wait_for_child(pid, _STOP_SECONDS)
        self._exits.pop(pid).close()
        if code is None:
            return False
        self._calls += 1
        with suppress(ConnectionLostError):
            self._connection.send(ChildForgotten(pid), self._calls)
        return self._is_alive

    def stop(self) -> None:
        """Kill the template process."""
        self._process.kill()
        self._process.wait()
        self._close()

    def _import_path(self) -> list[str]:
        return import_path() if self._made_for[1] else []

    @property
    def _is_alive(self) -> bool:
        return self._process.poll() is None

    def _ended(self, *, is_timeout: bool = False) -> ChildEndedError:
        """Kill the template process and return an error that describes how it ended.

        If the template did not time out, it first gets a few seconds to exit by itself.

        Args:
            is_timeout: whether the template did not answer within the time limit.
        """
        if not is_timeout:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        code = self._process.poll()
        self._process.kill()
        self._process.wait()
        self._trace.seek(0)
        trace = self._trace.read(_SHOWN_TRACE).decode(errors="backslashreplace")
        self._close()
        return ChildEndedError(code, trace, is_timeout=is_timeout)

    def _close(self) -> None:
        self._connection.close()
        self._trace.close()


def _environment() -> dict[str, str]:
    """Return the environment variables of this process, without the ``PYTHONSAFEPATH`` that sparkscore sets.

    sparkscore sets it only in workers, to keep them from importing modules from the working directory.
    """
    return {name: value for name, value in os.environ.items() if (name, value) != SAFE_PATH}
