"""Images come from data URLs, or from hosts that the owner named; nothing else is opened."""

import io
import itertools
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from helpers.serving import png, url_of
from lavis_sam.datasets.images import to_rgb
from lavis_sam.serving import image_urls
from lavis_sam.serving.image_urls import read_image
from lavis_sam.serving.limits import Limits, RequestRefusedError


def test_image_urls_an_image_is_what_the_vision_encoder_sees():
    found = read_image(url_of(png(1)), "here", 32, Limits())
    wanted = to_rgb(png(1), "here").resize((32, 32), Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(found), np.asarray(wanted))


def megapixels_90() -> bytes:
    """A PNG of 90 megapixels, in some kilobytes."""
    buffer = io.BytesIO()
    Image.new("1", (10_000, 9_000)).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("data:image/png;base64,####", "broken base64"),
        ("data:image/png;base64,", "no readable image"),
        ("data:image/png,AAAA", "data:image/...;base64"),
        ("file:///etc/passwd", "fetches no addresses"),
        ("http://[::1", "fetches no addresses"),
        ("https://example.org/a.png", "fetches no addresses"),
        (url_of(b"\x89PNG\r\n\x1a\n" + b"?" * 50), "no readable image"),
        (url_of(png(1)[:-40]), "no readable image"),
        (url_of(megapixels_90()), "90000000 pixels"),
    ],
)
def test_image_urls_refuses(url, message):
    with pytest.raises(RequestRefusedError) as found:
        read_image(url, "messages.0", 32, Limits())
    assert message in str(found.value)
    assert str(found.value).startswith("messages.0: found")


@pytest.fixture
def host():
    """A web server with an image, a large file, and a way to elsewhere."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/slow"):
                drops = b"HTTP/1.0 200 OK\r\nX: " if self.path == "/slow_head" else b"HTTP/1.0 200 OK\r\n\r\n"
                with suppress(OSError):  # the client has left
                    for drop in itertools.chain((drops,), itertools.repeat(b"x", 400)):
                        self.wfile.write(drop)
                        time.sleep(0.05)
                return
            self.send_response(302 if self.path == "/elsewhere" else 200)
            self.send_header("Location", "/a.png")
            self.end_headers()
            self.wfile.write(png(1) if self.path == "/a.png" else b"x" * 20_000)

        def log_message(self, *given):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_image_urls_fetches_from_hosts_that_are_allowed(host):
    found = read_image(f"http://{host}/a.png", "here", 32, Limits(), [host])
    assert np.array_equal(np.asarray(found), np.asarray(read_image(url_of(png(1)), "here", 32, Limits())))
    for path, hosts, message in (
        ("a.png", ["example.org"], "an address of example.org"),
        ("elsewhere", [host], "302"),
        ("large", [host], "more than 10000 bytes"),
    ):
        with pytest.raises(RequestRefusedError, match=message):
            read_image(f"http://{host}/{path}", "here", 32, Limits(bytes=10_000), hosts)


@pytest.mark.parametrize("path", ["slow_head", "slow_body"])
def test_image_urls_fetches_within_one_deadline(host, path, monkeypatch):
    monkeypatch.setattr(image_urls, "_FETCH_SECONDS", 0.5)
    began = time.monotonic()
    with pytest.raises(RequestRefusedError, match=f"/{path}', which gives nothing"):
        read_image(f"http://{host}/{path}", "here", 32, Limits(), [host])
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "path", ["/a b.png", "/a\tb.png", "/a\x7f.png", "/é.png", "/\ud800.png", "?\0", ":80:80/", ":port/", "/a\n\r\nX: y"]
)
def test_image_urls_names_a_malformed_address(path):
    for hosts in (["localhost"], ["localhost", "localhost:80"]):
        with pytest.raises(RequestRefusedError) as found:
            read_image(f"http://localhost{path}", "here", 32, Limits(), hosts)
        assert (found.value.status, found.value.code) == (400, "invalid_image_url")
        assert repr(f"http://localhost{path}") in str(found.value)


def test_image_urls_names_an_address_whose_host_is_no_name():
    host = "a" * 64 + ".example"  # longer than a label may be
    with pytest.raises(RequestRefusedError, match="here: found 'http://aaaa"):
        read_image(f"http://{host}/a.png", "here", 32, Limits(), [host])
    with pytest.raises(RequestRefusedError, match="here: found 'http://"):
        read_image("http://a\u2100b/a.png", "here", 32, Limits(), [host])


def test_image_urls_keeps_little_of_a_large_image():
    buffer = io.BytesIO()
    Image.new("1", (4000, 4000)).save(buffer, format="PNG")
    assert read_image(url_of(buffer.getvalue()), "here", 16, Limits()).size == (16, 16)
