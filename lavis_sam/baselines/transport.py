"""One request to an OpenAI-compatible service: sent once, its answer read with bounds, its failures sorted.

The API key goes into the Authorization header and nowhere else: not into messages, which quote what the service says,
not to another host (redirects are refused), not over an open line (plain http is for this machine alone).

The `openai` client (3.57.0) was looked at for this module and `retry`, and not taken. Its retries could not stay on:
they count no budget for an attempt that may be on the bill, their sleep does not end when another sample fails, and an
answer of another form is not asked for again. Without them it is one POST, and what surrounds the POST here (redirects,
the proxy of a local service, the bound on the answer, the deadline, a key that no message shows) has to be set up or
written all the same: few lines saved, for 4 packages, 0.6 s of imports and 42 MiB (measured; here 0.05 s and 9 MiB).
"""

import contextlib
import email.utils
import http.client
import ipaddress
import json
import logging
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from lavis_sam import __version__
from lavis_sam.errors import SamConfigurationError

logger = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 4 * 1024**2
# What a service may say of itself and mean: later.
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
# Of them: somebody on the way did not wait any longer, so that the work may be done all the same.
_LATE = frozenset({408, 504, 524})
_CHAT_PATH = "/chat/completions"
# Some services turn away what calls itself Python.
_AGENT = f"lavis-sam/{__version__}"
_SHOWN = 300
_PIECE_BYTES = 64 * 1024
# How many times its longest silence a request may take.
_SILENCES = 5
# So many letters in a row of a secret are not shown either.
_SECRET_RUN = 8
_SECRET_NAMES = re.compile(r"key|token|secret|sig|code|password", re.IGNORECASE)
# Of a 429 that no waiting helps.
_NO_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
# Of an error that is about one question: a filter of contents (the names of OpenAI, Azure, Alibaba), or its length.
_OF_ONE_QUESTION = re.compile(
    r"content_?filter|content_?policy|policy_?violation|moderation|invalid_prompt|data_?inspection|context_length",
    re.IGNORECASE,
)


class RefusedError(Exception):
    """The service will not answer this, however often it is asked.

    Attributes:
        is_billed: Whether it may have done the work all the same.
    """

    def __init__(self, message: str, *, is_billed: bool = False) -> None:
        """Keep the facts."""
        super().__init__(message)
        self.is_billed = is_billed


class UnansweredError(RefusedError):
    """The service has no answer to this one question; others it may answer."""


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


class EmptyReplyError(FailedError):
    """A reply in the protocol's form without an answer in it; asked again, the service may give one."""


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
            deadline: Seconds after which a request is given up, whatever still comes in; by default five times
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
        self._secrets = [value for name, value in parse_qsl(parts.query) if _SECRET_NAMES.search(name)]
        self._secrets = [value for value in (key, *self._secrets) if value]
        self._deadline = min(deadline if deadline is not None else _SILENCES * timeout, threading.TIMEOUT_MAX)
        handlers: list[urllib.request.BaseHandler] = [NoRedirect(), WatchedHttp(), WatchedHttps()]
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
        request = WatchedRequest(self._url, json.dumps(body).encode(), headers, method="POST")
        with request.watch(self._deadline):
            data, lacking = self._read(request)
        if len(data) > MAX_ANSWER_BYTES:
            raise RefusedError(f"the answer has more than {MAX_ANSWER_BYTES} bytes", is_billed=True)
        if lacking:
            raise FailedError(
                f"the connection broke: the last {lacking} bytes of the answer are lacking", is_billed=True
            )
        try:
            answer = json.loads(data)
            shown = self._without_secrets(answer)
        except (ValueError, RecursionError) as error:
            raise FailedError(self.clean(f"the answer is not JSON: {error}"), is_billed=True) from None
        if not isinstance(shown, dict):
            raise FailedError(f"the answer is a JSON {type(shown).__name__}, wanted an object", is_billed=True)
        if shown != answer:
            logger.warning("%s: an answer repeats the API key; it is kept with *** in its place.", self.shown_url)
        return shown

    def _read(self, request: "WatchedRequest") -> tuple[bytes, int]:
        """Read the answer's body, at most a little more than is allowed, and how many bytes of it are lacking."""
        late = f"timed out: no whole answer within {self._deadline:g} s"
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                data = b""
                while len(data) <= MAX_ANSWER_BYTES and (piece := response.read1(_PIECE_BYTES)):
                    data += piece
                if request.is_cut:  # which looks like the end of an answer of no announced length
                    raise TimeoutError(late)
                return data, response.length or 0  # of what the service announced; `read1` itself does not mind
        except urllib.error.HTTPError as error:
            raise self._sorted(error) from None
        except urllib.error.URLError as error:
            # Nobody was reached, unless the wait for the answer was cut off.
            timed_out = request.is_cut or isinstance(error.reason, TimeoutError)
            reason = late if request.is_cut else f"no connection: {error.reason}"
            raise FailedError(self.clean(reason), is_billed=timed_out) from None
        except (OSError, http.client.HTTPException) as error:
            reason = late if request.is_cut else f"the connection broke: {type(error).__name__}: {error}"
            raise FailedError(self.clean(reason), is_billed=True) from None

    def _sorted(self, error: urllib.error.HTTPError) -> Exception:
        """Sort an answer with an error status into one of the classes."""
        with error:
            try:
                said = error.read(_PIECE_BYTES).decode("utf-8", "replace")
            except (OSError, http.client.HTTPException):
                said = ""
        message = self.clean(f"HTTP {error.code} {error.reason}: {' '.join(said.split())}")
        names = _names_of(said)
        if error.code in (400, 403, 413, 422) and any(map(_OF_ONE_QUESTION.search, names)):
            return UnansweredError(message, is_billed=True)  # Azure bills what its filter has read
        if error.code in RETRIED and not names & _NO_QUOTA:
            return FailedError(
                message, wait=_retry_after(error.headers.get("Retry-After")), is_billed=error.code in _LATE
            )
        return RefusedError(message)

    def clean(self, message: str) -> str:
        """Return a message of bearable length without the key or a part of it, whoever wrote it."""
        for secret in self._secrets:
            message = _redacted(message.replace(secret, "***"), secret)
        message = message.encode("utf-8", "replace").decode()  # half a character could not be printed
        return message if len(message) <= _SHOWN else f"{message[: _SHOWN - 1]}…"

    def _without_secrets(self, value: Any) -> Any:
        """Return JSON with *** where a text holds a secret; words shorter than a secret (vLLM's EMPTY) stay."""
        if isinstance(value, str):
            for secret in self._secrets:
                value = _redacted(value, secret)
            return value
        if isinstance(value, list):
            return [self._without_secrets(one) for one in value]
        if isinstance(value, dict):
            return {self._without_secrets(name): self._without_secrets(one) for name, one in value.items()}
        return value


class WatchedRequest(urllib.request.Request):
    """A request whose connection is cut at its deadline.

    A socket's timeout begins anew with every byte, so that drops of a header or an endless `100 Continue` never end.

    Attributes:
        is_cut: Whether the deadline has passed.
    """

    is_cut = False
    _socket: socket.socket | None = None

    def watch(self, seconds: float) -> "_Watch":
        """Return what cuts the connection unless its block ends before."""
        return _Watch(seconds, self._cut)

    def connected(self, sock: socket.socket) -> None:
        """Take the socket of the connection."""
        self._socket = sock
        if self.is_cut:
            self._cut()

    def _cut(self) -> None:
        self.is_cut = True
        if self._socket is not None:
            # Below TLS, whose own state belongs to the thread that reads; the other side may have been faster.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Watch:
    def __init__(self, seconds: float, cut: Any) -> None:
        self._timer = threading.Timer(seconds, cut)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()


def _watched(kind: type[http.client.HTTPConnection], request: Any) -> Any:
    """Return a maker of connections that hand their sockets to the request: the bare one, and the one of TLS."""

    def make(host: str, **options: Any) -> http.client.HTTPConnection:
        """Return a connection to a host whose socket the request gets."""
        connection: Any = kind(host, **options)
        create, connect = connection._create_connection, connection.connect

        def create_watched(*args: Any, **more: Any) -> socket.socket:
            sock: socket.socket = create(*args, **more)
            request.connected(sock)
            return sock

        def connect_watched() -> None:
            connect()
            request.connected(connection.sock)

        connection._create_connection, connection.connect = create_watched, connect_watched
        return connection

    return make


class WatchedHttp(urllib.request.HTTPHandler):
    """Opens a `WatchedRequest` by http."""

    def http_open(self, req: Any) -> Any:
        """Return the answer."""
        return self.do_open(_watched(http.client.HTTPConnection, req), req)


class WatchedHttps(urllib.request.HTTPSHandler):
    """Opens a `WatchedRequest` by https."""

    def __init__(self) -> None:
        self._shared = ssl.create_default_context()
        self._shared.set_alpn_protocols(["http/1.1"])
        super().__init__(context=self._shared)

    def https_open(self, req: Any) -> Any:
        """Return the answer."""
        return self.do_open(_watched(http.client.HTTPSConnection, req), req, context=self._shared)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET, take the key to another host, and what is trusted to what is not."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow no redirect: the answer stays as it is, an error."""
        return None


def _names_of(said: str) -> set[str]:
    """Return how an error's body calls it: code and type, Azure's inner code too."""
    try:
        error = json.loads(said)["error"]
        inner = error.get("innererror")
        found = [error.get("code"), error.get("type"), inner.get("code") if isinstance(inner, dict) else None]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return set()
    return {name for name in found if isinstance(name, str)}


def _redacted(text: str, secret: str) -> str:
    """Return the text with *** for every run of letters that a secret holds as well."""
    runs = {secret[start : start + _SECRET_RUN] for start in range(len(secret) - _SECRET_RUN + 1)}
    if not any(run in text for run in runs):
        return text
    hidden = bytearray(len(text))
    for start in range(len(text) - _SECRET_RUN + 1):
        if text[start : start + _SECRET_RUN] in runs:
            hidden[start : start + _SECRET_RUN] = b"\1" * _SECRET_RUN
    pieces, shown = [], 0
    for hit in re.finditer(b"\1+", hidden):
        pieces.append(text[shown : hit.start()])
        shown = hit.end()
    return "***".join([*pieces, text[shown:]])


def _checked(url: str, *, has_key: bool) -> SplitResult:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError:  # whose words may hold a part of the URL that is a secret
        parts, host = SplitResult("", "", "", "", ""), ""
    written = f"{parts.path}?{parts.query}"
    if parts.scheme not in ("http", "https") or not host or not (written.isascii() and written.isprintable()):
        raise SamConfigurationError(f"endpoint {_shown(url)}: wanted a URL like https://host/v1.")
    if " " in written:
        raise SamConfigurationError(f"endpoint {_shown(url)}: found a space, which a URL writes as %20.")
    if parts.username is not None or parts.password is not None:
        raise SamConfigurationError(
            f"endpoint at {host}: found a user name or password in the URL; wanted the key in an environment variable."
        )
    if has_key and parts.scheme == "http" and not _is_this_machine(host):
        raise SamConfigurationError(
            f"endpoint {_shown(url)}: found plain http to another machine, which would carry the API key in the "
            "open; wanted https, or no key."
        )
    return parts


def _shown(url: str) -> str:
    """Quote an address, without what may hold a secret: its query, its fragment, a user, a port that is none."""
    bare = re.sub(r"(//|^).*@", "", re.split(r"[?#]", url)[0])
    return repr(re.sub(r":(?!//|\d+(/|$))[^/]*", ":…", bare))


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _retry_after(value: str | None) -> float | None:
    """Return seconds of the header, which holds a number or a date; None if it holds neither."""
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
