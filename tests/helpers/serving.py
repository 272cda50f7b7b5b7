"""A server of ours on the loopback device, in a thread of the test's process; images as data URLs."""

import base64
import io
import threading
import time
from contextlib import contextmanager

import uvicorn
from PIL import Image

from helpers.endpoint_fixtures import image
from lavis_sam.serving.app import Service, make_app
from lavis_sam.serving.server import address_of, bind

NAME = "tiny"


def png(seed: int = 0, size: tuple[int, int] = (40, 30)) -> bytes:
    """The file of an image of noise."""
    buffer = io.BytesIO()
    image(seed, size).save(buffer, format="PNG")
    return buffer.getvalue()


def url_of(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def decoded(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def user(text: str, *images: bytes) -> list[dict]:
    """The messages of one user's turn."""
    parts = [{"type": "image_url", "image_url": {"url": url_of(data)}} for data in images]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


@contextmanager
def serving(model, **settings):
    """Serve a model and give the address; at the end everything that ran has been answered."""
    app = make_app(Service(model, NAME, **settings))
    with bind("127.0.0.1", 0) as bound:
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield address_of(bound)
        finally:
            server.should_exit = True
            thread.join()
