"""Connect to a Spark Connect server, for the command line. Runs on the driver.

Python users do not need this module: `sparkscore.score` accepts any Spark Connect session, for example one created with
``SparkSession.builder.remote``.
"""

from __future__ import annotations

import ipaddress
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, unquote, urlsplit

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, MissingDependencyError, names
from sparkscore.redaction import remember_values
from sparkscore.spark.prerequisites import check_spark_version

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: Environment variable with the URL of a Spark Connect server. PySpark reads it, too.
REMOTE: Final = "SPARK_REMOTE"
#: Environment variable with the token of the server. PySpark reads it, too.
TOKEN: Final = "SPARK_CONNECT_AUTHENTICATE_TOKEN"  # noqa: S105 - the name of a variable
_PACKAGES: Final = ("grpc", "grpc_status", "google.rpc")
_INSTALL: Final = "pip install 'sparkscore[connect]'"
_EXAMPLE: Final = "a URL such as sc://localhost:15002"


def connect_session(url: str) -> SparkSession:
    """Create a session on a Spark Connect server. No request is sent to the server yet.

    If there is a token, it is masked in all later messages and logs.

    Args:
        url: the server's URL, for example ``sc://localhost:15002``.

    Raises:
        ConfigError: the URL is not valid; or there is a token, and the URL refers to this machine by its IP address
            without ``use_ssl=true``. Use the host ``localhost`` instead.
        MissingDependencyError: PySpark or a package that it needs for Spark Connect is missing, or PySpark has an
            unsupported version.
    """
    check_url(url)
    check_packages()
    check_spark_version()
    # Imported only after the check that PySpark is installed.
    from pyspark.sql import SparkSession  # noqa: PLC0415

    return SparkSession.builder.remote(url).getOrCreate()


def check_packages() -> None:
    """Check that PySpark, or its client, and the packages that it needs for Spark Connect are installed.

    Raises:
        MissingDependencyError: a package is missing.
    """
    if not _is_installed("pyspark"):
        raise MissingDependencyError(
            code=ErrorCode.PYSPARK_MISSING,
            what="neither the package pyspark nor pyspark-client is installed",
            next_step=f"Run: {_INSTALL}.",
        )
    missing = [package for package in _PACKAGES if not _is_installed(package)]
    if missing:
        raise MissingDependencyError(
            code=ErrorCode.CONNECT_PACKAGES,
            what="PySpark lacks packages for Spark Connect",
            got=f"no {names(missing)}",
            next_step=f"Run: {_INSTALL}.",
        )


def check_url(url: str) -> str:
    """Check the URL of a Spark Connect server, and return its host and port.

    Raises:
        ConfigError: the URL is not valid; or there is a token, and the URL refers to this machine by its IP address
            without ``use_ssl=true``. Use the host ``localhost`` instead.
    """
    parts, parameters = _split(url)
    token = parameters.get("token") or os.environ.get(TOKEN, "")
    remember_values(filter(None, (token,)))
    host, is_tls = str(parts.hostname), parameters.get("use_ssl", "").lower() == "true"
    port = f":{parts.port}" if parts.port else ""
    if token and not is_tls and _is_loopback(host):
        raise ConfigError(
            code=ErrorCode.CONNECT_URL,
            what=f"the Spark Connect server at '{host}{port}'",
            got="a token, for which PySpark uses TLS unless the host is 'localhost'",
            expected="the host 'localhost', or ';use_ssl=true' for a server with TLS",
            next_step=f"Use --remote sc://localhost{port}, and set the token in {TOKEN}.",
        )
    return f"{host}{port}"


def _split(url: str) -> tuple[SplitResult, dict[str, str]]:
    """Split a URL at its semicolons, and return the parsed address and the parameters that follow it.

    Error messages do not contain the parameters, because one of them may be a token.

    Raises:
        ConfigError: the URL is not valid.
    """
    address, *pairs = url.split(";")
    remember_values(unquote(pair.partition("=")[2]) for pair in pairs if pair.startswith("token="))
    if not address.startswith("sc://"):
        is_local = address.startswith("local")
        raise _invalid(address, f"Start a local Spark with --master '{address}'." if is_local else "Correct it.")
    try:
        parts = urlsplit(f"http{address[2:]}")
        _ = parts.port
    except ValueError:
        raise _invalid(address) from None
    if not parts.hostname or parts.path not in {"", "/"} or parts.query or "@" in parts.netloc:
        raise _invalid(address)
    if any("=" not in pair for pair in pairs):
        raise _invalid(f"{address};…", "Write its parameters as in sc://HOST:PORT/;use_ssl=true;user_id=ada.")
    return parts, {key: unquote(value) for key, _, value in (pair.partition("=") for pair in pairs)}


def _invalid(address: str, step: str = "Correct it.") -> ConfigError:
    return ConfigError(
        code=ErrorCode.CONNECT_URL,
        what="the URL of the Spark Connect server, from --remote or SPARK_REMOTE",
        got=f"'{address}'",
        expected=_EXAMPLE,
        next_step=step,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False
