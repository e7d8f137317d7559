"""Virtual environments that have the pip of the tests' own: unpacking one of their own takes seconds."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path


def make(environment: Path) -> None:
    """Make a virtual environment as `sparkscore.models.env_build` does, without unpacking pip into it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    found = find_spec("pip")
    assert found is not None
    assert found.origin is not None
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "pip").symlink_to(Path(found.origin).parent)
