"""Keeps the key and the credentials of an endpoint out of logs, messages and files.

Both come from the environment alone, from ``OPENAI_API_KEY`` and ``OPENAI_BASE_URL``, so that no property file and no
dump of parameters can hold them.
"""

from __future__ import annotations

import base64
import os
from urllib.parse import quote, unquote, urlsplit

API_KEY_VARIABLE, BASE_URL_VARIABLE = "OPENAI_API_KEY", "OPENAI_BASE_URL"
REDACTED = "[secret]"
_MIN_LENGTH = 4  # shorter texts are no secrets, and replacing them would garble messages


def find_secrets() -> list[str]:
    """The texts that must not be shown, longest first: the key, and user, password and query values of the address."""
    secrets = {os.environ.get(API_KEY_VARIABLE, "").strip()}
    address = urlsplit(os.environ.get(BASE_URL_VARIABLE, ""))
    for part in (address.username, address.password):
        secrets.update((part, unquote(part)) if part else ())
    if address.username:
        credentials = f"{unquote(address.username)}:{unquote(address.password or '')}"
        secrets.add(base64.b64encode(credentials.encode()).decode())  # as in the header Authorization: Basic
    secrets.update(value for _, _, value in (pair.partition("=") for pair in address.query.split("&")))
    return sorted((text for text in secrets if len(text) >= _MIN_LENGTH), key=len, reverse=True)


def redact_secrets(text: str) -> str:
    """Replace every secret in a text, plain or percent-encoded, by ``[secret]``."""
    for secret in find_secrets():
        for form in (secret, quote(secret, safe="")):
            text = text.replace(form, REDACTED)
    return text
