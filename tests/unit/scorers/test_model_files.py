from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sparkscore.digest import digest_of_path
from sparkscore.errors import ModelError
from sparkscore.scorers import model_files
from sparkscore.scorers.model_files import ModelFiles, copy_model, fetch_model, fetch_once, make_folder_for_links

MONTH = 30 * 24 * 3600

FETCH = """
import pickle, sys
from sparkscore.scorers import model_files
real = model_files.copy_model
def counted(source, target):
    print("copied", flush=True)
    real(source, target)
model_files.copy_model = counted
files = pickle.loads(bytes.fromhex(sys.argv[1]))
print("ready", flush=True)
for _ in sys.stdin:
    print(model_files.fetch_model(files), flush=True)
"""
RACING = 4


def forget_use() -> None:
    """Close the files that keep this process's cache folders, as its end does."""
    while model_files._in_use:
        os.close(model_files._in_use.popitem()[1])


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host whose folder for temporary files is this test's own."""
    folder = tmp_path / "host"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def cache(host: Path) -> Path:
    return host / f"sparkscore-models-{os.getuid()}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "stage" / "model.pkl"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "stage" / "churn"
    (path / "data").mkdir(parents=True)
    (path / "MLmodel").write_text("flavors: {}")
    (path / "data" / "weights.bin").write_bytes(b"\0" * 3_000_000)
    return path


def files_of(path: Path, name: str = "churn") -> ModelFiles:
    return ModelFiles(name, "1", str(path), digest_of_path(path))


def copies(cache: Path) -> list[str]:
    files = (path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock")
    return sorted(str(path.relative_to(cache)) for path in files if path.name != ".made-by-sparkscore")


def test_a_file_is_copied_under_its_own_name_and_only_once(file: Path, cache: Path) -> None:
    copy = fetch_model(files_of(file))
    made = copy.stat()

    assert fetch_model(files_of(file)) == copy
    assert (copy.name, copy.read_bytes()) == ("model.pkl", b"weights")
    assert copy.is_relative_to(cache)
    assert (copy.stat().st_ino, copy.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)


def test_a_folder_is_copied_with_what_its_links_lead_to(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep" / "tokens.txt").write_text("a b")
    (folder / "tokens").symlink_to(tmp_path / "elsewhere")
    (folder / "circle").symlink_to(folder)
    (folder / "broken").symlink_to(tmp_path / "nowhere")
    files = files_of(folder)

    copy = fetch_model(files)

    assert digest_of_path(copy) == files.sha256
    assert (copy / "tokens" / "deep" / "tokens.txt").read_text() == "a b"
    assert not [path for path in copy.rglob("*") if path.is_symlink()]
    assert {path.name for path in copy.iterdir()} == {"MLmodel", "data", "tokens"}


def test_a_model_that_is_a_link_keeps_the_links_name(file: Path) -> None:
    link = file.with_name("latest.pkl")
    link.symlink_to(file)

    copy = fetch_model(files_of(link))

    assert (copy.name, copy.is_symlink(), copy.read_bytes()) == ("latest.pkl", False, b"weights")


def test_the_copy_serves_when_the_stage_is_gone(file: Path) -> None:
    files = files_of(file)
    copy = fetch_model(files)
    file.unlink()

    assert fetch_model(files) == copy


def test_the_same_contents_under_two_names_do_not_push_each_other_out(file: Path) -> None:
    other = file.with_name("other.pkl")
    other.write_bytes(file.read_bytes())

    one, two = fetch_model(files_of(file)), fetch_model(files_of(other))

    assert (one.name, two.name) == ("model.pkl", "other.pkl")
    assert one.read_bytes() == two.read_bytes() == b"weights"


def test_a_model_that_changed_since_the_run_began_is_refused_and_not_kept(file: Path, cache: Path) -> None:
    files = files_of(file)
    file.write_bytes(b"others")

    with pytest.raises(ModelError, match="MODEL_CHANGED") as caught:
        fetch_model(files)

    assert (caught.value.expected, caught.value.got) == (files.sha256, f"sha256 {digest_of_path(file)}")
    assert copies(cache) == []
    file.write_bytes(b"weights")
    assert fetch_model(files).read_bytes() == b"weights"


@pytest.mark.parametrize("damage", ["changed", "missing", "more", "emptied", "a file"])
def test_a_damaged_copy_is_repaired(damage: str, folder: Path) -> None:
    files = files_of(folder)
    copy = fetch_model(files)
    weights = copy / "data" / "weights.bin"
    if damage == "changed":
        weights.write_bytes(b"\1" * 3_000_000)
    elif damage == "more":
        (copy / "sitecustomize.py").write_text("")
    else:
        weights.unlink()
    if damage == "emptied":
        (copy / "MLmodel").unlink()
    if damage == "a file":
        copy.rename(copy.with_name("aside"))
        copy.write_text("")

    again = fetch_model(files)

    assert (again, digest_of_path(again)) == (copy, files.sha256)


def test_a_damaged_copy_of_a_file_is_repaired(file: Path) -> None:
    files = files_of(file)
    copy = fetch_model(files)
    copy.unlink()
    copy.mkdir()

    assert fetch_model(files).read_bytes() == b"weights"


def test_a_stage_that_this_host_cannot_read_is_told(file: Path, cache: Path) -> None:
    files = replace(files_of(file), source=str(file.with_name("gone.pkl")))

    with pytest.raises(ModelError, match=r"MODEL_FETCH.*FileNotFoundError.*gone\.pkl"):
        fetch_model(files)

    assert copies(cache) == []


def test_a_copy_that_breaks_off_leaves_nothing_of_it(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        copy_model(source, target)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(model_files, "copy_model", full)
        with pytest.raises(ModelError, match="No space left"):
            fetch_model(files_of(folder))

    assert copies(cache) == []
    assert fetch_model(files_of(folder)).is_dir()


def test_what_a_killed_process_left_is_removed(file: Path, cache: Path) -> None:
    files = files_of(file)
    (cache / files.sha256 / ".unfinished").mkdir(parents=True)
    (cache / files.sha256 / ".unfinished" / "part").write_bytes(b"wei")
    cache.chmod(0o700)

    fetch_model(files)

    assert copies(cache) == [f"{files.sha256}/model.pkl"]


def test_a_read_only_model_is_copied_and_its_copy_can_be_repaired(folder: Path) -> None:
    files = files_of(folder)
    for path in (*folder.rglob("*"), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        copy = fetch_model(files)
        (copy / "MLmodel").write_text("damaged")
        assert digest_of_path(fetch_model(files)) == files.sha256
    finally:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_cache_is_this_users_alone_whatever_the_umask(umask: int, folder: Path, cache: Path) -> None:
    before = os.umask(umask)
    try:
        files = files_of(folder)
        assert digest_of_path(fetch_model(files)) == files.sha256
    finally:
        os.umask(before)

    assert cache.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("fault", ["open", "link", "dangling link", "file", "owner"])
def test_a_cache_that_others_can_write_is_refused(
    fault: str, file: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "file":
        cache.touch(mode=0o600)
    elif fault.endswith("link"):
        target = tmp_path / "theirs"
        cache.symlink_to(target)
        if fault == "link":
            target.mkdir(mode=0o700)
    else:
        cache.mkdir(mode=0o700)
    if fault == "open":
        cache.chmod(0o770)
    if fault == "owner":
        uid = os.getuid()
        os_lstat = Path.lstat

        def of_another(path: Path) -> os.stat_result:
            found = list(os_lstat(path))
            found[4] = uid + 1
            return os.stat_result(found)

        monkeypatch.setattr(Path, "lstat", of_another)

    with pytest.raises(ModelError, match="MODEL_CACHE"):
        fetch_model(files_of(file))


def test_copies_that_nobody_used_for_a_week_go_and_others_stay(file: Path, folder: Path, cache: Path) -> None:
    old, used = fetch_model(files_of(file)), fetch_model(files_of(folder))
    forget_use()
    os.utime(old.parent, (0, time.time() - MONTH))
    os.utime(used.parent, (0, time.time() - MONTH / 10))
    third = file.with_name("third.pkl")
    third.write_bytes(b"3")

    fetch_model(files_of(third))

    assert not old.exists()
    assert used.exists()
    assert {path.name for path in cache.iterdir() if path.is_dir()} == {used.parent.name, files_of(third).sha256}


def test_an_old_copy_stays_while_a_process_that_uses_it_lives(file: Path, folder: Path) -> None:
    copy = fetch_model(files_of(file))
    links = make_folder_for_links()
    for used in (copy.parent, links):
        os.utime(used, (0, time.time() - MONTH))

    fetch_model(files_of(folder))
    assert copy.exists()
    assert links.exists()

    forget_use()
    fetch_model(files_of(folder))
    assert not copy.exists()
    assert not links.exists()


def test_using_a_copy_keeps_it(file: Path, folder: Path) -> None:
    copy = fetch_model(files_of(file))
    os.utime(copy.parent, (0, time.time() - MONTH))

    fetch_model(files_of(file))
    forget_use()
    fetch_model(files_of(folder))

    assert copy.exists()


def test_an_old_copy_that_another_process_is_fetching_stays(file: Path, folder: Path, cache: Path) -> None:
    copy = fetch_model(files_of(file))
    forget_use()
    os.utime(copy.parent, (0, time.time() - MONTH))

    with model_files._locked(cache, copy.parent.name):
        fetch_model(files_of(folder))

    assert copy.exists()


def test_an_old_copy_that_was_used_while_its_lock_was_waited_for_stays(
    file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = fetch_model(files_of(file))
    forget_use()
    answers = {copy.parent: [True, False]}
    monkeypatch.setattr(model_files, "_is_older", lambda entry, _: answers.get(entry, [False]).pop(0))

    fetch_model(files_of(folder))

    assert answers == {copy.parent: []}
    assert copy.exists()


@pytest.fixture
def racing(host: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes on one host that fetch when they are told a line."""
    del host
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def lines_until_one_has(ending: str, process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or not lines[-1].endswith(ending):
        lines.append(process.stdout.readline().rstrip("\n"))
        assert lines[-1], "the process ended"
    return lines


def test_processes_that_race_make_one_copy(
    folder: Path, host: Path, cache: Path, racing: list[subprocess.Popen[str]]
) -> None:
    files, copy = files_of(folder), cache / digest_of_path(folder) / "churn"
    environment = {**os.environ, "TMPDIR": str(host), "PYTHONPATH": str(Path(model_files.__file__).parents[2])}
    command = [sys.executable, "-c", FETCH, pickle.dumps(files).hex()]
    racing.extend(start(command, environment) for _ in range(RACING))
    for process in racing:
        assert lines_until_one_has("ready", process) == ["ready"]

    for kind in ("new", "damaged"):
        if kind == "damaged":
            (copy / "MLmodel").unlink()
        for process in racing:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()

        said = [lines_until_one_has("churn", process) for process in racing]

        assert sorted(said) == [[str(copy)]] * (RACING - 1) + [["copied", str(copy)]], kind
        assert digest_of_path(copy) == files.sha256
        assert len(copies(cache)) == 2
    assert [process.communicate(timeout=60)[0] for process in racing] == [""] * RACING
    assert [process.returncode for process in racing] == [0] * RACING


def test_files_without_a_known_digest_are_made_once(cache: Path) -> None:
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        path.mkdir()
        (path / "weights").write_text("1")

    first, again, other = [fetch_once(key, "heart", make) for key in ("heart/1", "heart/1", "heart/2")]

    assert first == again != other
    assert len(made) == 2
    assert (first / "weights").read_text() == "1"
    assert first.is_relative_to(cache)


def test_what_breaks_off_while_it_is_made_is_made_again(cache: Path) -> None:
    def broken(path: Path) -> None:
        path.write_text("half")
        raise ConnectionError

    with pytest.raises(ConnectionError):
        fetch_once("heart/1", "heart", broken)

    assert copies(cache) == []
    assert fetch_once("heart/1", "heart", lambda path: path.touch()).is_file()


def test_files_travel(file: Path) -> None:
    files = files_of(file)

    assert pickle.loads(pickle.dumps(files)) == files  # noqa: S301 - our own


def test_under_spark_the_copies_lie_in_the_folder_that_goes_with_the_application(
    file: Path, host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = tmp_path / "blockmgr-1"
    local.mkdir()
    monkeypatch.setenv("SPARK_LOCAL_DIRS", f"/nowhere,{local}")

    copy = fetch_model(files_of(file))

    assert copy.is_relative_to(local)
    assert list(host.iterdir()) == []
