from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
# What the cells of each notebook print, apart from ids, times and folders.
PRINTED = {
    "01_quickstart": [
        r"\n1 +b +4\.7 +1\.4 +versicolor ",
        r"'state': 'COMPLETE'(?s:.)*'counts': \{'items': 4,\s+'scored': 4,\s+'scored_in_parts': 0,\s+'failed': 0",
        r"versicolor +1\n1 +virginica +1\n2 +setosa +2",
        r"^\[OUTPUT_EXISTS\] output ",
    ],
    "02_registry": [
        r"\n0 +0 +0\.038076 +0\.061696 +182\.673354 +1\n",
        r"'state': 'COMPLETE'(?s:.)*'uri': 'models:/diabetes/1'(?s:.)*'scored': 442,",
        (
            r"^\[SIGNATURE_MISMATCH\] the input does not fit the model: column 'age': got string, expected double; "
            r"column 'bmi': got none, expected double\."
        ),
    ],
    "03_sql": [
        r"Input: +age DOUBLE NOT NULL 'in years'\n +bmi DOUBLE DEFAULT 25\.0 'kg/m2'\n",
        r"\n0 +a +1\.20? +None\n1 +b +0\.91 +None\n2 +c +NaN +ValueError: age is negative",
        r"\[SQL_ARGUMENT_VALUE\] argument 'age'",
        r"^<Figure size ",
    ],
}


class _ThisPythonsKernelManager(AsyncKernelManager):
    """Starts the kernel with the Python of the tests, whatever kernels are registered on the machine."""

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python"
        )


@pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client", "ignore::DeprecationWarning:zmq")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(
        notebook,
        timeout=200,
        kernel_manager_class=_ThisPythonsKernelManager,
        resources={"metadata": {"path": str(tmp_path)}},
    )

    client.execute()

    printed = [text_of(output) for cell in notebook.cells for output in cell.get("outputs", [])]
    expected = PRINTED[path.stem]
    assert [text for text in expected if not any(re.search(text, each, re.MULTILINE) for each in printed)] == [], (
        printed
    )


def text_of(output: Mapping[str, Any]) -> str:
    """Return what an output says in plain text."""
    return str(output.get("text") or output.get("data", {}).get("text/plain", ""))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]

    assert code
    assert [cell for cell in code if cell["outputs"] or cell["execution_count"] is not None] == []
    assert content["metadata"].keys() <= {"kernelspec", "language_info"}


def test_notebooks_are_numbered_in_the_order_to_read_them() -> None:
    assert [path.name[:3] for path in NOTEBOOKS] == [f"{number:02d}_" for number in range(1, len(NOTEBOOKS) + 1)]
    assert NOTEBOOKS
