from __future__ import annotations

import string

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from sparkscore.redaction import MASK, is_secret_key, redact, redact_mapping

_BASE64 = string.ascii_letters + string.digits + "+/"
_WORD = string.ascii_letters + string.digits
_PEM = "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----"


def _filled(template: str, alphabet: str, size: int, most: int | None = None) -> st.SearchStrategy[tuple[str, str]]:
    secrets = st.text(alphabet, min_size=size, max_size=most or size)
    return secrets.map(lambda secret: (template.format(secret), secret))


_SECRETS = st.one_of(
    _filled("https://a.blob.core.windows.net/c/f.csv?sv=2024-01-01&sig={}&se=2025", _WORD + "%", 20, 44),
    _filled("https%3A%2F%2Fa.blob.core.windows.net%2Fc%3Fsig%3D{}", _WORD, 20, 44),
    _filled("DefaultEndpointsProtocol=https;AccountName=a;AccountKey={}==;EndpointSuffix=x", _BASE64, 86),
    _filled("Endpoint=sb://n.servicebus.windows.net/;SharedAccessKeyName=k;SharedAccessKey={}=", _BASE64, 43),
    _filled("fs.azure.account.key.store.dfs.core.windows.net={}==", _BASE64, 86),
    _filled("jdbc:sqlserver://h:1433;database=d;user=u;pwd={};x=y", _WORD + "!#$%^*,", 6, 20),
    _filled("jdbc:postgresql://h/d?user=u&password={}&ssl=true", _WORD + "!$*", 6, 20),
    _filled("Password = '{}'", _WORD + " !;,", 6, 20),
    _filled("jdbc:mysql://ada:{}@host:3306/db", _WORD + "!$*;,", 6, 20),
    _filled("git clone https://{}@github.com/a/b", _WORD, 10, 40),
    _filled("token dapi{} was refused", "0123456789abcdef", 32),
    _filled("id AKIA{}.", string.ascii_uppercase + string.digits, 16),
    _filled("remote: ghp_{}", _WORD, 36),
    _filled("github_pat_{}", _WORD, 40),
    _filled("Authorization: Bearer {}", _WORD + "-._~+/", 20, 60),
    _filled("eyJhbGciOiJIUzI1NiJ9.{}.c2lnbmF0dXJl", _WORD + "-_", 10, 40),
    _filled("{{'client_secret': '{}'}}", _WORD + "!$,;", 8, 30),
    _filled('{{"api-key": "{}"}}', _WORD + "!$,;", 8, 30),
    _filled("AZURE_CLIENT_SECRET={}", _WORD + "~.", 10, 40),
    _filled(_PEM, _BASE64 + "\n", 40, 200),
    _filled("-----BEGIN PRIVATE KEY-----\n{}", _BASE64 + "\n", 40, 200),
)


@given(
    st.text(string.ascii_letters + " :\n", max_size=20), _SECRETS, st.text(string.ascii_letters + " \n", max_size=20)
)
def test_no_secret_survives_in_any_text(before: str, case: tuple[str, str], after: str) -> None:
    text, secret = case
    assume(secret not in before + after)

    redacted = redact(f"{before} {text} {after}")

    assert secret not in redacted
    assert MASK in redacted


def test_a_secret_that_contains_the_mask_is_masked() -> None:
    assert redact("user=u;pwd=000***;x=y") == "user=u;pwd=***;x=y"


@given(st.lists(_SECRETS, min_size=2, max_size=4))
def test_several_secrets_in_one_text(cases: list[tuple[str, str]]) -> None:
    redacted = redact("\n".join(text for text, _ in cases))

    assert not [secret for _, secret in cases if secret in redacted]


@given(_SECRETS | st.text().map(lambda text: (text, "")))
def test_redacting_twice_changes_nothing(case: tuple[str, str]) -> None:
    once = redact(case[0])

    assert redact(once) == once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://a/b?sv=1&sig=abc%3D&se=2", "https://a/b?sv=1&sig=***&se=2"),
        ("AccountName=a;AccountKey=Zm9v==;X=y", "AccountName=a;AccountKey=***;X=y"),
        ("SharedAccessSignature=sr-1&x", "SharedAccessSignature=***&x"),
        ("mysql://ada:pw@host/db", "mysql://***@host/db"),
        ("mysql://:p:w@host/db", "mysql://***@host/db"),
        ("https://tok3n@github.com/a", "https://***@github.com/a"),
        ("{'password': 'a b'}", "{'password': ***}"),
        ('password="a b" next', "password=*** next"),
        ("Bearer abcdef123", "Bearer ***"),
        ("SECRET=123456789~x", "SECRET=***"),
        ("user=ada, password=b, host=c", "user=ada, password=***, host=c"),
        ("dapi0123456789abcdef0123456789abcdef-2 x", "*** x"),
    ],
)
def test_what_stands_around_a_secret_stays(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abfss://container@account.dfs.core.windows.net/path",
        "wasbs://container@account.blob.core.windows.net/p",
        "https://host:8443/path?mail=ada@example.org",
        "s3a://bucket/key=1/part-0.parquet",
        "ada@example.org",
        "the bearer instruments were scored",
        "config=a design=b signal=c",
        "password: the field is required",
        "the token was refused; no secret was found, AKIA is a prefix",
        "max_tokens=512 TOKENIZERS_PARALLELISM=false tokenizer='bert'",
        "eyJ is how a JSON web token starts",
        "dapi and ghp_ are prefixes; see dapi.example.org",
        "mini_batch_size: got 'ten', expected a number of items (10)",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "/data/run_id=a1/part-00000-4c1bb4d3-dd5a.snappy.parquet",
        "3f786850e387550fdab836ed7e6dc881de23001b",
    ],
)
def test_plain_text_is_unharmed(text: str) -> None:
    assert redact(text) == text


@given(st.text(string.ascii_letters + string.digits + " .,;:!?()/\\-_'\"\n\t%äß漢", max_size=200))
@example("a" * 5000)
def test_text_without_assignments_and_addresses_is_unharmed(text: str) -> None:
    telling = ("bearer", "private", "eyj", "dapi", "akia", "asia", "gh", "secret", "pass", "pwd", "token", "key", "%3d")
    assume(not any(word in text.lower() for word in (*telling, "credential", "://")))

    assert redact(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "://" + ":" * 20_000,
        "a://" * 8_000,
        "-----BEGIN PRIVATE KEY" * 2_000,
        "token" * 8_000,
        "'" * 20_000,
        "a-b." * 8_000,
    ],
)
@pytest.mark.timeout(5)
def test_a_long_text_takes_no_long_time(text: str) -> None:
    assert isinstance(redact(text), str)


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "DB_PASSWORD",
        "pwd",
        "client-secret",
        "api_key",
        "accessKey",
        "ACCESS_KEY_ID",
        "fs.azure.account.key.x",
        "HF_TOKEN",
        "credentials",
    ],
)
def test_a_key_tells_a_secret(key: str) -> None:
    assert is_secret_key(key)
    assert redact_mapping({key: "x", "other": {key: ["y", 1, {"z": "w"}]}}) == {
        key: MASK,
        "other": {key: [MASK, MASK, {"z": MASK}]},
    }


@pytest.mark.parametrize("key", ["key", "TOKENIZERS_PARALLELISM", "sha256", "compass", "partition_by", "author"])
def test_other_keys_do_not(key: str) -> None:
    assert not is_secret_key(key)


def test_values_of_other_types_stay() -> None:
    tree = {"a": 1, "b": None, "c": 1.5, "d": True, "e": ("x", "AKIA" + "A" * 16), "has_token": True, "token": None}

    assert redact_mapping(tree) == {**tree, "e": ["x", MASK]}


_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("abc /", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz_", max_size=5), inner, max_size=3),
)


@given(_TREES)
def test_a_tree_without_secrets_is_copied(tree: object) -> None:
    assert redact_mapping(tree) == tree


@given(_SECRETS, st.sampled_from(["a", "url"]))
def test_a_secret_anywhere_in_a_tree_is_masked(case: tuple[str, str], key: str) -> None:
    text, secret = case

    assert secret not in str(redact_mapping({key: [{"deep": text}]}))


def test_what_follows_a_secret_flag_is_masked() -> None:
    arguments = ["--api-key", "abc", "--rows", "5", "--token", "x", "--password=y"]

    assert redact_mapping({"arguments": arguments}) == {
        "arguments": ["--api-key", "***", "--rows", "5", "--token", "***", "--password=***"]
    }
