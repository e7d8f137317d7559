"""Make an environment that has another PySpark and sees all other packages of this one.

Run it with ``python -m tests.support.other_spark FOLDER REQUIREMENTS``.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

_PROGRAM = """#!{python}
import sys
from sparkscore.cli import main
sys.exit(main())
"""


def main(folder: Path, requirements: Path) -> None:
    """Make the environment, or make it again if it exists."""
    venv.create(folder, clear=True, with_pip=False)
    python = folder.absolute() / "bin" / "python"
    scheme = {"base": str(folder), "platbase": str(folder)}
    own_packages = Path(sysconfig.get_path("purelib", vars=scheme))
    # Packages of the environment itself come first. `addsitedir` also finds sparkscore, which is installed as a link.
    others = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (own_packages / "others.pth").write_text(others, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--disable-pip-version-check"]
    # What builds pyspark, which comes as source, is among the other packages.
    options = ["--quiet", "--retries", "3", "--no-deps", "--no-build-isolation", "--ignore-installed"]
    subprocess.run([*pip, *options, "--require-hashes", "--requirement", str(requirements)], check=True)
    program = python.with_name("sparkscore")
    program.write_text(_PROGRAM.format(python=python), encoding="utf-8")
    program.chmod(0o755)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
