"""Decide whether the workers can read from the store of an input as Spark would. Runs on the driver.

Only stores of which each setting is known are certain: a setting that is not known could name another store, or other
objects. The names of settings are shown in messages, their values never.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from pyspark.sql import SparkSession

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, names
from sparkscore.location import is_remote
from sparkscore.object_store import SCHEME, Keys, ObjectStore
from sparkscore.spark.jvm_hadoop import S3Settings, find_s3_settings

_CONNECTOR: Final = "org.apache.hadoop.fs.s3a.S3AFileSystem"
_PROVIDER: Final = "aws.credentials.provider"
_ANONYMOUS: Final = "AnonymousAWSCredentialsProvider"
_OF_SETTINGS: Final = frozenset({"SimpleAWSCredentialsProvider", "TemporaryAWSCredentialsProvider"})
# These find credentials where PyArrow looks for them, too.
_OF_ENVIRONMENT: Final = frozenset(
    {
        *("EnvironmentVariableCredentialsProvider", "IAMInstanceCredentialsProvider", "ProfileCredentialsProvider"),
        *("DefaultCredentialsProvider", "ContainerCredentialsProvider", "InstanceProfileCredentialsProvider"),
        *("WebIdentityTokenFileCredentialsProvider", "WebIdentityTokenCredentialsProvider"),
    }
)
_MAPPED: Final = frozenset(
    {
        *("endpoint", "endpoint.region", "path.style.access", "connection.ssl.enabled", "impl"),
        *("access.key", "secret.key", "session.token", _PROVIDER),
    }
)
# These change how fast objects are read, or how they are written, but not which bytes a reader gets.
_HARMLESS: Final = (
    *("analytics.accelerator.", "attempts.maximum", "audit.enabled", "audit.referrer.", "audit.reject.out.of.span"),
    *("block.size", "bucket.probe", "buffer.dir"),
    *("change.detection.", "committer.", "connection.", "create.", "directory.", "downgrade.syncable.exceptions"),
    *("executor.capacity", "experimental.", "fast.upload", "input.", "list.version", "max.total.tasks"),
    *("multiobjectdelete.", "multipart.", "optimized.copy.from.local.enabled", "paging.maximum", "performance."),
    *("prefetch.", "readahead.range", "retry.", "socket.", "threads.", "user.agent.prefix", "vectored.read."),
)
_OF_AWS: Final = ".amazonaws.com"
_ANY_REGION: Final = "us-east-1"


class UncertainStoreError(Exception):
    """The workers might read other objects than Spark. The message is a phrase with the reason."""


@dataclass(frozen=True)
class InputStore:
    """The store of an input.

    Attributes:
        objects: reads its objects.
        has_connector: whether Spark can read from it, too.
    """

    objects: ObjectStore
    has_connector: bool

    def refused(self, location: str, reason: str) -> ConfigError:
        """Return the error to raise if Spark must read the input, and cannot."""
        return ConfigError(
            code=ErrorCode.LOCATION_REMOTE,
            what=f"input '{location}'",
            got=f"files that Spark must read ({reason}), and a Spark without Hadoop's connector for S3",
            expected="files that the workers read, or a Spark with the connector",
            next_step="Start Spark with --packages org.apache.hadoop:hadoop-aws:VERSION, where VERSION is that of "
            "Spark's own hadoop-client jars.",
        )


def find_store(spark: SparkSession, locations: Sequence[str], options: Mapping[str, str]) -> InputStore | None:
    """Return the store of a Parquet input, or None if all its locations are local.

    Args:
        spark: the session, whose settings say how Spark reaches the store.
        locations: the locations of the input.
        options: the options for Spark's reader.

    Raises:
        ConfigError: it is not certain that the workers would read the same objects as Spark.
    """
    remote = [location for location in locations if is_remote(location)]
    if not remote:
        return None
    try:
        return find_certain_store(spark, locations, options)
    except UncertainStoreError as error:
        raise ConfigError(
            code=ErrorCode.LOCATION_REMOTE,
            what=f"input '{remote[0]}'",
            got=f"a store that the workers cannot read for certain: {error}",
            expected="a local path, a file: URI, or Parquet files below s3a:// with an endpoint",
            next_step="Mount the store and name the mounted folder. A Delta table in the store can be read by Spark: "
            "--input-format delta.",
        ) from error


def find_certain_store(spark: SparkSession, locations: Sequence[str], options: Mapping[str, str]) -> InputStore:
    """Return the store of an input whose locations are not local; see `find_store`.

    Raises:
        UncertainStoreError: the workers might read other objects than Spark.
    """
    if other := next((each for each in locations if not each.startswith(SCHEME)), None):
        raise UncertainStoreError(f"'{urlsplit(other).scheme or 'file'}' is not the scheme s3a")
    if option := next((name for name in options if "." in name), None):
        raise UncertainStoreError(f"'input.options' has an option for Hadoop, {option}")
    settings = find_s3_settings(spark)
    if settings is None:
        raise UncertainStoreError("this session does not show the settings of Hadoop")
    return InputStore(store_of(settings), settings.has_connector)


def store_of(settings: S3Settings) -> ObjectStore:
    """Return the store that Hadoop's settings for S3 describe.

    Raises:
        UncertainStoreError: a setting is missing or not known, or has a value that PyArrow has no equivalent for.
    """
    given = settings.given
    if unknown := sorted(name for name in given if name not in _MAPPED and not name.startswith(_HARMLESS)):
        raise UncertainStoreError(f"the session sets {names([f'fs.s3a.{name}' for name in unknown])}")
    if given.get("impl", _CONNECTOR) != _CONNECTOR:
        raise UncertainStoreError("the session sets fs.s3a.impl")
    if settings.has_provider and "secret.key" not in given:
        raise UncertainStoreError("the session's secrets are in a credential provider of Hadoop")
    scheme, endpoint = _endpoint(given)
    region = given.get("endpoint.region", "")
    if endpoint.partition(":")[0].endswith(_OF_AWS) and not region:
        raise UncertainStoreError("fs.s3a.endpoint.region is not set")
    is_anonymous, keys = _credentials(given)
    is_path_style = given.get("path.style.access", "false").strip().lower() == "true" or _is_address(endpoint)
    return ObjectStore(endpoint, scheme, region or _ANY_REGION, is_path_style, is_anonymous, keys)


def _is_address(endpoint: str) -> bool:
    """Return whether a host is given by its IP address, so that no bucket can be a part of it."""
    try:
        ip_address(urlsplit(f"//{endpoint}").hostname or "")
    except ValueError:
        return False
    return True


def _endpoint(given: Mapping[str, str]) -> tuple[str, str]:
    """Return the scheme, and host and port, of a store."""
    text = given.get("endpoint", "").strip()
    if not text:
        raise UncertainStoreError("fs.s3a.endpoint is not set")
    is_secure = given.get("connection.ssl.enabled", "true").strip().lower() != "false"
    url = urlsplit(text if "://" in text else f"{'https' if is_secure else 'http'}://{text}")
    if url.scheme not in {"http", "https"} or not url.hostname or "@" in url.netloc:
        raise UncertainStoreError("fs.s3a.endpoint is not the address of a host")
    if url.path.strip("/") or url.query or url.fragment:
        raise UncertainStoreError("fs.s3a.endpoint has more than a host and a port")
    return url.scheme, url.netloc


def _credentials(given: Mapping[str, str]) -> tuple[bool, Keys | None]:
    """Return whether requests are not signed, and the credentials in the settings, if there are any."""
    text = given.get(_PROVIDER)
    found = None if text is None else [each.strip().rpartition(".")[2] for each in text.split(",") if each.strip()]
    if found == [_ANONYMOUS]:
        return True, None
    if found is not None and (unknown := set(found) - _OF_SETTINGS - _OF_ENVIRONMENT):
        raise UncertainStoreError(f"fs.s3a.{_PROVIDER} names {names(sorted(unknown))}")
    access, secret = given.get("access.key", ""), given.get("secret.key", "")
    if not (access and secret) or (found is not None and not _OF_SETTINGS.intersection(found)):
        return False, None
    return False, Keys(access, secret, given.get("session.token") or None)
