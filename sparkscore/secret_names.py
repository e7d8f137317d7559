"""Decide from the name of a setting whether its value is a secret. Runs on the driver and the workers.

The decision depends on the words in the name. ``DB_PASS`` and ``openaiKey`` are names of secrets. ``max_tokens``,
``primary_key`` and ``password_field`` contain similar words, but name a number, a column and a field.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# If the last word of a name is one of these, the value only describes a secret: 'password_field', 'token_count'.
_ABOUT: Final = _words(
    "col cols column columns field fields name names path paths file files dir folder count counts length len limit "
    "size sizes type types policy url uri endpoint error exception expiry expires ttl age index idx position offset "
    "manager provider format usage used ratio budget min max error errors enabled required"
)
# These indicate a secret anywhere in a name, even inside a word: 'pgpassword', 'clientSecret', 'accessKeyId'.
_ANYWHERE: Final = re.compile(
    r"secret(?!ar)|p[a4]ssw(?:[o0]r)?d|passwort|kennwort|contrase|motdepasse|wachtwoord|passphrase|passcode|pwd"
    r"|credential|connectionstring|connstr|dockerconfigjson|fernet"
    r"|(?:access|account|api|auth|private|signing|encryption|master|shared|subscription|license|webhook|admin)keys?"
    r"|(?:db|sql|user|my|pg|smtp|ftp|ssh|ldap|admin|root|auth|login|key|store|redis|mongo|mail)(?:pass|pw)$"
)
_AT_THE_END: Final = _words("pw pat jwt sas dsn otp bearer cookie cookies authorization passkey cred creds")
# 'OPENAI_KEY_PROD' means the same as 'OPENAI_KEY'.
_STAGES: Final = _words("prod production dev development staging stage qa uat sandbox live old backup bak v")
# 'KEY_OPENAI', 'PASS_DB': the name of the service comes last.
_SERVICES: Final = _words(
    "openai anthropic cohere azure aws gcp google hf huggingface github gitlab bitbucket slack stripe twilio sendgrid "
    "wandb mlflow databricks snowflake kaggle"
)
_LOGINS: Final = _SERVICES | _words("db database sql postgres pg mysql mongo redis smtp ftp sftp ssh ldap kafka root")
_NO_AUTH: Final = _words("use no enable disable with require requires need needs is has")
# 'max_tokens', 'eos_token': a number of tokens, or a token of a language model.
_TEXT_TOKEN: Final = _words(
    "pad eos bos sep cls mask unk special start end first last next prev stop word image audio vocab max min num n "
    "total per each new avg mean text target source prompt completion generated cached forced additional "
    "continuation page sync cancellation"
)
_ONLY_SOME_TOKENS: Final = _words("access api auth bearer bot id refresh security session user")
# 'sort_key', 'rowKey': a column, or the key of an entry.
_DATA_KEY: Final = _words(
    "primary foreign partition sort join merge group grouping order cluster clustering row column col natural business "
    "surrogate composite unique candidate alternate hash cache dict map object item record event routing message range "
    "lookup feature label target input output image text data entity customer product patient dedup index idx json "
    "yaml sub parent child left right first last next public id date time no not any each per bucket blob file folder "
    "dim dimension fact region country source src dst dest name value hot up down"
)
_WORDS_IN_KEY: Final = _words("monkey turkey donkey hockey whiskey jockey hotkey keykey mickey passkey")
_DATA_KEY_WORD: Final = re.compile(rf"(?:{'|'.join(sorted(_DATA_KEY))}|p|f)key")
_FORWARD_PASS: Final = _words(
    "forward backward single multi first second third two one low high band all by per each next last n num max"
)


@lru_cache(maxsize=4096)
def is_secret_key(key: str) -> bool:
    """Return whether a setting is a secret, judging by its name.

    >>> is_secret_key("DB_PASSWORD"), is_secret_key("TOKENIZERS_PARALLELISM"), is_secret_key("max_tokens")
    (True, False, False)
    """
    words = [word.lower() for word in _WORD.findall(key)]
    while words and (words[-1].isdigit() or (len(words) > 1 and words[-1] in _STAGES)):
        words.pop()
    if not words or words[-1] in _ABOUT:
        return False
    if _ANYWHERE.search("".join(words)) is not None:
        return True
    before, last = words[:-1], words[-1]
    if last in _AT_THE_END or _is_pass(before, last) or _is_token(words) or _is_key(before, last):
        return True
    return _is_auth(before, last) or _has_service_last(words)


def is_counted(key: str) -> bool:
    """Return whether the name of a secret is also a common name for a number, as in ``token=17``.

    >>> is_counted("token"), is_counted("HF_TOKEN")
    (True, False)
    """
    return key.lower().strip("-") in {"token", "pass", "pat", "pw", "otp"}


def _is_pass(before: list[str], last: str) -> bool:
    return last == "pass" and not _FORWARD_PASS.intersection(before[-1:])


def _is_auth(before: list[str], last: str) -> bool:
    return last == "auth" and bool(before) and before[-1] not in _NO_AUTH


def _has_service_last(words: list[str]) -> bool:
    first, rest = words[0], words[1:2]
    return (first == "key" and bool(_SERVICES.intersection(rest))) or (
        first in {"pass", "pw"} and bool(_LOGINS.intersection(rest))
    )


def _is_token(words: list[str]) -> bool:
    if _TEXT_TOKEN.intersection(words):
        return False
    if words[-1] in {"id", "ids"}:
        return False
    if any(word.endswith("token") for word in words):
        return True
    return words[-1] == "tokens" and bool(_ONLY_SOME_TOKENS.intersection(words))


def _is_key(before: list[str], last: str) -> bool:
    if last == "key":
        return bool(before) and before[-1] not in _DATA_KEY
    return last.endswith("key") and last not in _WORDS_IN_KEY and _DATA_KEY_WORD.fullmatch(last) is None
