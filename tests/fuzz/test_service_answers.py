"""What a service may send: any bytes as an HTTP answer, any JSON as a reply, any words as a text."""

import json
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.endpoint_fixtures import image
from helpers.endpoint_server import Reply, running
from helpers.fuzzing import damaged, fuzz_settings, limited_memory
from lavis_sam.baselines.budget import Cost, Limits
from lavis_sam.baselines.cache import AnswerCache
from lavis_sam.baselines.endpoint import EndpointModel, RequestConfig
from lavis_sam.baselines.reply import read_answer, unanswered
from lavis_sam.baselines.retry import RetryPolicy
from lavis_sam.baselines.transport import FailedError, Transport
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.errors import SamConfigurationError, SamError
from lavis_sam.evaluation.model import EvaluationSample

KEY = "sk-proj-0123456789abcdefghijk"
SAMPLE = EvaluationSample(MultiImageSample(1, ("a.png",), "What?", "a dog", ("a dog",), "here"), (image(0),))
ANSWER = json.dumps(
    {
        "model": "m-1",
        "choices": [{"message": {"content": f"<think>{KEY}?</think> a dog"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 3},
    }
).encode()
FILTERED = b'{"error": {"code": "content_filter", "message": "no"}}'


def http(body, status=b"200 OK", head=b""):
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, head, len(body), body)


WHOLE = (
    http(ANSWER),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(ANSWER), ANSWER),
    b"HTTP/1.1 100 Continue\r\n\r\n" + http(ANSWER),
    http(FILTERED, b"400 Bad Request"),
    http(KEY.encode(), b"429 Slow", b"Retry-After: 7\r\n"),
)


@pytest.fixture(scope="module")
def fuzzed_service():
    with running() as found:
        yield found


def asking(service, cache, **more):
    return EndpointModel(
        Transport(service.url, key=KEY, timeout=20),
        RequestConfig("m"),
        AnswerCache(cache),
        limits=Limits(input_price=1.0, output_price=1.0, spending=100.0),
        policy=RetryPolicy(attempts=2),
        sleep=lambda seconds: None,
        **more,
    )


@given(st.sampled_from(WHOLE).flatmap(damaged), st.booleans())
@fuzz_settings(30)
def test_any_bytes_are_an_answer_or_an_error_and_stay_on_the_bill(fuzzed_service, data, skips):
    fuzzed_service.requests.clear()
    fuzzed_service.otherwise = lambda body: Reply(raw=lambda out: out.write(data))
    with tempfile.TemporaryDirectory() as cache, limited_memory(400):
        model = asking(fuzzed_service, cache, skip_refused=skips)
        record, said = None, ""
        try:
            (record,) = model.records([SAMPLE])
        except SamError as error:
            said = str(error)
        assert KEY[:8] not in said
        assert min(vars(model.budget.used).values()) >= 0
        assert model.budget.used.requests <= 2
        if record is None:
            return
        assert record["pred_response"] == record["pred_response"].encode().decode()
        assert KEY not in json.dumps(record)
        assert model.budget.used.requests >= 1
        if "refused" in record:
            assert skips
            assert record["pred_response"] == ""
            return
        before = len(fuzzed_service.requests)
        assert asking(fuzzed_service, cache, skip_refused=skips).records([SAMPLE]) == [record]
        assert len(fuzzed_service.requests) == before


TEXTS = st.text(st.characters() | st.sampled_from("<>/◁▷ \n\ud800think"))
NO_MARKS = TEXTS.filter(lambda text: not {"<", "◁"} & set(text))


def reply(content, reason="stop"):
    return {"choices": [{"message": {"content": content}, "finish_reason": reason}]}


def whole(text):
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()


@given(st.lists(NO_MARKS, min_size=1, max_size=4), st.sampled_from(["stop", "length", None]), NO_MARKS)
@fuzz_settings(300)
def test_a_text_comes_out_whole_in_one_piece_in_parts_and_behind_thoughts(texts, reason, thought):
    wanted = whole("".join(texts))
    assert read_answer(reply("".join(texts), reason))[0] == wanted
    kinds = ({"type": "text"}, {"type": "output_text"}, {})
    parts = [{**kinds[place % 3], "text": text} for place, text in enumerate(texts)]
    assert read_answer(reply([{"type": "thinking", "thinking": thought}, *parts], reason))[0] == wanted
    for first, last in (("<think>", "</think>"), ("◁think▷", "◁/think▷"), ("", "</think>")):
        text, facts = read_answer(reply(f"{first}{thought}{last}{''.join(texts)}", reason))
        assert text == wanted
        assert (unanswered(text, facts) is not None) == (not text and reason == "length")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | TEXTS
    | st.sampled_from(["text", "output_text", "refusal", "thinking", "stop", "length", "content_filter"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["message", "content", "finish_reason", "refusal", "type", "text", "prompt_tokens", "completion_tokens"]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(JSON, JSON, JSON, st.sampled_from(["stop", "length", "content_filter", None]))
@fuzz_settings(200)
def test_any_reply_has_a_text_and_a_bounded_cost(content, usage, other, reason):
    message = {"content": content, "refusal": other}
    try:
        text, facts = read_answer(
            {"choices": [{"message": message, "finish_reason": reason}], "usage": usage, "model": other}
        )
    except FailedError:
        return
    assert text == text.encode().decode()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    cost = Cost(1, *(facts["usage"].get(name, 0) for name in ("prompt_tokens", "completion_tokens")))
    assert 0 <= Limits(input_price=1e6, output_price=1e6).price(cost) < 1e13


@given(st.sampled_from([b"https://host:8000/v1", b"http://[::1]/v1", b"https://me:hunter2@host/v1"]).flatmap(damaged))
@fuzz_settings(80)
def test_any_address_is_taken_or_refused_without_its_secrets(address):
    url = address.decode("utf-8", "replace").split("?", maxsplit=1)[0].split("#", maxsplit=1)[0] + "?sig=swordfish"
    said = ""
    try:
        said = Transport(url).shown_url
    except SamConfigurationError as error:
        said = str(error)
    assert said
    assert "swordfish" not in said
