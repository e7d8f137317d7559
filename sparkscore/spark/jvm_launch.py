"""Prepare the environment variables and the private settings file with which PySpark starts a JVM.

Runs on the driver.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.redaction import is_secret_key, redact
from sparkscore.removal import remove_file

_SUBMIT_ARGUMENTS: Final = "PYSPARK_SUBMIT_ARGS"
_PROPERTIES: Final = "--properties-file"
#: Variable with options for the JVM that ``spark-submit`` starts.
SUBMIT_OPTIONS: Final = "SPARK_SUBMIT_OPTS"
#: Variables in which a user may give options for Java.
OPTIONS_OF_THE_USER: Final = (SUBMIT_OPTIONS, "JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS")
#: Settings that become options on Java's command line, which every user of this machine can read.
JAVA_OPTIONS: Final = ("spark.driver.extraJavaOptions", "spark.driver.defaultJavaOptions")
#: Pattern for the names and values of settings that Spark masks in its event log and web pages. Spark's default pattern
#: has only four words.
SHOWN_WITHOUT: Final = (
    r"(?i)secret|passw|passphrase|passcode|pwd|pass$|token|credential|key$|[._-]key[._-]|access.?key|api.?key"
    r"|[._-](sas|pat|dsn|jwt|otp)$|cookie|authorization|connection.?string|://[^/\s@]*:[^/\s@]+@|[?&]sig="
    r"|\bsk-\w{8}|\bhf_\w{8}|\bxox\w-|\bglpat-|\bgh[pousr]_\w{16}|\beyJ[\w-]{8}"
)


@contextmanager
def launching(settings: Mapping[str, str], *, is_local: bool, java_options: str = "") -> Iterator[dict[str, str]]:
    """Set environment variables during the ``with`` block, so that PySpark starts a JVM with the given settings.

    Start the JVM in this block. Afterwards, the variables are restored.

    Args:
        settings: Spark settings. They are written to a properties file that only the current user can read. The file is
            removed afterwards.
        is_local: whether Spark's driver and all executors run on this machine.
        java_options: further options for the JVM, in addition to the user's own.

    Yields:
        the settings that must be passed on the JVM's command line. Usually, there are none. If ``PYSPARK_SUBMIT_ARGS``
        already names a properties file, Spark reads only that file, so all settings except secrets must be passed.

    Raises:
        ConfigError: a Java option contains a secret, or the current user id has no user name.
        OSError: the settings file cannot be written.
    """
    _refuse_secret_options(settings)
    _refuse_user_without_name()
    given = os.environ.get(_SUBMIT_ARGUMENTS, "pyspark-shell")
    handle, name = tempfile.mkstemp(prefix="sparkscore-", suffix=".conf")
    file = Path(name)
    changed = _environment_of_jvm(is_local=is_local)
    if java_options:
        changed[SUBMIT_OPTIONS] = f"{os.environ.get(SUBMIT_OPTIONS, '')} {java_options}".strip()
    # If the user passes a properties file, Spark ignores this one, and the settings except secrets are passed on the
    # command line.
    has_own_file = _PROPERTIES in given
    if not has_own_file:
        changed[_SUBMIT_ARGUMENTS] = f"{_PROPERTIES} {shlex.quote(name)} --load-spark-defaults {given}"
    before = {key: os.environ.get(key) for key in changed}
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.writelines(f"{_escaped(key)}={_escaped(value)}\n" for key, value in settings.items())
        os.environ.update(changed)
        yield {key: value for key, value in settings.items() if has_own_file and not _is_secret(key, value)}
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
        remove_file(file)


def _environment_of_jvm(*, is_local: bool) -> dict[str, str]:
    changed = {}
    locale = next((found for name in ("LC_ALL", "LC_CTYPE", "LANG") if (found := os.environ.get(name))), "C")
    # Source: Java takes the encoding of file names only from the locale. Python uses UTF-8 even with LC_ALL=C.
    if sys.getfilesystemencoding() == "utf-8" and not re.search(r"utf-?8", locale, re.IGNORECASE):
        changed["LC_ALL"] = "C.UTF-8"
    if is_local:
        # Source: without these, Spark looks up the name of this host, which may be unknown in a container.
        changed |= {name: value for name, value in _LOOPBACK.items() if name not in os.environ}
    return changed


_LOOPBACK: Final = {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_HOSTNAME": "localhost"}


def _escaped(text: str) -> str:
    """Escape all characters of a string, except ASCII letters and digits, for a Java properties file."""
    units = text.encode("utf-16-be", errors="surrogatepass")
    chars = (chr(int.from_bytes(units[start : start + 2], "big")) for start in range(0, len(units), 2))
    return "".join(char if char.isascii() and char.isalnum() else f"\\u{ord(char):04x}" for char in chars)


def _is_secret(key: str, value: str) -> bool:
    return is_secret_key(key) or redact(value) != value


def _refuse_secret_options(settings: Mapping[str, str]) -> None:
    for key in JAVA_OPTIONS:
        if redact(settings.get(key, "")) != settings.get(key, ""):
            raise ConfigError(
                code=ErrorCode.SECRET_ON_COMMAND_LINE,
                what=f"setting '{key}' has a secret in it, and every user of this machine can read java's command line",
                next_step="Give the secret as a Spark setting, or put the option into the variable JDK_JAVA_OPTIONS.",
            )


def _refuse_user_without_name() -> None:
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        raise ConfigError(
            code=ErrorCode.USER_WITHOUT_NAME,
            what=f"user id {os.getuid()} has no entry in /etc/passwd, and Spark asks for the user's name",
            next_step="In the image, as root: "
            f"echo 'spark:x:{os.getuid()}:{os.getgid()}::/tmp:/bin/sh' >> /etc/passwd; or run as a user that is there.",
        ) from None
