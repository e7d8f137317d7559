"""Mask secrets in strings and dictionaries before they are shown or stored. Runs on the driver and the workers.

A secret is recognized in one of three ways:

- by its form, such as an Azure SAS signature or a token with a known prefix;
- by its name, such as ``password=`` in a string or a key in a dictionary;
- by its value, if the value is known to be secret, for example from an environment variable such as ``DB_PASSWORD``.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

from sparkscore.secret_names import is_counted, is_secret_key

__all__ = [
    "MASK",
    "RedactingFormatter",
    "is_secret_key",
    "on_new_secrets",
    "redact",
    "redact_mapping",
    "remember_secrets",
    "remember_values",
    "secrets_among",
]

MASK: Final = "***"

_NAME: Final = r"(?P<name>[\w.-]{1,160})"
_QUOTED: Final = r"""b?"(?:[^"\\]|\\.)*"|b?'(?:[^'\\]|\\.)*'"""
_VALUE: Final = rf"""(?P<value>{_QUOTED}|[A-Za-z_.]{{1,40}}\((?:{_QUOTED})\)|(?:[^\s;&,"']|,(?!\s))+)"""
# Values that are not secrets, even if their names suggest it.
_NO_SECRETS: Final = frozenset({"", "none", "null", "true", "false", "yes", "no", MASK})

# Each pattern keeps the text of its group 'kept' (the setting's name, the URL's scheme) and masks the rest.
_FORMS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # keys and certificates in PEM form; a truncated key is masked to the end of the text
        (
            r"(?P<kept>)-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            r"(?s:.*?)(?:-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)"
        ),
        # Azure SAS, also inside an encoded URL
        r"""(?P<kept>(?:(?<![a-z0-9])|(?<=%[0-9a-f]{2}))sig(?:=|%3d))[^&\s"';,]+""",
        # signatures in presigned URLs of Amazon and Google, and Azure function keys
        r"""(?P<kept>(?:x-(?:amz|goog)-signature|[?&](?:signature|code))(?:=|%3d))[^&\s"';,]{8,}""",
        # Azure connection strings; base64 values end in '='
        r"""(?P<kept>\b(?:AccountKey|SharedAccessKey|SharedAccessSignature)=)[^;&\s"']+""",
        # headers
        (
            r"(?P<kept>\bauthorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:basic|bearer|digest|token|apikey|negotiate|"
            r"sharedkey(?:lite)?)\s{1,3})[^\s\"',;]+"
        ),
        r"""(?P<kept>\b(?:set-)?cookie["']?:\s{0,3}["']?)(?=[^\s"';]{1,200}=)[^\r\n"']+""",
        # user:password@ in a URL, and a single token before the @, except in URLs such as abfss://container@account
        r"""(?P<kept>\b[a-z][a-z0-9+.-]{0,30}://)[^/\s?#@:"']*:[^/\s?#"']*(?=@)""",
        r"""(?P<kept>\b(?:https?|ftp|git|ssh)://)[^/\s?#@:"']+(?=@)""",
        r"(?P<kept>\bBearer\s{1,3})(?=[a-z0-9._~+/=-]*[0-9]|[a-z0-9._~+/=-]{20})[a-z0-9._~+/-]{8,}=*",
        # URLs that are secrets: incoming webhooks of Slack, Teams and Discord, Telegram's bots
        r"(?P<kept>\bhooks\.slack(?:-gov)?\.com/[a-z]{1,20}/)[\w/-]+",
        r"""(?P<kept>\.webhook\.office\.com/webhookb2/)[^\s"'<>]+""",
        r"(?P<kept>\bdiscord(?:app)?\.com/api/webhooks/\d+/)[\w-]+",
        r"(?P<kept>\b(?:bot)?\d{8,10}:)[\w-]{30,40}(?![\w-])",
        # user and password elsewhere: curl, Oracle, .netrc
        r"""(?P<kept>(?<![\w-])(?:-u|--user|--proxy-user)[ =]{1,3}(?!\d+:\d+\b)[^\s:"'/]{1,100}:)[^\s"']+""",
        r"(?P<kept>\bjdbc:oracle:[a-z0-9]{1,20}:[^\s/@]{1,100}/)[^\s@]+(?=@)",
        r"(?P<kept>\blogin\s{1,3}\S{1,100}\s{1,3}password\s{1,3})\S+",
        r"""(?P<kept>\b(?:password|passphrase)\s{1,3}(?:(?:is|was)\s{1,3})?(?=["']))(?:"[^"]+"|'[^']+')""",
        # tokens with a known prefix
        r"(?P<kept>)\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*",
        r"(?P<kept>)\b(?:dapi|dose|dkea|dsapi)[0-9a-f]{32,}(?:-\d+)?",
        r"(?P<kept>)(?<![\w-])(?-i:key-[0-9a-f]{32}|SK[0-9a-f]{32})(?![\w-])",
        r"(?P<kept>)\b(?-i:AKIA|ASIA)(?-i:[0-9A-Z]{16})\b",
        r"(?P<kept>)\b(?-i:gh[pousr]_[A-Za-z0-9]{36,})",
        r"(?P<kept>)\b(?-i:github_pat_)\w{22,}",
        r"(?P<kept>)(?<![\w-])(?-i:sk|rk)[-_](?=[\w-]*\d|[\w-]{32}|(?:live|test)_)(?:[a-z]+[-_])*[\w-]{16,}",
        r"(?P<kept>)(?<![\w-])(?-i:hf_[A-Za-z]{8,}|hf_[A-Za-z0-9]{16,})",
        (
            r"(?P<kept>)(?<![\w-])(?-i:xox[a-z]-|xapp-|glpat-|gldt-|glrt-|npm_|pypi-|shpat_|dop_v1_|dckr_pat_|nvapi-|whsec_)"
            r"[\w-]{10,}"
        ),
        r"(?P<kept>)(?<![\w-])(?-i:AIza[\w-]{35}|ya29\.[\w-]{20,}|SG\.[\w-]{16,}\.[\w-]{16,})",
    )
)
_BASIC: Final = re.compile(r"(?P<kept>\bBasic\s{1,3})(?P<value>[a-z0-9+/]{4,}={0,2})", re.IGNORECASE)
_AWS_SECRET: Final = re.compile(
    r"(?<![A-Za-z0-9/+_.-])(?P<value>[A-Za-z0-9+][A-Za-z0-9/+]{39})(?![A-Za-z0-9/+=_-]|\.\w)"
)
# An Azure storage account key: 64 bytes.
_AZURE_KEY: Final = re.compile(r"(?<![A-Za-z0-9/+_.-])(?P<value>[A-Za-z0-9/+]{86}==)(?![A-Za-z0-9/+=_-])")
_FEWEST_CHANGES: Final = 15

# Values with a name. A folder such as '/token=abc/' is a table partition, not a setting.
_NAMED: Final = tuple(
    re.compile(pattern)
    for pattern in (
        # a block of YAML
        (
            rf"(?P<kept>(?<![\w./-]){_NAME}:[ \t]{{1,3}}[|>][+-]?[ \t]*\r?\n)"
            r"(?P<value>(?:[ \t]{1,80}[^\r\n]*(?:\r?\n|\Z))+)"
        ),
        rf"(?P<kept>(?<![\w./-]){_NAME}(?:=|%3[dD])){_VALUE}",
        # the same with spaces, in a settings file: quoted, or alone on its line
        (
            rf"(?P<kept>(?<![\w./-]){_NAME}[ \t]{{1,3}}=>?[ \t]{{1,3}})"
            rf"(?P<value>{_QUOTED}|[^\s()\[\]{{}}.,;\"']{{4,}}(?=[ \t]*(?:[\r\n]|\Z)))"
        ),
        # and in connection strings
        rf"(?P<kept>(?<![\w./-])(?P<name>(?i:pwd|passwd|password))\s{{0,3}}=\s{{0,3}}){_VALUE}",
        # an entry of a printed dictionary, even if the dictionary is JSON inside JSON
        (
            r"""(?P<kept>b?(?P<quote>\\?["'])(?P<name>[^"'\s\\]{1,160})(?P=quote)\s{0,3}[:=]\s{0,3})"""
            rf"""(?P<value>\\"[^"\\]*\\"|{_QUOTED}|[^\s"',;:}}\])\\{{\[]+)"""
        ),
        # a Kubernetes variable, and an HTTP header in a pair
        (
            r"""(?P<kept>(?P<quote>["'])name(?P=quote)\s{0,3}:\s{0,3}(?P=quote)(?P<name>[^"'\s\\]{1,160})(?P=quote),"""
            rf"""\s{{0,3}}(?P=quote)value(?P=quote)\s{{0,3}}:\s{{0,3}})(?P<value>{_QUOTED})"""
        ),
        (
            r"""(?P<kept>[(\[]b?(?P<quote>["'])(?P<name>[A-Za-z]{1,40}(?:-[A-Za-z]{1,40}){1,9}|[Aa]uthorization)"""
            rf"""(?P=quote),\s{{0,3}})(?P<value>{_QUOTED})"""
        ),
        # a command-line flag, and an XML element
        rf"(?P<kept>(?<![\w-])--{_NAME}\s{{1,3}})(?!-)(?P<value>[^\s\"']+)",
        rf"(?P<kept><{_NAME}>)(?P<value>[^<>]+)(?=<)",
        # a line of YAML or a header: a name in capitals, or a value alone on its line
        (
            r"(?P<kept>(?<![\w./-])(?P<name>[A-Z](?:[\w.-]{0,158}[_-][\w.-]{1,80}|[A-Z0-9]{2,80})):[ \t]{1,3})"
            rf"{_VALUE}"
        ),
        rf"(?P<kept>(?<![\w./-]){_NAME}:[ \t]{{1,3}}){_VALUE}(?=[ \t]*(?:[\r\n}},;]|\Z))",
    )
)
_COUNT: Final = re.compile(r"\d{1,6}\.?")


def redact(text: str) -> str:
    """Replace each secret in a string with ``***``.

    Secrets are recognized by their form (for example, access tokens) or by the name before them (for example,
    ``password=``). The values added by `remember_secrets` and `remember_values` are masked, too.

    >>> redact("https://account.blob.core.windows.net/in?sv=2024&sig=aB3%2Fx")
    'https://account.blob.core.windows.net/in?sv=2024&sig=***'
    >>> redact("abfss://container@account.dfs.core.windows.net/in")
    'abfss://container@account.dfs.core.windows.net/in'
    """
    return _redact_forms(_known.masked(text))


def _redact_forms(text: str) -> str:
    for pattern in _FORMS:
        text = pattern.sub(_masked, text)
    text = _BASIC.sub(lambda match: _masked(match) if _is_user_and_password(match["value"]) else match[0], text)
    for key in (_AWS_SECRET, _AZURE_KEY):
        text = key.sub(lambda match: MASK if _is_random(match["value"]) else match[0], text)
    for pattern in _NAMED:
        text = pattern.sub(_masked_if_named_so, text)
    return text


def _masked(match: re.Match[str]) -> str:
    return f"{match['kept']}{MASK}"


def _masked_if_named_so(match: re.Match[str]) -> str:
    name, value = match["name"], match["value"].strip("\\\"'")
    if not is_secret_key(name) or value.lower() in _NO_SECRETS or (is_counted(name) and _COUNT.fullmatch(value)):
        return match[0]
    return _masked(match)


def _is_user_and_password(text: str) -> bool:
    try:
        return b":" in base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return False


def _is_random(text: str) -> bool:
    """Return whether a string looks like a random key, which often switches between upper case, lower case and digits.

    Paths usually switch less often. A hexadecimal digest does not count, because its letters all have the same case.
    """
    classes = ["a" if one.islower() else "A" if one.isupper() else "0" if one.isdigit() else "/" for one in text]
    changes = sum(one != other for one, other in pairwise(classes))
    return {"a", "A", "0"} <= set(classes) and changes >= _FEWEST_CHANGES


def _forms_of(value: str) -> set[str]:
    """Return the forms in which a secret may appear: unchanged, escaped as by ``repr`` or JSON, or line by line.

    Lines of fewer than eight characters are left out.
    """
    lines = [line for line in value.splitlines() if len(line) >= _LONG_LINE] if "\n" in value else []
    return {value, repr(value)[1:-1], json.dumps(value)[1:-1], *lines}


class RedactingFormatter(logging.Formatter):
    """A log formatter that masks secrets in log records, including tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a log record and mask its secrets."""
        return redact(super().format(record))


class _KnownValues:
    """Secret values to mask, and listeners: functions that are called when new values are added."""

    _LONG, _SHORTEST = 8, 4

    def __init__(self) -> None:
        self._values: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        self._listeners: list[Callable[[Iterable[str]], None]] = []

    def add(self, values: Iterable[str]) -> None:
        """Add secret values to mask, and call all listeners if any of the values are new.

        Each value is masked in all forms that `_forms_of` returns. Values of fewer than four characters are ignored.
        """
        found = self._values | {form for value in values for form in _forms_of(value) if len(form) >= self._SHORTEST}
        if found == self._values:
            return
        self._values = found
        # Longest first, because one value may be a prefix of another.
        longest_first = sorted(found, key=lambda value: (-len(value), value))
        self._pattern = re.compile("|".join(self._as_pattern(value) for value in longest_first))
        for listener in self._listeners:
            listener(found)

    def listen(self, listener: Callable[[Iterable[str]], None]) -> None:
        """Call a function with all secret values, now and whenever new values are added.

        Each value is passed in all forms that `_forms_of` returns.
        """
        self._listeners.append(listener)
        listener(self._values)

    def _as_pattern(self, value: str) -> str:
        """Return a regular expression that matches a secret value. A short value matches only as a whole word."""
        escaped = re.escape(value)
        return escaped if len(value) >= self._LONG else rf"(?<!\w){escaped}(?!\w)"

    def masked(self, text: str) -> str:
        """Replace each known secret value in a string with ``***``."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)


_LONG_LINE: Final = 8
# Global on purpose: a secret that is known anywhere in the process must not appear in the logs or errors of any thread,
# including those of libraries that are unrelated to runs.
_known: Final = _KnownValues()


def remember_secrets(settings: object) -> None:
    """Make `redact` mask the secrets that `secrets_among` finds in settings or environment variables.

    They are masked from now on, in all threads. Secrets of four to seven characters are masked only as whole words, and
    shorter ones are ignored.

    Args:
        settings: nested dictionaries and lists.
    """
    remember_values(secrets_among(settings))


def remember_values(values: Iterable[str]) -> None:
    """Make `redact` mask these secrets from now on, in all threads.

    Secrets of four to seven characters are masked only as whole words, and shorter ones are ignored.
    """
    _known.add(values)


def on_new_secrets(listener: Callable[[Iterable[str]], None]) -> None:
    """Call a function with all remembered secrets, now and whenever new secrets are added.

    Each call passes all secrets, not only the new ones. A secret is passed in several forms: unchanged, escaped as by
    ``repr`` and by JSON, and line by line.
    """
    _known.listen(listener)


def secrets_among(tree: object) -> list[str]:
    """Return the secrets in nested dictionaries and lists.

    A string counts as a secret if its key, or the command-line flag before it, is the name of a secret. Short numbers,
    words such as ``true`` and existing paths are left out, because they are unlikely to be secrets.

    A part of a string counts as a secret if it looks like one, such as the user and password in a URL. Parts that are
    short or contain only letters are left out.
    """
    texts = [text for text in _secret_texts(tree, is_secret=False) if _is_telling(text)]
    return [*texts, *(part for text in _all_texts(tree) for part in _secret_parts(text))]


def _all_texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        for item, _ in _items(value, is_secret=False):
            yield from _all_texts(item)


def _secret_parts(text: str) -> Iterator[str]:
    """Yield the parts of a string that look like secrets, such as the user and password in a URL.

    Parts that have fewer than eight characters, contain only letters, or are already masked are left out.
    """
    for pattern in _FORMS:
        for match in pattern.finditer(text):
            part = match[0][len(match["kept"]) :]
            # A part with only letters may be a user name, which also occurs in paths.
            if len(part) >= _LONG_LINE and MASK not in part and not part.isalpha():
                yield part


def _is_telling(text: str) -> bool:
    if text.lower() in _NO_SECRETS or _COUNT.fullmatch(text):
        return False
    try:
        return not (text.startswith("/") and Path(text).exists())
    except (OSError, ValueError):
        return True


def _secret_texts(value: object, *, is_secret: bool) -> Iterator[str]:
    if isinstance(value, str) and is_secret:
        yield value
    else:
        for item, is_secret_item in _items(value, is_secret=is_secret):
            yield from _secret_texts(item, is_secret=is_secret_item)


def redact_mapping(value: object) -> object:
    """Return a copy of nested dictionaries and lists with their secrets masked.

    A string or number is replaced with ``***`` if its key, or the command-line flag before it, is the name of a secret.
    In all other strings, parts that look like secrets are masked, and so are the secrets that `secrets_among` finds in
    ``value``. Secrets that are known only from `remember_secrets` are not masked. Tuples become lists.

    >>> redact_mapping({"user": "ada", "password": "x", "urls": ["https://ada:x@host"]})
    {'user': 'ada', 'password': '***', 'urls': ['https://***@host']}
    """
    known = _KnownValues()
    known.add(secrets_among(value))
    return _redacted(value, lambda text: _redact_forms(known.masked(text)), is_secret=False)


def _redacted(value: object, redact_text: Callable[[str], str], *, is_secret: bool) -> object:
    if isinstance(value, Mapping):
        items = _items(value, is_secret=is_secret)
        return {
            key: _redacted(item, redact_text, is_secret=is_key)
            for key, (item, is_key) in zip(value, items, strict=True)
        }
    if isinstance(value, (list, tuple)):
        return [_redacted(item, redact_text, is_secret=is_key) for item, is_key in _items(value, is_secret=is_secret)]
    if is_secret and value is not None and not isinstance(value, bool):
        return MASK
    return redact_text(value) if isinstance(value, str) else value


def _items(value: object, *, is_secret: bool) -> Iterator[tuple[object, bool]]:
    """Yield each value in a dictionary or list, together with whether it is a secret.

    Args:
        value: the dictionary or list. Any other value yields nothing.
        is_secret: whether the dictionary or list itself is a secret. If so, all of its values are secrets as well.
    """
    if isinstance(value, Mapping):
        # Kubernetes writes a variable as {name: DB_PASS, value: …}.
        names_one = {str(key).lower(): item for key, item in value.items()}.get("name")
        is_variable = isinstance(names_one, str) and is_secret_key(names_one)
        for key, item in value.items():
            yield item, is_secret or is_secret_key(str(key)) or (is_variable and str(key).lower() == "value")
    elif isinstance(value, (list, tuple)):
        # In a list of command-line arguments, the item after '--api-key' is the key.
        after_flag = [False, *(_is_secret_flag(item) for item in value)]
        for item, is_argument in zip(value, after_flag, strict=False):
            yield item, is_secret or is_argument


def _is_secret_flag(argument: object) -> bool:
    return isinstance(argument, str) and argument.startswith("-") and "=" not in argument and is_secret_key(argument)
