import json
import threading

import pytest

from helpers.endpoint_server import Reply, failed, images_of, instruction_of, said
from lavis_sam.baselines.budget import Cost, Limits
from lavis_sam.baselines.cache import AnswerCache
from lavis_sam.baselines.endpoint import EndpointModel, RequestConfig
from lavis_sam.baselines.jpeg import ImageBounds
from lavis_sam.baselines.retry import RetryPolicy
from lavis_sam.baselines.transport import MAX_ANSWER_BYTES, Transport
from lavis_sam.datasets.folder import open_folder
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.evaluation.evaluate import evaluate
from lavis_sam.files import to_json

KEY = "sk-secret-0815"


@pytest.fixture
def make(service, tmp_path):
    """An answerer of the service, which waits for nobody; `waits` has what it would have waited."""

    def answerer(*, asking=None, limits=None, waits=None, timeout=60.0, key=KEY, **more):
        return EndpointModel(
            Transport(service.url, key=key, timeout=timeout),
            asking or RequestConfig("gpt-x"),
            AnswerCache(tmp_path / "cache"),
            limits=limits,
            policy=more.pop("policy", RetryPolicy(attempts=4)),
            sleep=(waits if waits is not None else []).append,
            **more,
        )

    return answerer


def test_a_question_is_asked_as_the_api_wants_it(make, service, ask):
    assert make().answer([ask("a", "What {image#1}?", count=3)]) == ["seen: What {image#1}?"]
    ((path, headers, body),) = service.requests
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["Content-Type"] == "application/json"
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("gpt-x", 255, 0.0)
    assert [part["type"] for part in body["messages"][0]["content"]] == ["image_url"] * 3 + ["text"]
    assert [found.size for _, found in images_of(body)] == [(40, 30)] * 3


def test_images_are_sent_within_bounds_and_in_order(make, service, ask):
    asking = RequestConfig("m", images=ImageBounds(side=64, bytes=3000))
    make(asking=asking).answer([ask("a", count=2, size=(400, 100))])
    sent = images_of(service.requests[0][2])
    assert all(len(data) <= 3000 and max(found.size) <= 64 for data, found in sent)
    assert sent[0][0] != sent[1][0]
    make(asking=asking).answer([ask("b", count=1, size=(20, 10))])
    assert images_of(service.requests[1][2])[0][1].size == (20, 10)


def test_keys_of_the_request_can_be_added_and_taken_out(make, service, ask):
    extra = {"max_tokens": None, "max_completion_tokens": 300, "seed": 7}
    make(asking=RequestConfig("m", extra=extra)).answer([ask("a")])
    body = service.requests[0][2]
    assert "max_tokens" not in body
    assert (body["max_completion_tokens"], body["seed"]) == (300, 7)
    assert RequestConfig("m", extra=extra).cost("", 0).output_tokens == 300


def test_answers_come_in_order_whatever_the_threads_do(make, service, ask):
    def later_ones_first(body):
        text = instruction_of(body)
        return Reply(body=said(text[::-1]).body, delay=0.2 if text == "number 0" else 0.0)

    service.otherwise = later_ones_first
    questions = [ask(f"q{i}", f"number {i}") for i in range(7)]
    assert make(concurrency=3).answer(questions) == [q.instruction[::-1] for q in questions]
    assert service.most_together <= 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_service_is_asked_again(make, service, ask, status):
    service.replies = [failed(status), failed(status), said("at last")]
    waits = []
    assert make(waits=waits).answer([ask("a")]) == ["at last"]
    assert len(service.requests) == 3
    assert len(waits) == 2
    assert 0.5 <= waits[0] <= 1.0
    assert 1.0 <= waits[1] <= 2.0


def test_retry_after_is_waited_for(make, service, ask):
    service.replies = [failed(429, Retry_After="17"), said("yes")]
    waits = []
    assert make(waits=waits).answer([ask("a")]) == ["yes"]
    assert waits == [17.0]


def test_who_wants_too_long_a_wait_is_not_waited_for(make, service, ask):
    service.replies = [failed(429, "quota used up", Retry_After="7200")]
    with pytest.raises(SamDataError, match=r"sample 'a' at http://127.*429.*quota used up.*run again later"):
        make().answer([ask("a")])
    assert len(service.requests) == 1


def test_retries_end(make, service, ask):
    service.otherwise = lambda body: failed(500, "overloaded")
    with pytest.raises(SamDataError, match=r"sample 'a'.*HTTP 500.*overloaded.*up to 4 times"):
        make().answer([ask("a")])
    assert len(service.requests) == 4


@pytest.mark.parametrize(
    "body", [b"<html>", b'{"choices": [{"mess', b"[1]", b"\xff\xfe", b"", b"{}", b'{"choices": []}']
)
def test_a_malformed_answer_is_asked_for_again_and_then_an_error(make, service, ask, body):
    service.replies = [Reply(body=body), said("fine")]
    assert make().answer([ask("a")]) == ["fine"]
    service.otherwise = lambda _: Reply(body=body)
    with pytest.raises(SamDataError, match="sample 'b'"):
        make(policy=RetryPolicy(attempts=2)).answer([ask("b")])


def test_silence_is_a_failure(make, service, ask):
    service.replies = [Reply(delay=3.0), said("awake")]
    assert make(timeout=0.5).answer([ask("a")]) == ["awake"]
    service.replies = [Reply(delay=3.0)]
    with pytest.raises(SamDataError, match="timed out"):
        make(timeout=0.5, policy=RetryPolicy(attempts=1)).answer([ask("b")])


def test_nobody_there(tmp_path, ask):
    # Port 9 (discard) is not listening on any machine that runs tests.
    transport = Transport("http://127.0.0.1:9/v1", timeout=60)
    waits = []
    answerer = EndpointModel(
        transport, RequestConfig("m"), AnswerCache(tmp_path), policy=RetryPolicy(attempts=2), sleep=waits.append
    )
    with pytest.raises(SamDataError, match="no connection"):
        answerer.answer([ask("a")])
    assert len(waits) == 1
    assert answerer.budget.used == Cost()  # nobody was reached, so nothing is on a bill


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_is_not_repeated_and_never_shows_the_key(make, service, ask, status, caplog):
    service.otherwise = lambda body: failed(status, f"the key {KEY} is wrong")
    with pytest.raises(SamConfigurationError, match=rf"HTTP {status}.*the key \*\*\* is wrong") as caught:
        make(concurrency=2).answer([ask(f"q{i}") for i in range(8)])
    assert len(service.requests) <= 2
    assert KEY not in str(caught.value) + caplog.text


def test_a_failure_wakes_those_who_wait(service, ask, tmp_path):
    """Nobody sleeps on: the wait that the service wants is an hour, and a test has no hour."""
    turned_away = threading.Event()

    def otherwise(body):
        if instruction_of(body) == "wait":
            turned_away.set()
            return failed(429, Retry_After="3600")
        assert turned_away.wait(60)
        return failed(400)

    service.otherwise = otherwise
    policy = RetryPolicy(longest_wait=4000.0)
    answerer = EndpointModel(
        Transport(service.url, timeout=60), RequestConfig("m"), AnswerCache(tmp_path), policy=policy, concurrency=2
    )
    with pytest.raises(SamConfigurationError, match="HTTP 400"):
        answerer.answer([ask("a", "wait"), ask("b", "go")])


def test_the_rate_limit_holds_for_all_threads(make, service, ask):
    waits = []
    make(waits=waits, requests_per_minute=0.01, concurrency=3).answer([ask(f"q{i}") for i in range(5)])
    assert len(service.requests) == 5
    assert sum(waits) > 9 * 6000  # the fifth starts four times 100 minutes after the first, the others between


def test_redirects_are_not_followed(make, service, ask):
    service.otherwise = lambda body: Reply(307, b"", {"Location": f"{service.url}/elsewhere"})
    with pytest.raises(SamConfigurationError, match="HTTP 307"):
        make().answer([ask("a")])
    assert len(service.requests) == 1


def test_an_answer_is_never_paid_for_twice(make, service, ask, tmp_path):
    questions = [ask("a"), ask("b", "Other?")]
    first = make().answer(questions)
    assert len(service.requests) == 2
    service.otherwise = lambda body: failed(500)
    # A new answerer, without any request left, and under other names of the samples.
    again = make(limits=Limits(requests=0))
    assert again.answer(questions) == first
    assert len(service.requests) == 2
    assert again.budget.used == Cost()
    for path in (tmp_path / "cache").rglob("*"):
        assert path.is_dir() or KEY not in path.read_text("utf-8")


@pytest.mark.parametrize(
    "asking",
    [
        RequestConfig("other"),
        RequestConfig("gpt-x", temperature=1.0),
        RequestConfig("gpt-x", max_tokens=9),
        RequestConfig("gpt-x", extra={"seed": 1}),
    ],
)
def test_another_way_of_asking_is_another_question(make, service, ask, asking):
    make().answer([ask("a")])
    make(asking=asking).answer([ask("a")])
    assert len(service.requests) == 2


def test_an_interrupted_batch_keeps_what_was_answered(make, service, ask):
    service.replies = [said("one"), said("two"), failed(400)]
    questions = [ask(f"q{i}", f"say {i}") for i in range(3)]
    with pytest.raises(SamConfigurationError):
        make(concurrency=1).answer(questions)
    service.replies = [said("three")]
    assert make(concurrency=1).answer(questions) == ["one", "two", "three"]
    assert len(service.requests) == 4


@pytest.mark.parametrize(
    ("limits", "said_"),
    [
        (Limits(requests=1), "2 of requests; the limit is 1"),
        (Limits(requests=None, tokens=3000), "of tokens; the limit is 3,000"),
        (Limits(requests=None, spending=0.005, input_price=1, output_price=10), "of money; the limit is 0.005"),
    ],
)
def test_the_budget_refuses_before_the_request(make, service, ask, limits, said_):
    service.otherwise = lambda body: said("x", usage=None)  # so that the most it could have been is counted
    with pytest.raises(SamConfigurationError, match=said_):
        make(limits=limits, concurrency=1).answer([ask("a"), ask("b")])
    assert len(service.requests) <= 1


def test_what_the_service_counted_replaces_the_estimate(make, service, ask):
    answerer = make(limits=Limits(requests=None, tokens=4000), concurrency=1)
    answerer.answer([ask(f"q{i}") for i in range(10)])  # 10 estimates would be over the limit, 10 real ones are not
    assert answerer.budget.used == Cost(10, 100, 30)


def test_a_lost_answer_stays_on_the_bill(make, service, ask):
    service.replies = [Reply(body=b"{}"), failed(500), said("yes")]
    answerer = make()
    answerer.answer([ask("a")])
    most = RequestConfig("gpt-x").cost("What is it?", 2)
    assert answerer.budget.used == most + Cost(1, 10, 3)


def test_too_many_images_are_refused(make, service, ask):
    with pytest.raises(SamConfigurationError, match="sample 'b': found 5 images, the limit is 4"):
        make(limits=Limits(images=4)).answer([ask("a"), ask("b", count=5)])
    assert service.requests == []


def test_the_forecast_counts_what_is_not_known_yet(make, service, data_set, tmp_path):
    dataset = open_folder(data_set)
    answerer = make()
    whole = answerer.forecast(dataset)
    assert whole.requests == 4
    assert whole.output_tokens == 4 * 255
    assert whole.input_tokens > 7 * 765  # seven images
    service.otherwise = lambda body: said("a red dog")
    assert evaluate(dataset, answerer, tmp_path / "run" / "mine", name="mine", batch_size=4).count == 4
    assert make().forecast(dataset) == Cost()
    with pytest.raises(SamConfigurationError, match="found 3 images, the limit is 2"):
        make(limits=Limits(images=2)).forecast(dataset)


def test_the_key_is_not_shown_whoever_says_it(make, service, ask):
    service.otherwise = lambda body: Reply(body=json.dumps({"error": f"{KEY} is used up"}).encode())
    with pytest.raises(SamDataError, match=r"\*\*\* is used up") as caught:
        make().answer([ask("a")])
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"max_tokens": 0}, {"extra": {"n": 3}}, {"extra": {"stream": True}}])
def test_impossible_ways_of_asking(wrong):
    with pytest.raises(SamConfigurationError, match=r"wanted at least 1|not to be changed"):
        RequestConfig("m", **wrong)


def test_the_description_is_plain_and_holds_no_secret(service, make):
    described = dict(make(asking=RequestConfig("m", extra={"seed": 1})).describe())
    text = to_json(described)
    assert KEY not in text
    assert json.loads(text) == described
    assert (described["model"], described["decoding"]) == ("m", {"max_tokens": 255, "temperature": 0.0})
    assert service.url in described["endpoint"]
    assert described["extra"] == {"seed": 1}
    # Earlier runs hold these words and this key; with others none of them would go on.
    assert described["prompt"].split(", then")[0].endswith("pictures")
    assert described["pictures"] == {"side": 768, "bytes": 400_000}


FILTERED = {"error": {"code": "content_filter", "message": "the prompt was filtered"}}
NO_ANSWER = {
    "filtered request": Reply(400, json.dumps(FILTERED).encode()),
    "filtered answer": said(None, choices=[{"message": {"content": None}, "finish_reason": "content_filter"}]),
    "thoughts alone": said(
        None, choices=[{"message": {"content": None, "reasoning": "Let me see"}, "finish_reason": "length"}]
    ),
    "unclosed thoughts": said(None, choices=[{"message": {"content": "<think>Let me see"}, "finish_reason": "length"}]),
}


@pytest.mark.parametrize("reply", NO_ANSWER.values(), ids=NO_ANSWER)
def test_no_answer_is_an_error_that_names_sample_and_option(make, service, ask, reply):
    service.replies = [said("one"), reply]
    with pytest.raises(SamConfigurationError, match=r"sample 'b' at http.*--skip-refused.*answers so far are kept"):
        make(concurrency=1).answer([ask("a"), ask("b", "Other?")])
    assert len(service.requests) == 2  # and it was not asked again
    assert make().answer([ask("a")]) == ["one"]
    assert len(service.requests) == 2


@pytest.mark.parametrize("reply", NO_ANSWER.values(), ids=NO_ANSWER)
def test_no_answer_is_skipped_where_that_is_wanted(make, service, ask, reply):
    service.replies = [said("one"), reply, said("three")]
    questions = [ask("a"), ask("b", "Other?"), ask("c", "Third?")]
    model = make(concurrency=1, skip_refused=True)
    records = model.records(questions)
    assert [record["pred_response"] for record in records] == ["one", "", "three"]
    assert [record["sample_id"] for record in records if "refused" in record] == ["b"]
    # Another data set may use the name again.
    service.replies = [said("fine")]
    assert "refused" not in model.records([ask("b", "Fourth?")])[0]


EMPTY = {
    "no choices": said(None, choices=[]),
    "null in their place": said(None, choices=None),
    "a choice without a message": said(None, choices=[{"finish_reason": "error"}]),
    "a message that is null": said(None, choices=[{"message": None}]),
    "a content that is null": said(None, choices=[{"message": {"content": None}, "finish_reason": None}]),
}


@pytest.mark.parametrize("reply", EMPTY.values(), ids=EMPTY)
def test_an_empty_reply_is_one_refused_record_where_that_is_wanted(make, service, ask, reply):
    service.replies = [said("one"), reply, reply, said("three")]
    questions = [ask("a"), ask("b", "Other?"), ask("c", "Third?")]
    model = make(concurrency=1, skip_refused=True, policy=RetryPolicy(attempts=2, first_wait=0.0))
    records = model.records(questions)
    assert [record["pred_response"] for record in records] == ["one", "", "three"]
    assert ["tried up to 2 times" in record.get("refused", "") for record in records] == [False, True, False]
    # A service that is in order again is asked again: nothing of it is kept as an answer.
    service.replies = [said("two")]
    assert make().answer(questions) == ["one", "two", "three"]


@pytest.mark.parametrize("reply", EMPTY.values(), ids=EMPTY)
def test_an_empty_reply_is_an_error_that_names_the_option(make, service, ask, reply):
    service.otherwise = lambda _: reply
    with pytest.raises(SamDataError, match=r"sample 'a'.*no answer in the reply.*--skip-refused.*so far are kept"):
        make(policy=RetryPolicy(attempts=1)).answer([ask("a")])


@pytest.mark.parametrize("body", [b"{}", b'{"error": "x"}', b"<html>"])
def test_what_is_no_reply_of_this_protocol_is_never_skipped(make, service, ask, body):
    service.otherwise = lambda _: Reply(body=body)
    with pytest.raises(SamDataError, match="sample 'a'"):
        make(skip_refused=True, policy=RetryPolicy(attempts=1)).answer([ask("a")])


def test_no_answer_that_was_paid_for_is_not_asked_again(make, service, ask):
    service.replies = [NO_ANSWER["unclosed thoughts"]]
    for _ in range(2):
        with pytest.raises(SamConfigurationError, match="allow more with --max-length"):
            make().answer([ask("a")])
    assert make(skip_refused=True).answer([ask("a")]) == [""]
    assert len(service.requests) == 1


def test_thoughts_in_an_earlier_cache_are_no_answer(make, service, ask, tmp_path):
    make().answer([ask("a")])
    (path,) = (tmp_path / "cache").glob("*/*.json")
    entry = json.loads(path.read_text("utf-8"))
    del entry["thought_letters"]
    path.write_text(json.dumps({**entry, "text": "<think>A dog?</think> a dog"}), encoding="utf-8")
    assert make().answer([ask("a")]) == ["a dog"]


@pytest.mark.parametrize(
    "reply",
    [Reply(body=b" " * (MAX_ANSWER_BYTES + 1)), NO_ANSWER["filtered request"], Reply(body=b"{}")],
    ids=["too long", "filtered", "another form"],
)
def test_what_may_be_on_the_bill_is_counted(make, service, ask, reply):
    service.replies = [reply]
    model = make(policy=RetryPolicy(attempts=1))
    with pytest.raises((SamConfigurationError, SamDataError)):
        model.answer([ask("a")])
    assert model.budget.used == RequestConfig("gpt-x").cost("What is it?", 2)


@pytest.mark.parametrize(
    "count", [10**400, -5, 1.5, True, "12", 2e300], ids=["huge", "-5", "1.5", "True", "text", "2e300"]
)
def test_an_impossible_count_of_tokens_is_not_believed(make, service, ask, count, caplog):
    service.replies = [said("x", usage={"prompt_tokens": count, "completion_tokens": 3.0})]
    prices = Limits(spending=1.0, input_price=1.0, output_price=1.0)
    model = make(limits=prices)
    assert model.answer([ask("a")]) == ["x"]
    most = RequestConfig("gpt-x").cost("What is it?", 2)
    assert model.budget.used == Cost(1, most.input_tokens, 3)
    assert "usage.prompt_tokens" in caplog.text
    assert model.answer([ask("b", "Next?")]) == ["seen: Next?"]
