import email.utils
import time

import pytest

from helpers.endpoint_server import Reply, failed, said
from lavis_sam.baselines.transport import MAX_ANSWER_BYTES, FailedError, RefusedError, Transport
from lavis_sam.errors import SamConfigurationError


@pytest.mark.parametrize("end", ["", "/", "/chat/completions", "/chat/completions/"])
def test_base_and_full_address_are_the_same(end):
    assert Transport(f"https://host/v1{end}").shown_url == "https://host/v1/chat/completions"


def test_a_query_is_sent_but_not_shown(service):
    service.replies = [said("x")]
    transport = Transport(f"{service.url}?api-version=1")
    assert "api-version" not in transport.shown_url
    transport.send({})
    assert service.requests[0][0] == "/v1/chat/completions?api-version=1"


@pytest.mark.parametrize(
    "url", ["", "host/v1", "ftp://host/v1", "file:///etc/passwd", "https://", "http://[x", "http://h:x"]
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(SamConfigurationError, match="https://host/v1"):
        Transport(url)


def test_a_key_never_travels_in_the_open():
    with pytest.raises(SamConfigurationError, match="plain http to another machine"):
        Transport("http://example.org/v1", key="k")
    with pytest.raises(SamConfigurationError, match="user name or password") as caught:
        Transport("https://user:hunter2@example.org/v1")
    assert "hunter2" not in str(caught.value)
    Transport("http://example.org/v1")
    Transport("http://localhost:8000/v1", key="k")
    Transport("http://[::1]:8000/v1", key="k")


@pytest.mark.parametrize("key", ["", "a b", "a\nb", "ä"])
def test_a_key_is_one_word(key):
    with pytest.raises(SamConfigurationError, match="one plain word") as caught:
        Transport("https://host/v1", key=key)
    assert not key or key not in str(caught.value)


def test_without_a_key_none_is_sent(service):
    Transport(service.url).send({"messages": [{"content": [{"text": "x"}]}]})
    assert "Authorization" not in service.requests[0][1]


def test_an_endless_answer_is_refused(service):
    service.replies = [Reply(body=b" " * (MAX_ANSWER_BYTES + 1))]
    with pytest.raises(RefusedError, match="more than"):
        Transport(service.url, timeout=60).send({})


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("3", 3.0), ("0.5", 0.5), ("-4", 0.0), ("soon", None), ("nan", None), (None, None)],
)
def test_the_wait_that_a_service_wants(service, value, wanted):
    service.replies = [failed(429, **({"Retry_After": value} if value else {}))]
    with pytest.raises(FailedError) as caught:
        Transport(service.url).send({})
    assert caught.value.wait == wanted
    assert not caught.value.is_billed


def test_the_wait_may_be_a_date(service):
    service.replies = [failed(503, Retry_After=email.utils.formatdate(time.time() + 1000, usegmt=True))]
    with pytest.raises(FailedError) as caught:
        Transport(service.url).send({})
    assert 0 < caught.value.wait <= 1001


def test_a_service_that_hangs_up(service):
    service.replies = [Reply(body=b"{}", headers={"Content-Length": "100"})]
    with pytest.raises(FailedError, match="the last 98 bytes") as caught:
        Transport(service.url, timeout=60).send({})
    assert caught.value.is_billed


def test_an_answer_in_drops_meets_the_deadline(service):
    """Each drop ends a silence, so that only the total can end the request."""
    service.replies = [Reply(body=b" " * 40, drop_seconds=0.1)]
    start = time.monotonic()
    with pytest.raises(FailedError, match=r"no whole answer within 0\.5 s") as caught:
        Transport(service.url, timeout=60, deadline=0.5).send({})
    assert time.monotonic() - start < 3
    assert caught.value.is_billed
