import email.utils
import json
import time

import pytest

from helpers.endpoint_server import Reply, failed, said
from lavis_sam.baselines.transport import MAX_ANSWER_BYTES, FailedError, RefusedError, Transport, UnansweredError
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


@pytest.mark.parametrize(
    "url",
    [
        "hos t/v1?api-key=hunter2",
        "https://[x/v1?api-key=hunter2",
        "https://host:hunter2/v1",
        "https://me:hunter2@[x/v1",
        "me:hunter2@host/v1",
        "ftp://host/v1#hunter2",
        "https://host\u2100x/v1?hunter2",
        "https://a..b/v1?key=hunter2",
        "https://host/v 1?key=hunter2",
        "https://host/ü?key=hunter2",
    ],
)
def test_an_address_that_is_refused_shows_no_secret(url):
    with pytest.raises(SamConfigurationError, match="endpoint ") as caught:
        Transport(url)
    assert "hunter2" not in str(caught.value)


def test_plain_http_with_a_key_shows_no_query():
    with pytest.raises(SamConfigurationError, match=r"endpoint 'http://example.org/v1': found plain http") as caught:
        Transport("http://example.org/v1?code=hunter2", key="k")
    assert "hunter2" not in str(caught.value)


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


def forever(piece, first=b""):
    def write(out):
        out.write(first)
        while True:  # until whoever asked has gone
            out.write(piece)
            out.flush()
            time.sleep(0.05)

    return write


@pytest.mark.parametrize(
    "raw",
    [
        forever(b"HTTP/1.1 100 Continue\r\n\r\n"),
        forever(b"x", first=b"HTTP/1.1 200 OK\r\nX-Slow: "),
        forever(b"H"),
        forever(b" ", first=b"HTTP/1.1 200 OK\r\n\r\n"),
        forever(b"1\r\n \r\n", first=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
    ids=["continue", "header", "status", "body without length", "chunks"],
)
def test_the_deadline_holds_for_every_part_of_an_answer(service, raw):
    service.replies = [Reply(raw=raw)]
    start = time.monotonic()
    with pytest.raises(FailedError, match=r"no whole answer within 0\.5 s") as caught:
        Transport(service.url, timeout=60, deadline=0.5).send({})
    assert time.monotonic() - start < 3
    assert caught.value.is_billed


def test_the_deadline_holds_for_the_body_of_an_error(service):
    head = b"HTTP/1.1 400 Bad\r\n\r\n"
    service.replies = [Reply(raw=forever(b"no ", first=head))]
    start = time.monotonic()
    with pytest.raises(RefusedError, match="HTTP 400"):
        Transport(service.url, timeout=60, deadline=0.5).send({})
    assert time.monotonic() - start < 3


SECRET = "sk-proj-0123456789abcdefghijk"


@pytest.mark.parametrize("echoed", [SECRET, SECRET[:-2], SECRET[5:20]])
def test_no_part_of_the_key_is_in_a_message(service, echoed):
    service.replies = [failed(401, f"the key {echoed}"), failed(401, "x" * 230 + echoed), Reply(body=b"[1")]
    for _ in range(2):
        with pytest.raises(RefusedError) as caught:
            Transport(service.url, key=SECRET).send({})
        assert not any(SECRET[start : start + 8] in str(caught.value) for start in range(len(SECRET) - 7))


def test_no_part_of_the_key_is_in_an_answer(service, caplog):
    service.replies = [Reply(body=json.dumps({"a": [f"it is {SECRET[:-1]}"], SECRET: 1, "b": "sk-proj"}).encode())]
    assert Transport(service.url, key=SECRET).send({}) == {"a": ["it is ***"], "***": 1, "b": "sk-proj"}
    assert "repeats the API key" in caplog.text


def test_a_key_in_the_query_is_a_secret_too(service):
    service.replies = [failed(403, f"no such key {SECRET} in version 2024-02-01")]
    with pytest.raises(RefusedError, match=r"no such key \*\*\* in version 2024-02-01"):
        Transport(f"{service.url}?api-key={SECRET}&api-version=2024-02-01").send({})


@pytest.mark.parametrize(
    "error",
    [
        {"code": "insufficient_quota"},
        {"code": None, "type": "insufficient_quota"},
        {"code": "billing_hard_limit_reached", "message": "x" * 2000},
    ],
)
def test_a_spent_quota_is_refused_and_a_rate_limit_is_not(service, error):
    service.replies = [Reply(429, json.dumps({"error": error}).encode()), failed(429, "insufficient_quota? no: slow")]
    with pytest.raises(RefusedError, match="HTTP 429"):
        Transport(service.url).send({})
    with pytest.raises(FailedError):
        Transport(service.url).send({})


@pytest.mark.parametrize(
    ("status", "error", "is_of_one_question"),
    [
        (400, {"code": "content_filter"}, True),
        (400, {"code": "content_policy_violation"}, True),
        (400, {"code": "400", "innererror": {"code": "ResponsibleAIPolicyViolation"}}, True),
        (400, {"code": "invalid_prompt"}, True),
        (400, {"code": "data_inspection_failed"}, True),
        (400, {"code": "context_length_exceeded"}, True),
        (400, {"code": "invalid_api_key", "message": "content_filter"}, False),
        (401, {"code": "content_filter"}, False),
        (400, "content_filter", False),
    ],
)
def test_a_refusal_of_one_question_is_told_from_one_of_all(service, status, error, is_of_one_question):
    service.replies = [Reply(status, json.dumps({"error": error}).encode())]
    with pytest.raises(RefusedError) as caught:
        Transport(service.url).send({})
    assert isinstance(caught.value, UnansweredError) == is_of_one_question


@pytest.mark.parametrize(("status", "is_billed"), [(408, True), (504, True), (524, True), (429, False), (503, False)])
def test_what_ran_into_a_timeout_on_the_way_may_be_billed(service, status, is_billed):
    service.replies = [failed(status)]
    with pytest.raises(FailedError) as caught:
        Transport(service.url).send({})
    assert caught.value.is_billed == is_billed
