from __future__ import annotations

import pytest

from sparkscore.secret_names import is_secret_key
from tests.support.named_secrets import PLAIN, SECRETS


@pytest.mark.parametrize("name", SECRETS)
def test_a_name_tells_a_secret(name: str) -> None:
    assert is_secret_key(name)


@pytest.mark.parametrize("name", PLAIN)
def test_what_has_the_same_words_tells_none(name: str) -> None:
    assert not is_secret_key(name)
