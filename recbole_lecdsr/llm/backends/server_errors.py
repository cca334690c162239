"""What an endpoint says when it does not answer: its words, and whether asking again or another question can help."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from recbole_lecdsr.llm.backends.redaction import API_KEY_VARIABLE, BASE_URL_VARIABLE, redact_secrets

MAX_REASON = 300  # characters of an error that are shown

_CREDIT = "add credit to the account or raise its limit, then run the command again: it resumes"
_KEY = f"set {API_KEY_VARIABLE} to a key that the endpoint accepts"
_ACCESS = f"set {API_KEY_VARIABLE} to a key with access to the model"
_ADDRESS = f"check {BASE_URL_VARIABLE}, which usually ends in /v1, and the model's name"
# What every other request would meet as well -> its remedy.
_PERMANENT_STATUSES = {401: _KEY, 402: _CREDIT, 403: _ACCESS, 404: _ADDRESS, 405: _ADDRESS, 410: _ADDRESS}
_PERMANENT_CODES = {
    "insufficient_quota": _CREDIT, "billing_hard_limit_reached": _CREDIT, "billing_not_active": _CREDIT,
    "insufficient_balance": _CREDIT, "exceeded_current_quota_error": _CREDIT, "account_deactivated": _KEY,
    "invalid_api_key": _KEY, "invalid_authentication_error": _KEY, "authentication_error": _KEY,
    "permission_error": _ACCESS, "model_not_found": _ADDRESS, "deploymentnotfound": _ADDRESS,
}  # fmt: skip
_REFUSAL_STATUSES = (400, 413, 422)
_MODERATION = ("moderation", "flagged", "content_filter", "content_policy", "content policy")


@dataclass(frozen=True)
class ServerError:
    """An error that an endpoint reports.

    Attributes:
        status: of HTTP; where that is 200, the status that the error itself names, if any.
        message: the endpoint's own words, in one line without secrets.
        codes: ``code`` and ``type`` of the error, in lower case.
    """

    status: int
    message: str
    codes: frozenset[str] = frozenset()

    @property
    def remedy(self) -> str | None:
        """How to correct an error that every other request would meet as well; None for any other error."""
        for code in sorted(self.codes & _PERMANENT_CODES.keys()):
            return _PERMANENT_CODES[code]
        return None if self.is_refusal else _PERMANENT_STATUSES.get(self.status)

    @property
    def is_refusal(self) -> bool:
        """Whether the endpoint declines what this request contains, so that repeating it is pointless."""
        words = f"{self.message} {' '.join(self.codes)}".lower()
        is_moderated = self.status in (200, 403) and any(word in words for word in _MODERATION)
        return is_moderated or self.status in _REFUSAL_STATUSES

    def describe(self) -> str:
        """The error in one line.

        Example:
            >>> ServerError(503, "the model is loading").describe()
            'status 503: the model is loading'
        """
        return f"status {self.status}: {self.message}"


class ErrorResponse(ValueError):
    """A response that reports an error in its body in spite of status 200.

    Args:
        error: what it reports.
    """

    def __init__(self, error: ServerError):
        super().__init__(error.describe())
        self.error = error


def parse_server_error(status: int, body: object) -> ServerError:
    """Read the error in the body of a response, in any of the forms that servers use.

    Args:
        status: of HTTP.
        body: the decoded JSON, or the text of a body that is not JSON.

    Example:
        >>> parse_server_error(429, {"error": {"message": "no credit", "code": "insufficient_quota"}}).remedy
        'add credit to the account or raise its limit, then run the command again: it resumes'
    """
    error = body.get("error", body) if isinstance(body, Mapping) else body
    codes: set[str] = set()
    message = error
    if isinstance(error, Mapping):
        message = next((error[name] for name in ("message", "detail", "error") if error.get(name)), error)
        for code in (error.get("code"), error.get("type")):
            if isinstance(code, int) and not isinstance(code, bool) and status == 200 and 400 <= code < 600:
                status = code
            elif isinstance(code, str) and code.isdecimal() and status == 200:
                status = int(code) if 400 <= int(code[:4]) < 600 else status
            elif isinstance(code, str):
                codes.add(code.lower())
    text = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False, default=str)
    text = " ".join(redact_secrets(text).split())[:MAX_REASON]
    return ServerError(status, text or "no message", frozenset(codes))


def raise_if_error(body: object) -> None:
    """Raise the error that a response with status 200 reports in its body, if it does.

    Raises:
        ErrorResponse: a body with an ``error``.
    """
    if isinstance(body, Mapping) and body.get("error"):
        raise ErrorResponse(parse_server_error(200, body))
