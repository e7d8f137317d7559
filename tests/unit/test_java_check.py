from __future__ import annotations

from pathlib import Path

import pytest

from sparkscore.errors import MissingDependencyError
from sparkscore.session import check_java


def test_a_java_that_does_not_start_is_not_called_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'Error occurred during initialization of VM'\necho 'No memory.'\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    with pytest.raises(MissingDependencyError) as caught:
        check_java()

    assert caught.value.code == "JAVA_FAILED"
    assert "Error occurred during initialization of VM. No memory" in str(caught.value)
