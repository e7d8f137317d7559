"""Names of a package that are imported on first access."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sparkscore.lazy_names import import_on_access


def test_name_is_imported_from_the_module_that_defines_it() -> None:
    assert import_on_access("somewhere", {"Fraction": "fractions"})("Fraction") is __import__("fractions").Fraction


def test_unknown_name_is_an_attribute_error_that_names_the_package() -> None:
    with pytest.raises(AttributeError, match=r"^module 'somewhere' has no attribute 'fraction'$"):
        import_on_access("somewhere", {"Fraction": "fractions"})("fraction")


@pytest.mark.parametrize("package", ["sparkscore", "sparkscore.run", "sparkscore.sinks", "sparkscore.stage"])
def test_importing_a_package_imports_none_of_the_modules_of_its_names(package: str) -> None:
    code = f"import sys, {package}; print([name for name in ('pyspark', 'pydantic', 'pyarrow') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
