"""Keeps the key and the credentials of an endpoint out of logs, messages and files.

Both come from the environment alone, from ``OPENAI_API_KEY`` and ``OPENAI_BASE_URL``, so that no property file and no
dump of parameters can hold them.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from recbole_lecdsr.errors import UserError

API_KEY_VARIABLE, BASE_URL_VARIABLE = "OPENAI_API_KEY", "OPENAI_BASE_URL"
REDACTED = "[secret]"
_MIN_LENGTH = 4  # shorter texts are no secrets, and replacing them would garble messages
_MIN_LINE = 6  # the same for a line of a secret with line breaks
_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s'\"]*@")  # of any address in a text
# Names of parameters that hold a key, and texts that are one whatever their name.
_SECRET_NAME = re.compile(
    r"(^|[-_.])(api[-_]?key|secret([-_]?key)?|password|passwd|authori[sz]ation|bearer|(access|auth|api|hf)[-_]?token)$",
    re.I,
)
_SECRET_VALUE = re.compile(
    r"\bsk-(?=[\w-]*\d)[\w-]{20,}|\b(hf|gsk)_[A-Za-z0-9]{30,}|\bxai-[A-Za-z0-9]{30,}|\bBearer\s+\S{8,}"
)


def find_secrets() -> list[str]:
    """The texts that must not be shown, longest first: the key, and user, password and query values of the address."""
    secrets = {os.environ.get(API_KEY_VARIABLE, ""), os.environ.get(API_KEY_VARIABLE, "").strip()}
    address = os.environ.get(BASE_URL_VARIABLE, "").strip()
    for credentials in _address_credentials(address):
        user, _, password = credentials.partition(":")
        secrets.update((credentials, user, password, unquote(user), unquote(password)))
        # As in the header Authorization: Basic.
        secrets.add(base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode())
    query = address.partition("?")[2].partition("#")[0]
    secrets.update(value for _, _, value in (pair.partition("=") for pair in query.split("&")))
    lines = {line.strip() for text in secrets for line in text.splitlines()}
    secrets.update(line for line in lines if len(line) >= _MIN_LINE)
    return sorted((text for text in secrets if len(text) >= _MIN_LENGTH), key=len, reverse=True)


def redact_secrets(text: str) -> str:
    """Replace every secret in a text by ``[secret]``: plain, or escaped in a way in which libraries print it.

    These are Python's ``repr`` and ``ascii``, also of bytes and of a text that is a ``repr`` already, JSON, HTML and
    percent-encoding. The user and password of any address are replaced too.
    """
    for form in _forms_to_redact(tuple(find_secrets())):
        text = text.replace(form, REDACTED)
    return _CREDENTIALS.sub(f"{REDACTED}@", text)


def refuse_secret_parameters(name: str, value: object) -> None:
    """Refuse a parameter that holds a key, since parameters are written to sidecars, batch files and reports.

    Args:
        name: of the parameter, for the error.
        value: its value, with mappings and lists inside it.

    Raises:
        UserError: a text under a name such as ``api_key``, or one that looks like a key.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            refuse_secret_parameters(f"{name}.{key}", inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            refuse_secret_parameters(name, inner)
    elif _is_secret(name, value):
        raise UserError(
            f"{redact_secrets(name)} holds a key or a password, which would be stored with the parameters: remove it "
            f"and export {API_KEY_VARIABLE}=… instead"
        )


def redact_parameters(value: Any, name: str = "") -> Any:
    """Plain data with every text that `refuse_secret_parameters` would refuse replaced by ``[secret]``.

    Example:
        >>> redact_parameters({"top_k": 5, "api_key": "abcd1234"})
        {'top_k': 5, 'api_key': '[secret]'}
    """
    if isinstance(value, Mapping):
        return {redact_secrets(str(key)): redact_parameters(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redact_parameters(inner, name) for inner in value]
    if isinstance(value, str) and (redacted := redact_secrets(value)) != value:
        return redacted
    return REDACTED if _is_secret(name, value) else value


def _is_secret(name: str, value: object) -> bool:
    """Whether a parameter holds a key or a password, by its name or its looks."""
    if not isinstance(value, str) or len(value) < _MIN_LENGTH:
        return False
    return bool(_SECRET_NAME.search(name) or _SECRET_VALUE.search(value)) or redact_secrets(value) != value


def _address_credentials(address: str) -> set[str]:
    """``user:password`` of an address as it is written; of one that cannot be parsed, all that may be it."""
    found = set()
    try:
        netloc = urlsplit(address).netloc
    except ValueError:
        netloc = ""
    if "@" in netloc:
        found.add(netloc.rpartition("@")[0])
    elif "@" in address:  # such as a password with an unquoted slash
        found.add(address.rpartition("@")[0].partition("//")[2] or address.rpartition("@")[0])
    return found


@lru_cache(maxsize=8)
def _forms_to_redact(secrets: tuple[str, ...]) -> list[str]:
    """All printed forms of some secrets, longest first."""
    return sorted({form for secret in secrets for form in _printed_forms(secret)}, key=len, reverse=True)


def _printed_forms(secret: str) -> set[str]:
    """A text as it is and in the escaped forms in which libraries print it."""
    plain = {secret, " ".join(secret.split())}
    escaped = {form for text in plain for form in _escape(text)}
    escaped |= {form for text in escaped for form in _escape(text)}  # an error within the text of another one
    quoted = {function(secret, safe=safe, errors="replace") for function in (quote, quote_plus) for safe in ("", "/")}
    quoted |= {re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), form) for form in quoted}
    return plain | escaped | quoted | {html.escape(secret)}


def _escape(text: str) -> set[str]:
    """A text as Python and JSON escape it inside quotation marks."""
    forms = {
        repr(text)[1:-1],
        ascii(text)[1:-1],
        repr(text.encode("utf-8", "surrogatepass"))[2:-1],
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
    }
    # Python escapes the single quotes only where a text holds both kinds, and the text around the secret may hold some.
    return forms | {re.sub(r"(?<!\\)'", r"\'", form) for form in forms} | {form.replace("\\'", "'") for form in forms}
