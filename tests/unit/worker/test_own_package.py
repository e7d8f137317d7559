from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import sparkscore
from sparkscore.worker.own_package import package_digest

PACKAGE = Path(sparkscore.__file__).parent


def zipped(archive: Path, changed: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as target:
        for path in PACKAGE.rglob("*.py"):
            name = path.relative_to(PACKAGE.parent).as_posix()
            target.writestr(name, path.read_text() + ("# changed\n" if name == changed else ""))
    return archive


def digest_in(archive: Path) -> str:
    code = f"import sys; sys.path.insert(0, {str(archive)!r}); from sparkscore.worker import own_package as own; "
    code += "assert '.zip' in own.__file__; print(own.package_digest())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_a_package_in_a_zip_has_the_digest_of_the_folder(tmp_path: Path) -> None:
    assert digest_in(zipped(tmp_path / "same.zip")) == package_digest()
    assert digest_in(zipped(tmp_path / "other.zip", "sparkscore/plan.py")) != package_digest()
