"""Start the children that score, each as a copy of a process that has imported what they need (worker).

That process, the template, runs no code of the user's, so a new child has run none either. Importing pandas and
PyArrow takes most of a second of a processor; a copy takes some milliseconds.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from sparkscore.scorers.script import SAFE_PATH
from sparkscore.worker.child.messages import TOKEN_BYTES, Connection, ConnectionLostError

#: The oldest Python that can score, as `sys.version_info` has it; also in pyproject.toml.
PYTHON_NEEDED: Final = (3, 11)
#: Exit code of a template whose interpreter is older.
PYTHON_TOO_OLD: Final = 4
_BOOT: Final = (
    "import sys\n"
    # Before anything that an older Python cannot read.
    f"if sys.version_info < {PYTHON_NEEDED}:\n"
    "    import json, os\n"
    "    os.write(json.loads(sys.argv.pop())[3], ('%d.%d.%d' % sys.version_info[:3]).encode())\n"
    f"    sys.exit({PYTHON_TOO_OLD})\n"
    # The working directory is no place for modules: a json.py that lies there is not the one that is meant.
    "sys.path[:] = [path for path in sys.path if path]\n"
    "import importlib.util, json, os\n"
    "paths, package, end, trace, worker, token = json.loads(sys.argv.pop())\n"
    "sys.path[:0] = paths\n"
    "try:\n"
    # Its folder is not added to the path: packages of the worker's interpreter lie there, which are not for others.
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
#: Exit code of a template whose interpreter lacks a package.
IMPORT_FAILED: Final = 3
_PACKAGE: Final = str(Path(__file__).parents[2] / "__init__.py")
_STOP_SECONDS: Final = 5.0
_SHOWN_TRACE: Final = 20_000
_KILLED: Final = -9


class ChildEndedError(Exception):
    """The child is gone, or was killed because it took too long or did not answer as it must.

    Attributes:
        code: its exit code, as `subprocess` has it; None where it had to be killed.
        trace: where its threads were, as far as that is known.
        is_timeout: whether it took too long.
        broken: what the user's code broke in it; empty where it broke nothing.
    """

    def __init__(self, code: int | None, trace: str, *, is_timeout: bool = False, broken: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.trace = trace
        self.is_timeout = is_timeout
        self.broken = broken


@dataclass(frozen=True)
class ChildStart:
    """What a child begins with.

    Attributes:
        end: its end of its connection.
        trace: its file for the traceback of a crash.
        token: what each message of its connection begins with.
        timeout: seconds that its start may take; without end if None.
    """

    end: socket.socket
    trace: IO[bytes]
    token: bytes
    timeout: float | None


class Template:
    """A process that has one child at a time. Both end with the worker."""

    def __init__(self, python: str, *, is_own_python: bool) -> None:
        """Start it.

        Args:
            python: its interpreter.
            is_own_python: whether that is the worker's own; modules are then found where the worker finds them.

        Raises:
            OSError: no process can be started.
        """
        self._made_for = python, is_own_python, _environment()
        self._code: int | None = None
        self._calls = 0
        self._trace = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._end, theirs = socket.socketpair()
        token = os.urandom(TOKEN_BYTES)
        self._connection = Connection(self._end, token, is_other_alive=lambda: self._is_alive)
        inherited = theirs.fileno(), self._trace.fileno()
        paths, package = (sys.path, "") if is_own_python else ([], _PACKAGE)
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
        """Whether it is alive, and was started as one for this interpreter would be started now."""
        return self._is_alive and self._made_for == (python, is_own_python, _environment())

    def copy(self, start: ChildStart) -> int:
        """Start a child, and give its process id.

        Raises:
            ChildEndedError: this process has ended or took too long; it is gone.
        """
        self._calls += 1
        self._code = None
        try:
            self._connection.send(start.token, self._calls, start.timeout)
            socket.send_fds(self._end, [b"."], [start.end.fileno(), start.trace.fileno()])
            pid: int = self._connection.receive(self._calls, self._process.pid, start.timeout)
        except TimeoutError:
            raise self._ended(is_timeout=True) from None
        except (ConnectionLostError, OSError):
            raise self._ended() from None
        return pid

    def wait_for_child(self, seconds: float) -> int | None:
        """Wait for the child's end, and give its exit code; None if it is still there.

        A child that has ended keeps its process id until `forget_child` is called.
        """
        if self._code is None and self._connection.wait(seconds):
            try:
                self._code = self._connection.receive(self._calls, self._process.pid)
            except ConnectionLostError:
                self._code = _KILLED  # as its parent was
        return self._code

    def forget_child(self) -> bool:
        """Give the process id of a child that has ended back; tell whether another one can be started."""
        if self.wait_for_child(_STOP_SECONDS) is None:
            return False
        self._calls += 1
        with suppress(ConnectionLostError):
            self._connection.send("forget", self._calls)
        return self._is_alive

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._close()

    @property
    def _is_alive(self) -> bool:
        return self._process.poll() is None

    def _ended(self, *, is_timeout: bool = False) -> ChildEndedError:
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
    return {name: value for name, value in os.environ.items() if (name, value) != SAFE_PATH}


class Templates:
    """The template that a worker process keeps between its runs; at most one waits."""

    def __init__(self) -> None:
        self._waiting: Template | None = None

    def start_child(self, python: str, start: ChildStart, *, is_own_python: bool) -> tuple[Template, int]:
        """Start a child from the one that waits if it is for this interpreter, else from another one.

        Returns:
            the template, and the child's process id.

        Raises:
            OSError: no process can be started.
            ChildEndedError: the template ended, or took too long.
        """
        waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting.fits(python, is_own_python=is_own_python):
            try:
                return waiting, waiting.copy(start)
            except ChildEndedError as ended:
                if ended.is_timeout:
                    raise
                # It died while it waited.
        elif waiting is not None:
            waiting.stop()
        template = Template(python, is_own_python=is_own_python)
        return template, template.copy(start)

    def give_back(self, template: Template) -> None:
        """Keep a template for the next run; another one that waits is stopped."""
        self.stop()
        self._waiting = template

    def stop(self) -> None:
        """Stop the one that waits."""
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None
