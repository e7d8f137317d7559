"""No secret survives, whatever names it or however it begins; and what is none stays as it is."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore import redaction
from sparkscore.redaction import redact, redact_mapping, remember_secrets
from tests.support.named_secrets import PLAIN, SECRETS

_WORD = string.ascii_letters + string.digits


def _random(alphabet: str, size: int) -> st.SearchStrategy[str]:
    return st.integers(0, 2**32).map(lambda seed: "".join(random.Random(seed).choices(alphabet, k=size)))  # noqa: S311


_VALUES = st.one_of(st.text(_WORD, min_size=8, max_size=30), _random(_WORD + "!$%^*+/~", 16), st.just("hunter2"))
_FRAMES = (
    "{name}={value}",
    "{name}={value} was refused",
    "export {name}='{value}'",
    '{{"{name}": "{value}"}}',
    "{{'{name}': '{value}', 'a': 1}}",
    "environ({{'{name}': '{value}'}})",
    "--{name} {value} --rows 5",
    "--{name}={value}",
    "<{name}>{value}</{name}>",
    "https://host/path?a=1&{name}={value}&b=2",
    "connect(host='h', {name}='{value}')",
    "{name}: {value}",
    "a: 1\n{name}: {value}\nb: 2",
    '{{\\"{name}\\": \\"{value}\\"}}',
    '[{{"name": "{name}", "value": "{value}"}}]',
    "[section]\n{name} = {value}\n",
    '{name} = "{value}"',
    "{{b'{name}': b'{value}'}}",
    "{name}: |\n  {value}\nb: 2",
)


@given(st.sampled_from(SECRETS), _VALUES, st.sampled_from(_FRAMES))
def test_no_secret_survives_beside_its_name(name: str, value: str, frame: str) -> None:
    assert value not in redact(frame.format(name=name, value=value)).replace(name, "")


@given(st.sampled_from(PLAIN), st.text(_WORD, min_size=1, max_size=30), st.sampled_from(_FRAMES))
def test_what_stands_beside_another_name_is_unharmed(name: str, value: str, frame: str) -> None:
    text = frame.format(name=name, value=value)

    assert redact(text) == text


_FORMS = {
    "sk-{}": _random(_WORD, 48),
    "sk-proj-{}": _random(_WORD + "-_", 60),
    "sk-ant-api03-{}": _random(_WORD + "-_", 80),
    "sk_live_{}": _random(_WORD, 24),
    "hf_{}": _random(string.ascii_letters, 34),
    "xoxb-{}": _random(string.digits, 12).flatmap(lambda a: _random(_WORD, 24).map(lambda b: f"{a}-{b}")),
    "glpat-{}": _random(_WORD + "-_", 20),
    "npm_{}": _random(_WORD, 36),
    "AIza{}": _random(_WORD + "-_", 35),
    "Authorization: Basic {}": _random(_WORD, 12).map(lambda text: base64.b64encode(f"ada:{text}".encode()).decode()),
    "Basic {}": _random(_WORD, 12).map(lambda text: base64.b64encode(f"ada:{text}".encode()).decode()),
    "Authorization: Token {}": _random(_WORD, 30),
    "Cookie: session={}; a=b": _random(_WORD, 30),
    "https://b.s3.amazonaws.com/k?X-Amz-Signature={}": _random("0123456789abcdef", 64),
    "s3a://AKIA:{}@bucket/k": _random(_WORD, 30),
    "https://hooks.slack.com/services/T01/B02/{}": _random(_WORD, 24),
    "https://x.webhook.office.com/webhookb2/{}": _random(_WORD + "-@/", 60),
    "https://discord.com/api/webhooks/123456789012345678/{}": _random(_WORD + "-_", 60),
    "https://api.telegram.org/bot123456789:{}/sendMessage": _random(_WORD + "-_", 35),
    "curl -u ada:{} https://host/x": _random(_WORD, 12),
    "jdbc:oracle:thin:ada/{}@//host:1521/s": _random(_WORD, 12),
    "machine host login ada password {}": _random(_WORD, 12),
    "with password '{}'": _random(_WORD, 12),
    "Config(password=SecretStr('{}'))": _random(_WORD, 12),
    "('X-Api-Key', '{}')": _random(_WORD, 32),
    "whsec_{}": _random(_WORD, 32),
    "dose{}": _random("0123456789abcdef", 32),
    "key-{}": _random("0123456789abcdef", 32),
    "SK{}": _random("0123456789abcdef", 32),
    "-----BEGIN PGP PRIVATE KEY BLOCK-----\n{}\n-----END PGP PRIVATE KEY BLOCK-----": _random(_WORD, 64),
    "{}==": _random(_WORD + "+/", 85).map(lambda text: f"{text}w"),
}


@given(
    st.sampled_from(sorted(_FORMS)), st.data(), st.sampled_from(["{}", "got {}.", "'{}'", "({})", "x={}", "x\n{}\ny"])
)
def test_no_secret_of_a_known_form_survives(form: str, data: st.DataObject, frame: str) -> None:
    value = data.draw(_FORMS[form])

    assert value not in redact(frame.format(form.format(value)))


@pytest.mark.parametrize("token", ["sk_live_ybZOJZSiRbjsJOICHuAgrYxb", "rk_test_jKxLjHSCpBWbGSantTwhbGlJ"])
def test_a_token_without_a_digit_is_known_by_its_beginning(token: str) -> None:
    assert redact(f"got {token}.") == "got ***."


def test_the_secret_keys_of_aws_are_known_by_their_look() -> None:
    source = random.Random(7)  # noqa: S311 - the test wants the same keys each time
    keys = ["".join(source.choices(_WORD + "/+", k=40)) for _ in range(2000)]
    keys = [key for key in keys if not key.startswith("/")]

    survivors = [key for key in keys if key in redact(f"the key {key} was refused")]

    assert len(survivors) <= len(keys) // 100
    assert redact("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY") != "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    "text",
    [
        hashlib.sha256(b"x").hexdigest(),
        hashlib.sha1(b"x").hexdigest(),  # noqa: S324 - as git has it
        str(uuid.UUID(int=2**127 + 12345)),
        "run-20260102-030405-a1b2c3",
        "input:6b86b273ff34fce1 model:ac8d8342bbb2362d",
        base64.b64encode(b"plain bytes of an image " * 20).decode(),
        "/data/Sales2024/North/Region/Part/Customers",
        "/srv/out/token=abc/day=2026-01-01/part-0.parquet",
        "file '/in/password=x/a.csv' is gone",
        "sk-learn sk_learn hf_hub hf-mirror xoxo glpath",
        "Basic authentication, Basic training, basic_stats",
        "columns: [token, password, id], key_column: id",
        "KeyError: 'password'",
        "12,345 rows; 3.14159; 1e-300; 2026-11-21 00:54:40.607125",
        "password=None token=5 DB_PASS=",
        "models:/heart@champion runs:/0123456789abcdef0123456789abcdef/model",
        "risk DOUBLE, label STRING, token_count BIGINT",
        "docker run -u 1000:1000 image; KeyError: ('password', 'age'); ['token', 'id'], [('sort-key', 'a')]",
        "tokenizer = load(x)\nsort_key = age\nkey = 'name'\n",
    ],
)
def test_what_is_none_is_unharmed(text: str) -> None:
    assert redact(text) == text


@given(st.text(string.ascii_lowercase + string.digits + "_/.-", max_size=120))
def test_paths_and_names_are_unharmed(text: str) -> None:
    if not any(word in text for word in ("sk-", "sk_", "rk-", "rk_", "--", "hf_", "npm_", "dapi", "_pat_", "gl", "xo")):
        assert redact(text) == text


@given(st.dictionaries(st.sampled_from(SECRETS), _VALUES, min_size=1), st.sampled_from(["params", "environment"]))
def test_no_secret_of_a_mapping_survives_under_any_name(secrets: dict[str, str], key: str) -> None:
    copy = json.dumps(redact_mapping({key: secrets, "list": [f"x {value} y" for value in secrets.values()]}))

    assert not [value for value in secrets.values() if value in copy]


@pytest.fixture
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", redaction._KnownValues())


@pytest.mark.usefixtures("_forgetful")
def test_a_value_that_an_environment_has_told_is_masked_wherever_it_stands() -> None:
    remember_secrets(
        {"DB_PASS": "tr0ub4dor", "OPENAI_KEY": "ab12", "HOME": "/root", "MAX_TOKENS": "128", "MY_KEY": "true"}
    )

    assert redact("wrong: tr0ub4dor! xtr0ub4dorx") == "wrong: ***! x***x"
    assert redact("ab12 and cab123") == "*** and cab123"
    assert redact("/root 128 true") == "/root 128 true"


@pytest.mark.usefixtures("_forgetful")
def test_a_place_that_exists_is_no_secret(tmp_path: object) -> None:
    remember_secrets({"SSL_KEY": str(tmp_path), "PWD": str(tmp_path)})

    assert redact(f"in {tmp_path}") == f"in {tmp_path}"


@pytest.mark.usefixtures("_forgetful")
@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("NL_SECRET", "first line 1\nsecond line 2", "second line 2"),
        ("SNOWFLAKE_PWD", 'sn0w;"quoted', "quoted"),
        ("UNI_SECRET", "ünïcode-sécret", "sécret"),
        ("MONGO_URL", "mongodb://ada:m0ngoPassw@h/db", "m0ngoPassw"),
        ("HOOK", "https://hooks.slack.com/services/T0AAA/B0BBB/abcdefGHIJKL123456", "abcdefGHIJKL123456"),
    ],
)
def test_a_value_is_known_in_all_its_forms(name: str, value: str, secret: str) -> None:
    remember_secrets({name: value})

    for form in (value, repr(value), json.dumps(value), repr({"x": value}), repr(KeyError(value)), *value.split("\n")):
        assert secret not in redact(f"printed {form} here")
    known: list[str] = []
    redaction.on_new_secrets(known.extend)
    assert any(secret in each for each in known)
