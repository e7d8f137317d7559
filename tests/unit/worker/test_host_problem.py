from __future__ import annotations

import pytest

from sparkscore.error_codes import ErrorCode
from sparkscore.worker.host_problem import Host, Problem, error_of, this_host


def test_a_worker_is_named_by_host_and_user() -> None:
    assert str(Host("node7", "ada", 1000, "3.11.2", "/usr/bin/python3")) == "worker 'node7' (user 'ada', uid 1000)"
    assert str(Host("node7", "", 1000, "3.11.2", "/usr/bin/python3")) == "worker 'node7' (user with uid 1000)"
    assert this_host().python.startswith("3.")


@pytest.mark.parametrize(
    ("code", "is_refused", "advice"),
    [
        (ErrorCode.STAGE_NOT_SEEN, False, "Mount its file system on that host"),
        (ErrorCode.STAGE_NOT_WRITABLE, True, "as the user of the driver"),
        (ErrorCode.STAGE_NO_SPACE, False, "Correct the cause"),
        (ErrorCode.INPUT_NOT_SEEN, False, "Mount its folder"),
        (ErrorCode.INPUT_NOT_SEEN, True, "chmod -R a+rX '/data'"),
        (ErrorCode.PACKAGE_MISSING, False, "/data/in -m pip install 'sparkscore==1.2'"),
    ],
)
def test_each_problem_has_its_advice(code: ErrorCode, advice: str, *, is_refused: bool) -> None:
    problem = Problem(code, "/data/in", "what was found", is_refused=is_refused)

    error = error_of(problem, "worker 'node7'", "1.2", "Nothing was scored.")

    assert error.code == code
    assert error.what.startswith("worker 'node7' ")
    assert (error.got.startswith("what was found"), error.state) == (True, "Nothing was scored.")
    assert advice in error.next_step


def test_a_changed_copy_is_not_replaced_by_a_version_from_the_index() -> None:
    problem = Problem(ErrorCode.PACKAGE_MISSING, "/x/python", "sparkscore 1.2 with other modules in '/x'")

    step = error_of(problem, "worker 'node7'", "1.2", "").next_step

    assert step.startswith("Install there the driver's copy of sparkscore")
