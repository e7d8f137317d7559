"""Take secrets out of text and of mappings before they are shown or stored; runs on the driver and on workers.

The patterns know what a secret looks like (a SAS signature, a token with a known prefix) and where one stands
(``password=``, a key of a mapping that is called like one). Everything else is left as it is: a redactor that eats
container names and sentences makes messages useless.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

MASK: Final = "***"

_TELLING_WORDS: Final = r"(?:secret|password|passwd|pwd|token(?!iz)|access.?key|account.?key|api.?key|credential)"
_SECRET_KEY: Final = re.compile(_TELLING_WORDS, re.IGNORECASE)
_VALUE: Final = r"""(?:"[^"]*"|'[^']*'|(?:[^\s;&,"']|,(?!\s))+)"""

# Each pattern keeps what stands in its group 'kept' (the setting's name, the URL's scheme) and masks the rest.
_PATTERNS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # keys and certificates in PEM form; a key that was cut off is masked to the end of the text
        r"(?P<kept>)-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)",
        # Azure SAS, also inside an encoded URL
        r"""(?P<kept>(?:(?<![a-z0-9])|(?<=%[0-9a-f]{2}))sig(?:=|%3d))[^&\s"';,]+""",
        # Azure connection strings; base64 values end in '='
        r"""(?P<kept>\b(?:AccountKey|SharedAccessKey|SharedAccessSignature)=)[^;&\s"']+""",
        # password=… in JDBC URLs and connection strings
        rf"(?P<kept>\b(?:pwd|passwd|password)\s{{0,3}}=\s{{0,3}}){_VALUE}",
        # other settings named like a secret, name=value without spaces; a short number is a count (max_tokens=512)
        rf"(?P<kept>(?<![\w.-])[\w.-]{{0,80}}?{_TELLING_WORDS}[\w.-]{{0,80}}=)(?!\d{{1,6}}\.?(?:[\s;&,)]|\Z)){_VALUE}",
        # the same as an entry of a printed mapping
        rf"""(?P<kept>["'][^"'\s]{{0,80}}?{_TELLING_WORDS}[^"'\s]{{0,80}}["']\s{{0,3}}:\s{{0,3}})(?:"[^"]*"|'[^']*')""",
        # user:password@ in a URL, and a bare token where no storage container can stand (abfss://container@account)
        r"""(?P<kept>\b[a-z][a-z0-9+.-]{0,30}://)[^/\s?#@:"']*:[^/\s?#"']*(?=@)""",
        r"""(?P<kept>\b(?:https?|ftp|git|ssh)://)[^/\s?#@:"']+(?=@)""",
        r"(?P<kept>\bBearer\s{1,3})(?=[a-z0-9._~+/=-]*[0-9]|[a-z0-9._~+/=-]{20})[a-z0-9._~+/-]{8,}=*",
        r"(?P<kept>)\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*",
        r"(?P<kept>)\bdapi[0-9a-f]{32,}(?:-\d+)?",
        r"(?P<kept>)\b(?-i:AKIA|ASIA)(?-i:[0-9A-Z]{16})\b",
        r"(?P<kept>)\bgh[pousr]_[a-z0-9]{36,}",
        r"(?P<kept>)\bgithub_pat_\w{22,}",
    )
)


def redact(text: str) -> str:
    """Replace every secret in a text by ``***``.

    >>> redact("https://account.blob.core.windows.net/in?sv=2024&sig=aB3%2Fx")
    'https://account.blob.core.windows.net/in?sv=2024&sig=***'
    >>> redact("abfss://container@account.dfs.core.windows.net/in")
    'abfss://container@account.dfs.core.windows.net/in'
    """
    for pattern in _PATTERNS:
        text = pattern.sub(_masked, text)
    return text


def _masked(match: re.Match[str]) -> str:
    return f"{match['kept']}{MASK}"


def is_secret_key(key: str) -> bool:
    """Tell whether the name of a setting says that its value is a secret.

    >>> is_secret_key("DB_PASSWORD"), is_secret_key("TOKENIZERS_PARALLELISM")
    (True, False)
    """
    return _SECRET_KEY.search(key) is not None


def _is_secret_flag(argument: object) -> bool:
    return isinstance(argument, str) and argument.startswith("-") and "=" not in argument and is_secret_key(argument)


def redact_mapping(value: object) -> object:
    """Copy a tree of mappings and lists with its secrets masked.

    Strings pass through `redact`; what stands under a key that is called like a secret is masked whole.

    >>> redact_mapping({"user": "ada", "password": "x", "urls": ["https://ada:x@host"]})
    {'user': 'ada', 'password': '***', 'urls': ['https://***@host']}
    """
    return _redacted(value, is_secret=False)


def _redacted(value: object, *, is_secret: bool) -> object:
    if isinstance(value, Mapping):
        return {key: _redacted(item, is_secret=is_secret or is_secret_key(str(key))) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        # Arguments of a command line: what follows '--api-key' is the key.
        after_flag = [False, *(_is_secret_flag(item) for item in value)]
        pairs = zip(value, after_flag, strict=False)
        return [_redacted(item, is_secret=is_secret or is_argument) for item, is_argument in pairs]
    if is_secret and value is not None and not isinstance(value, bool):
        return MASK
    return redact(value) if isinstance(value, str) else value
