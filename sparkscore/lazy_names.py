"""Import the names of a package on first access, so that its modules can be imported without all the others.

Runs on the driver and the workers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module


def import_on_access(package: str, module_of: Mapping[str, str]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a package whose names are defined in other modules (PEP 562).

    Args:
        package: the full name of the package, for the message about a name that it does not have.
        module_of: the full name of the module that defines each name.
    """

    def getattr_of_package(name: str) -> object:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(module_of[name]), name)

    return getattr_of_package
