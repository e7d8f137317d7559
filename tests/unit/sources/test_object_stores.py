from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sparkscore.errors import ConfigError
from sparkscore.object_store import Keys, ObjectStore
from sparkscore.sources import object_stores
from sparkscore.sources.object_stores import InputStore, UncertainStoreError, find_store, store_of
from sparkscore.spark.jvm_hadoop import S3Settings

HERE = {"endpoint": "http://127.0.0.1:9000"}
KEYS = {"access.key": "AKIAADA", "secret.key": "a-s3cret"}
HADOOP = "org.apache.hadoop.fs.s3a."


def settings(given: dict[str, str], *, has_provider: bool = False) -> S3Settings:
    return S3Settings(given, has_connector=False, has_provider=has_provider)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (HERE, ObjectStore("127.0.0.1:9000", "http", "us-east-1")),
        (
            {"endpoint": "store.example:9000", "path.style.access": "TRUE"},
            ObjectStore("store.example:9000", "https", "us-east-1"),
        ),
        (
            {"endpoint": "store.example", "connection.ssl.enabled": "false", "endpoint.region": "eu-west-1"},
            ObjectStore("store.example", "http", "eu-west-1", is_path_style=False),
        ),
        (
            {"endpoint": "https://s3.eu-west-1.amazonaws.com/", "endpoint.region": "eu-west-1"},
            ObjectStore("s3.eu-west-1.amazonaws.com", "https", "eu-west-1", is_path_style=False),
        ),
        (HERE | KEYS, ObjectStore("127.0.0.1:9000", "http", "us-east-1", keys=Keys("AKIAADA", "a-s3cret"))),
        (
            {
                **HERE,
                **KEYS,
                "session.token": "t",
                "aws.credentials.provider": f"{HADOOP}TemporaryAWSCredentialsProvider",
            },
            ObjectStore("127.0.0.1:9000", "http", "us-east-1", keys=Keys("AKIAADA", "a-s3cret", "t")),
        ),
        (
            {**HERE, **KEYS, "aws.credentials.provider": f"{HADOOP}AnonymousAWSCredentialsProvider"},
            ObjectStore("127.0.0.1:9000", "http", "us-east-1", is_anonymous=True),
        ),
        (
            {**HERE, **KEYS, "aws.credentials.provider": f"{HADOOP}auth.IAMInstanceCredentialsProvider"},
            ObjectStore("127.0.0.1:9000", "http", "us-east-1"),
        ),
        ({**HERE, "threads.max": "64", "connection.maximum": "9"}, ObjectStore("127.0.0.1:9000", "http", "us-east-1")),
    ],
)
def test_known_settings_give_the_same_store(given: dict[str, str], expected: ObjectStore) -> None:
    assert store_of(settings(given)) == expected


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "fs.s3a.endpoint is not set"),
        (KEYS, "fs.s3a.endpoint is not set"),
        ({"endpoint": "s3.amazonaws.com"}, "fs.s3a.endpoint.region is not set"),
        ({"endpoint": "http://AKIAADA:a-s3cret@store.example"}, "not the address of a host"),
        ({"endpoint": "ftp://store.example"}, "not the address of a host"),
        ({"endpoint": "http://store.example/a-s3cret"}, "more than a host"),
        ({**HERE, "bucket.b.endpoint": "a-s3cret"}, "the session sets 'fs.s3a.bucket.b.endpoint'"),
        ({**HERE, "encryption.key": "a-s3cret"}, "the session sets 'fs.s3a.encryption.key'"),
        ({**HERE, "proxy.host": "a-s3cret"}, "the session sets 'fs.s3a.proxy.host'"),
        (
            {**HERE, "audit.execution.interceptors": "a-s3cret"},
            "the session sets 'fs.s3a.audit.execution.interceptors'",
        ),
        ({**HERE, "impl": "com.example.Other"}, "the session sets fs.s3a.impl"),
        ({**HERE, "aws.credentials.provider": "com.example.Vault"}, "aws.credentials.provider names 'Vault'"),
        ({**HERE, "a.setting.of.next.year": "a-s3cret"}, "the session sets 'fs.s3a.a.setting.of.next.year'"),
    ],
)
def test_another_setting_makes_the_store_uncertain_and_its_value_is_not_told(given: dict[str, str], told: str) -> None:
    with pytest.raises(UncertainStoreError, match=told) as caught:
        store_of(settings(given))

    assert "a-s3cret" not in str(caught.value)
    assert "AKIA" not in str(caught.value)


def test_secrets_in_a_provider_of_hadoop_make_the_store_uncertain() -> None:
    with pytest.raises(UncertainStoreError, match="credential provider"):
        store_of(settings(HERE, has_provider=True))


def test_local_locations_need_no_store() -> None:
    session: Any = object()

    assert find_store(session, ["/in", "file:/in"], {"a.b": "c"}) is None


def test_a_store_is_what_the_session_says(monkeypatch: pytest.MonkeyPatch) -> None:
    session: Any = object()
    monkeypatch.setattr(object_stores, "find_s3_settings", lambda _: S3Settings(HERE, True, False))

    found = find_store(session, ["s3a://bucket/in", "s3a://bucket/other"], {"mergeSchema": "true"})

    assert found == InputStore(ObjectStore("127.0.0.1:9000", "http", "us-east-1"), has_connector=True)


@pytest.mark.parametrize(
    ("locations", "options", "told"),
    [
        (["abfss://data@store.example/in"], {}, "'abfss' is not the scheme s3a"),
        (["s3://bucket/in"], {}, "'s3' is not the scheme s3a"),
        (["gs://bucket/in"], {}, "'gs' is not the scheme s3a"),
        (["hdfs://host/in"], {}, "'hdfs' is not the scheme s3a"),
        (["s3a://bucket/in", "/in"], {}, "'file' is not the scheme s3a"),
        (["s3a://bucket/in"], {"fs.s3a.endpoint": "other"}, "an option for Hadoop, fs.s3a.endpoint"),
        (["s3a://bucket/in"], {}, "does not show the settings"),
    ],
)
def test_what_is_not_certain_is_refused_with_the_reason(
    locations: list[str], options: dict[str, str], told: str
) -> None:
    connect: Any = SimpleNamespace()

    with pytest.raises(ConfigError, match=told) as caught:
        find_store(connect, locations, options)

    assert caught.value.code == "LOCATION_REMOTE"


def test_a_spark_without_the_connector_is_named_with_the_reason_why_it_is_needed() -> None:
    error = InputStore(ObjectStore("h", "https", "r"), has_connector=False).refused("s3a://b/a", "a column has char(3)")

    assert "a column has char(3)" in str(error)
    assert "hadoop-aws" in error.next_step
