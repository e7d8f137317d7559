from __future__ import annotations

from pathlib import Path

import pytest

from sparkscore.errors import ScoringScriptError
from sparkscore.scripts.checking import check_script


def check(source: str | bytes, folder: Path) -> None:
    path = folder / "score.py"
    path.write_bytes(source if isinstance(source, bytes) else source.encode())
    check_script(path)


def refused(source: str | bytes, folder: Path) -> ScoringScriptError:
    with pytest.raises(ScoringScriptError) as caught:
        check(source, folder)
    assert "'score.py'" in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "source",
    [
        "def run(mini_batch):\n    return mini_batch",
        "if True:\n    def run(b): ...",
        "try:\n    import fast\nexcept ImportError:\n    def run(b): ...",
        "try:\n    pass\nexcept* OSError:\n    pass\nelse:\n    def run(b): ...",
        "with open(__file__):\n    def run(b): ...",
        "match 1:\n    case 1:\n        def run(b): ...",
        "for _ in (1,):\n    def run(b): ...",
        "from other import run",
        "from other import score as run",
        "from other import *",
        "import run",
        "run = lambda b: b",
        "init, run = make()",
        "run: object = make()",
        "class Model:\n    def run(self): ...\nrun = Model().run",
        b"# -*- coding: latin-1 -*-\n# caf\xe9\ndef run(b): ...",
        b"\xef\xbb\xbfdef run(b): ...",
    ],
)
def test_a_script_that_may_define_run_is_let_through(source: str | bytes, tmp_path: Path) -> None:
    check(source, tmp_path)


@pytest.mark.parametrize(
    "source",
    ["", "x = 1", "def init(): ...", "def score(b): ...", "class A:\n    def run(self): ...",
     "def f():\n    def run(b): ...",
     "import os.run", "running = 1", "f(run=1)", "x.run = 1"],
)  # fmt: skip
def test_a_script_without_run_is_refused(source: str, tmp_path: Path) -> None:
    error = refused(source, tmp_path)

    assert error.code == "SCRIPT_NO_RUN"
    assert "run(mini_batch)" in error.expected


@pytest.mark.parametrize(
    ("source", "line"),
    [("x = 1\ndef run(b:\n    pass", ", line 2"), ("def run(b):\nreturn 1", ", line 2"), (b"x = '\xff'", ", line 1")],
)
def test_a_script_that_is_not_python_is_refused_with_the_line(source: str | bytes, line: str, tmp_path: Path) -> None:
    error = refused(source, tmp_path)

    assert error.code == "SCRIPT_SYNTAX"
    assert f"'score.py'{line} is not valid Python" in error.what
    assert error.got


def test_a_nul_byte_is_not_python(tmp_path: Path) -> None:
    assert refused(b"def run(b): ...\0", tmp_path).code == "SCRIPT_SYNTAX"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "import json\ndef run(data):\n    data = json.loads(data)['data']",
            "run(data) that parses its argument as JSON",
        ),
        ("import json\ndef run(raw):\n    return json.loads(raw, strict=False)", "run(raw)"),
        (
            "def run(raw):\n    try:\n        x = json.loads(raw)\n    except ValueError:\n        raw = None",
            "run(raw)",
        ),
        ("def run(raw):\n    rows = [row for row in json.loads(raw)]", "run(raw)"),
        ("from inference_schema.schema_decorators import input_schema\ndef run(b): ...", "'inference_schema'"),
        ("import inference_schema.x as y\ndef run(b): ...", "'inference_schema'"),
        ("try:\n    import inference_schema\nexcept ImportError:\n    pass\ndef run(b): ...", "'inference_schema'"),
        ("def run(b): ...\ndef run(data):\n    json.loads(data)", "run(data)"),
    ],
)
def test_a_script_for_an_online_endpoint_is_refused(source: str, reason: str, tmp_path: Path) -> None:
    error = refused(source, tmp_path)

    assert error.code == "SCRIPT_ONLINE"
    assert reason in error.got


@pytest.mark.parametrize(
    "source",
    [
        "def run(mini_batch):\n    return [json.loads(open(file).read()) for file in mini_batch]",
        "def run(mini_batch):\n    for path in mini_batch:\n        json.loads(path)",
        "def run(mini_batch):\n    return [json.loads(mini_batch) for mini_batch in mini_batch]",
        "def run(b):\n    for b in b:\n        json.loads(b)",
        "def run(b):\n    b = b[0].read_text()\n    return json.loads(b)",
        "def run(b):\n    parse = lambda b: json.loads(b)\n    return list(map(parse, b))",
        "def run(b):\n    def parse(b):\n        return json.loads(b)\n    return list(map(parse, b))",
        "def run(b):\n    if isinstance(b, str):\n        b = json.loads(b)\n    return b",
        "def run(b):\n    return json.loads()",
        "def run(b):\n    return other.loads(b), json.load(b), json.loads(b[0]), json.loads(s=b), loads(b)",
        "def run(*args):\n    return json.loads(data)",
        "def run(*b):\n    return json.loads(b)",
        "def parse(data):\n    return json.loads(data)\ndef run(batch):\n    return [parse(x) for x in batch]",
        "def run(data):\n    return json.loads(data)\ndef run(mini_batch):\n    return mini_batch",
        "# inference_schema\n'json.loads(data)'\nimport inference_schemas\nfrom . import x\ndef run(data): ...",
    ],
)
def test_a_batch_script_that_looks_like_an_online_one_is_let_through(source: str, tmp_path: Path) -> None:
    check(source, tmp_path)


@pytest.mark.parametrize(
    "source",
    [
        "def run(mini_batch, mini_batch_context): ...",
        "def run(mini_batch, context, /): ...",
        "def run(mini_batch, *, mini_batch_context): ...",
        "def run(): ...",
        "if True:\n    def run(mini_batch: list, mini_batch_context: object) -> list: ...",
    ],
)
def test_a_run_that_takes_more_than_a_mini_batch_is_refused_with_the_reason(source: str, tmp_path: Path) -> None:
    error = refused(source, tmp_path)

    assert error.code == "SCRIPT_PARAMETERS"
    assert error.got.startswith("run(")
    assert "partition_keys" in error.expected
    assert "mini_batch_context=None" in error.next_step


@pytest.mark.parametrize(
    "source",
    [
        "def run(mini_batch, mini_batch_context=None): ...",
        "def run(*args): ...",
        "def run(mini_batch, *args, **kwargs): ...",
        "def run(mini_batch, *, top=3): ...",
        "def run(mini_batch=None): ...",
        "@wrapped\ndef run(mini_batch, mini_batch_context): ...",
        "def run(a, b): ...\nrun = partial(run, b=1)",
        "def run(a, b): ...\ndef run(a): ...",
    ],
)
def test_a_run_that_may_be_called_with_a_mini_batch_is_let_through(source: str, tmp_path: Path) -> None:
    check(source, tmp_path)
