"""One request to an OpenAI-compatible service: sent once, its answer read with bounds, its failures sorted.

The API key goes into the Authorization header and nowhere else: not into messages, which quote what the service says,
not to another host (redirects are refused), not over an open line (plain http is for this machine alone).

The `openai` client (3.57.0) was looked at for this module and `retry`, and not taken. Its retries could not stay on:
they count no budget for an attempt that may be on the bill, their sleep does not end when another sample fails, and an
answer of another form is not asked for again. Without them it is one POST, and what surrounds the POST here (redirects,
the proxy of a local service, the bound on the answer, the deadline, a key that no message shows) has to be set up or
written all the same: few lines saved, for 4 packages, 0.6 s of imports and 42 MiB (measured; here 0.05 s and 9 MiB).
"""

import email.utils
import http.client
import ipaddress
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from lavis_sam import __version__
from lavis_sam.errors import SamConfigurationError

MAX_ANSWER_BYTES = 4 * 1024**2
# What a service may say of itself and mean: later.
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_CHAT_PATH = "/chat/completions"
# Some services turn away what calls itself Python.
_AGENT = f"lavis-sam/{__version__}"
_SHOWN = 300
_PIECE_BYTES = 64 * 1024
# How many times its longest silence a request may take.
_SILENCES = 5


class RefusedError(Exception):
    """The service will not answer this, however often it is asked."""


class FailedError(Exception):
    """The service did not answer this time.

    Attributes:
        wait: Seconds after which it wants to be asked again; None if it did not say.
        is_billed: Whether it may have done the work all the same.
    """

    def __init__(self, message: str, *, wait: float | None = None, is_billed: bool) -> None:
        """Keep the facts."""
        super().__init__(message)
        self.wait, self.is_billed = wait, is_billed


class Transport:
    """Where to ask.

    Attributes:
        shown_url: The URL without a query, which may hold secrets.
    """

    def __init__(
        self, url: str, *, key: str | None = None, timeout: float = 120.0, deadline: float | None = None
    ) -> None:
        """Check the address.

        Args:
            url: Of the service ("https://host/v1"), or of its chat completions.
            key: The API key; None sends none.
            timeout: Seconds that a connection may be silent.
            deadline: Seconds after which an answer that still comes in pieces is given up; by default five times
                `timeout`.

        Raises:
            SamConfigurationError: No such URL is used here, or it would carry a secret in the open.
        """
        if key is not None and not (key.isascii() and key.isprintable() and " " not in key and key):
            raise SamConfigurationError("API key: found spaces, line breaks or foreign letters, wanted one plain word.")
        parts = _checked(url, has_key=key is not None)
        path = parts.path.rstrip("/")
        path = path if path.endswith(_CHAT_PATH) else path + _CHAT_PATH
        self.shown_url = urlunsplit(parts._replace(path=path, query="", fragment=""))
        self._url = urlunsplit(parts._replace(path=path, fragment=""))
        self._key, self._timeout = key, timeout
        self._deadline = deadline if deadline is not None else _SILENCES * timeout
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if _is_this_machine(parts.hostname or ""):
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def send(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and wait for the answer.

        Raises:
            RefusedError: Asking again is of no use.
            FailedError: It may be.
        """
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": _AGENT}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self._url, json.dumps(body).encode(), headers, method="POST")
        try:
            end = time.monotonic() + self._deadline
            with self._opener.open(request, timeout=self._timeout) as response:
                data = b""
                while len(data) <= MAX_ANSWER_BYTES and (piece := response.read1(_PIECE_BYTES)):
                    data += piece
                    if time.monotonic() > end:
                        raise TimeoutError(f"timed out: no whole answer within {self._deadline:g} s")
                lacking = response.length or 0  # of what the service announced; `read` itself does not mind
        except urllib.error.HTTPError as error:
            raise self._sorted(error) from None
        except urllib.error.URLError as error:
            # Nobody was reached, unless the wait for the answer was cut off.
            timed_out = isinstance(error.reason, TimeoutError)
            raise FailedError(self.clean(f"no connection: {error.reason}"), is_billed=timed_out) from None
        except (OSError, http.client.HTTPException) as error:
            reason = f"the connection broke: {type(error).__name__}: {error}"
            raise FailedError(self.clean(reason), is_billed=True) from None
        if len(data) > MAX_ANSWER_BYTES:
            raise RefusedError(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
        if lacking:
            raise FailedError(
                f"the connection broke: the last {lacking} bytes of the answer are lacking", is_billed=True
            )
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise FailedError(self.clean(f"the answer is not JSON: {error}"), is_billed=True) from None
        if not isinstance(answer, dict):
            raise FailedError(f"the answer is a JSON {type(answer).__name__}, wanted an object", is_billed=True)
        return answer

    def _sorted(self, error: urllib.error.HTTPError) -> Exception:
        """An answer with an error status, as one of the two classes."""
        with error:
            try:
                said = error.read(_SHOWN * 4).decode("utf-8", "replace")
            except (OSError, http.client.HTTPException):
                said = ""
        message = self.clean(f"HTTP {error.code} {error.reason}: {' '.join(said.split())}")
        if error.code in RETRIED:
            return FailedError(message, wait=_retry_after(error.headers.get("Retry-After")), is_billed=False)
        return RefusedError(message)

    def clean(self, message: str) -> str:
        """A message of bearable length without the key, whoever wrote it."""
        if self._key:
            message = message.replace(self._key, "***")
        message = message.encode("utf-8", "replace").decode()  # half a character could not be printed
        return message if len(message) <= _SHOWN else f"{message[: _SHOWN - 1]}…"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET, and take the key to another host."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Leave the answer as it is, an error."""
        return None


def _checked(url: str, *, has_key: bool) -> SplitResult:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise SamConfigurationError(
            f"endpoint {url!r} is no URL ({error}); wanted one like https://host/v1."
        ) from error
    if parts.scheme not in ("http", "https") or not host:
        raise SamConfigurationError(f"endpoint {url!r}: wanted a URL like https://host/v1.")
    if parts.username is not None or parts.password is not None:
        raise SamConfigurationError(
            f"endpoint at {host}: found a user name or password in the URL; wanted the key in an environment variable."
        )
    if has_key and parts.scheme == "http" and not _is_this_machine(host):
        raise SamConfigurationError(
            f"endpoint {url!r}: found plain http to another machine, which would carry the API key in the open; wanted "
            "https, or no key."
        )
    return parts


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _retry_after(value: str | None) -> float | None:
    """Seconds of the header, which holds a number or a date; None if it holds neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds else None
