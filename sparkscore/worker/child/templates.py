"""Keep the worker's template process, and the libraries that it imports for its children. Runs on the workers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sparkscore.worker.child.messages import Forked, Library
from sparkscore.worker.child.template import ChildEndedError, ChildStart, Template


class Templates:
    """Keeps one template process, from which all children of this worker are forked if possible.

    Children of several runs may run at the same time. A template that does not suit the next child is stopped as soon
    as its own children have ended.
    """

    def __init__(self) -> None:
        self._current: Template | None = None
        self._libraries: dict[Library, None] = {}
        self._python = ""
        self._preloads = True

    def start_child(
        self,
        python: str,
        start: ChildStart,
        *,
        is_own_python: bool,
        has_variables: bool = False,
        libraries: Sequence[str] = (),
    ) -> tuple[Template, Forked]:
        """Fork a child from the current template if possible, or else from a new template.

        The current template can be used only if it is running and has the right interpreter and environment variables.
        The template first imports the libraries that earlier children have imported, and those that this child is known
        to import.

        Args:
            python: path of the interpreter.
            start: what the template needs to start the child.
            is_own_python: whether this is the worker's own interpreter.
            has_variables: whether the user's code has environment variables of its own. The child then gets no
                libraries, because a library may read variables while it is imported.
            libraries: names of modules of well-known libraries that the child will import before it runs any code of
                the user's.

        Returns:
            the template, and its answer.

        Raises:
            OSError: no process can be started.
            ChildEndedError: the template ended, or was killed because it took too long.
        """
        if not has_variables:
            self.remember(python, ((name, "") for name in libraries))
        wanted = [] if has_variables or python != self._python else list(self._libraries)
        suits = self._current is not None and self._suits(self._current, python, wanted, is_own_python=is_own_python)
        if suits or wanted:
            template = self._current if suits and self._current else self._replace(python, is_own_python=is_own_python)
            try:
                if template.prepare(wanted, start.timeout):
                    return template, template.fork_child(start)
            except ChildEndedError as ended:
                if ended.is_timeout:
                    raise
            # The template has ended, or children cannot be forked from it once it has these libraries.
            self.stop_preloading()
        template = self._replace(python, is_own_python=is_own_python)
        return template, template.fork_child(start)

    def remember(self, python: str, libraries: Iterable[tuple[str, str]]) -> None:
        """Have templates import these libraries before they fork the next child.

        Args:
            python: path of the interpreter of the child that has imported them.
            libraries: name and file of each module. The file is empty if no child has imported the module yet.
        """
        if python != self._python:
            self._python, self._libraries = python, {}
        if self._preloads:
            known = {library.name for library in self._libraries}
            self._libraries |= dict.fromkeys(Library(*each) for each in libraries if each[1] or each[0] not in known)

    def stop_preloading(self) -> None:
        """From now on, let each child import all libraries itself."""
        self._preloads = False
        self._libraries = {}

    def release(self, template: Template, *, is_usable: bool) -> None:
        """Note that a child of a template has ended, and stop the template if it is not needed any more.

        Args:
            template: the template.
            is_usable: whether further children can be forked from it.
        """
        if not is_usable and template is self._current:
            self._current = None
        if template is not self._current and not template.has_children:
            template.stop()

    def stop(self) -> None:
        """Stop the current template, if any, and its children."""
        current, self._current = self._current, None
        if current is not None:
            current.stop()

    def _replace(self, python: str, *, is_own_python: bool) -> Template:
        """Start a new template. The current one is stopped, unless it still has children."""
        former, self._current = self._current, None
        if former is not None and not former.has_children:
            former.stop()
        self._current = Template(python, is_own_python=is_own_python)
        return self._current

    def _suits(self, template: Template, python: str, wanted: Sequence[Library], *, is_own_python: bool) -> bool:
        """Return whether a child with these libraries can be forked from a template.

        A library that no child has imported yet may end the template. It is not imported beside running children,
        because they would be ended, too.
        """
        if not template.fits(python, is_own_python=is_own_python) or not template.has_only(wanted):
            return False
        return not template.has_children or all(library.origin for library in template.missing(wanted))
