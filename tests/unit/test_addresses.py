"""No secret of an address reaches a message."""

from __future__ import annotations

import pytest

from cbdata.addresses import without_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:pw@host:1/v1", "http://***@host:1/v1"),
        ("http://user:p@w/d@host", "http://***@host"),
        ("https://host/v1?key=a#b", "https://host/v1?***"),
        ("https://host/v1#sk-abc", "https://host/v1#***"),
        ("http://user:p#w@host", "http://***@host"),
        ("['http://a:b@c:1', 'http://d?e']", "['http://***@c:1', 'http://d?***']"),
        ("http://u:secret@a:8000,http://b:8000", "http://***@a:8000,http://b:8000"),
        ("http://host:8000/v1", "http://host:8000/v1"),
    ],
)
def test_no_secret_of_an_address_is_shown(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
