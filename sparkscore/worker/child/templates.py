"""Keep the worker's idle template process, and the libraries that it imports for its children. Runs on the workers."""

from __future__ import annotations

from collections.abc import Iterable

from sparkscore.worker.child.messages import Forked, Library
from sparkscore.worker.child.template import ChildEndedError, ChildStart, Template


class Templates:
    """Keeps at most one idle template process, so that the next child starts quickly."""

    def __init__(self) -> None:
        self._waiting: Template | None = None
        self._libraries: dict[Library, None] = {}
        self._python = ""
        self._preloads = True

    def start_child(
        self, python: str, start: ChildStart, *, is_own_python: bool, has_variables: bool = False
    ) -> tuple[Template, Forked]:
        """Fork a child from the idle template if possible, or else from a new template.

        The idle template can be used only if it is running and has the right interpreter and environment variables.
        Otherwise, it is stopped. The template first imports the libraries that earlier children have imported.

        Args:
            python: path of the interpreter.
            start: what the template needs to start the child.
            is_own_python: whether this is the worker's own interpreter.
            has_variables: whether the user's code has environment variables of its own. The child then gets no
                libraries, because a library may read variables while it is imported.

        Returns:
            the template, and its answer.

        Raises:
            OSError: no process can be started.
            ChildEndedError: the template ended, or was killed because it took too long.
        """
        libraries = [] if has_variables or python != self._python else list(self._libraries)
        waiting, self._waiting = self._waiting, None
        is_fit = waiting is not None and waiting.fits(python, is_own_python=is_own_python)
        if waiting is not None and is_fit and waiting.has_only(libraries):
            try:
                if waiting.prepare(libraries, start.timeout):
                    return waiting, waiting.fork_child(start)
                self.stop_preloading()
                waiting.stop()
            except ChildEndedError as ended:
                if ended.is_timeout:
                    raise
                # The idle template had ended, so a new one is started.
        elif waiting is not None:
            waiting.stop()
        template = Template(python, is_own_python=is_own_python)
        return template, template.fork_child(start)

    def remember(self, python: str, libraries: Iterable[tuple[str, str]]) -> None:
        """Have templates import these libraries before they fork the next child.

        Args:
            python: path of the interpreter of the child that has imported them.
            libraries: name and file of each module.
        """
        if python != self._python:
            self._python, self._libraries = python, {}
        if self._preloads:
            self._libraries |= dict.fromkeys(Library(*library) for library in libraries)

    def stop_preloading(self) -> None:
        """From now on, let each child import all libraries itself."""
        self._preloads = False
        self._libraries = {}

    def give_back(self, template: Template) -> None:
        """Keep a template as the idle one, and stop the previous idle template, if any."""
        self.stop()
        self._waiting = template

    def stop(self) -> None:
        """Stop the idle template, if any."""
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None
