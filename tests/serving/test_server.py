"""The socket; what SIGTERM does is in the integration tests."""

import pytest
from fastapi import FastAPI

from lavis_sam.errors import SamConfigurationError
from lavis_sam.serving.server import address_of, bind, run_server


def test_server_two_on_one_port_is_a_clear_error():
    with bind("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        assert address_of(bound) == f"http://127.0.0.1:{port}"
        with pytest.raises(SamConfigurationError, match=f"127.0.0.1:{port}: cannot serve there.*--port"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 300, "1.2.3.4"])
def test_server_addresses_that_cannot_be_had(host):
    with pytest.raises(SamConfigurationError, match="cannot serve there"):
        bind(host, 0)


def test_server_shows_version_6_addresses_in_brackets():
    class Bound:
        def getsockname(self):
            return ("::1", 8000, 0, 0)

    assert address_of(Bound()) == "http://[::1]:8000"


def test_server_that_does_not_start_is_an_error():
    async def lifespan(app):
        raise RuntimeError("no")
        yield

    with pytest.raises(SamConfigurationError, match="did not start"):
        run_server(FastAPI(lifespan=lifespan), bind("127.0.0.1", 0))
