"""A vision model's service on this machine, which answers as it is told and remembers what it was asked."""

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image


@dataclass
class Reply:
    """What the service says: an HTTP status, headers, a body; after `delay` seconds, or one byte every so often.

    Attributes:
        raw: Writes into the open connection in place of all this.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop_seconds: float = 0.0
    raw: Callable[[Any], None] | None = None


def said(text: Any, **more: Any) -> Reply:
    """A model's answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 3}
    return Reply(body=json.dumps({"model": "m-1", "choices": [choice], "usage": usage, **more}).encode())


def failed(status: int, text: str = "no", **headers: str) -> Reply:
    """An error of the service."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps({"error": {"message": text}}).encode(), named)


@dataclass
class Service:
    """A running service.

    Attributes:
        url: Its base.
        replies: Said in this order, one a request; then `otherwise`.
        otherwise: Request body -> what is said when no reply is left.
        requests: (path, headers, body) of every request so far.
    """

    url: str = ""
    replies: list[Reply] = field(default_factory=list)
    otherwise: Callable[[dict[str, Any]], Reply] = lambda body: said(f"seen: {instruction_of(body)}")
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    together: int = 0
    most_together: int = 0


def instruction_of(body: dict[str, Any]) -> str:
    """The text of a request."""
    return body["messages"][0]["content"][-1]["text"]


def images_of(body: dict[str, Any]) -> list[tuple[bytes, Image.Image]]:
    """The images of a request: JPEG and what is in it."""
    urls = [part["image_url"]["url"] for part in body["messages"][0]["content"] if part["type"] == "image_url"]
    data = [base64.b64decode(url.removeprefix("data:image/jpeg;base64,"), validate=True) for url in urls]
    return [(one, Image.open(io.BytesIO(one), formats=["JPEG"])) for one in data]


@contextmanager
def running() -> Iterator[Service]:
    """A service on a free port of the loopback device, until the block ends."""
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with service.lock:
                service.requests.append((self.path, dict(self.headers), body))
                reply = service.replies.pop(0) if service.replies else None
                service.together += 1
                service.most_together = max(service.most_together, service.together)
            reply = reply or service.otherwise(body)
            time.sleep(reply.delay)
            with service.lock:
                service.together -= 1
            try:
                if reply.raw is not None:
                    self.close_connection = True
                    return reply.raw(self.wfile)
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                for start in range(len(reply.body)) if reply.drop_seconds else ():
                    self.wfile.write(reply.body[start : start + 1])
                    time.sleep(reply.drop_seconds)
                if not reply.drop_seconds:
                    self.wfile.write(reply.body)
            except OSError:  # whoever asked has gone
                self.close_connection = True

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)
