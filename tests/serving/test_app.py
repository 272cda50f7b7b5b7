"""The routes, asked by the `openai` client and by raw requests."""

import io
import json
import socket
import threading
import time
import urllib.error
import urllib.request

import openai
import pytest
import torch

from helpers.endpoint_fixtures import image
from helpers.serving import NAME, decoded, png, serving, url_of, user
from lavis_sam.serving import batcher
from lavis_sam.serving.limits import Limits

A, B, C = png(1), png(2), png(3)
SHORT = {"max_tokens": 8}


@pytest.fixture(scope="module")
def address(model):
    with serving(model, limits=Limits(pixels=10**6)) as found:
        yield found


def client_of(address, key="none"):
    return openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0)


@pytest.fixture(scope="module")
def client(address):
    with client_of(address) as found:
        yield found


def raw(address, body, kind="application/json"):
    """Post a body; the status and the answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/v1/chat/completions", data, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def until(address, line):
    """Wait until the server's counters say so."""
    for _ in range(200):
        with urllib.request.urlopen(f"{address}/metrics") as response:
            page = response.read().decode()
        if line in page:
            return
        time.sleep(0.1)
    pytest.fail(f"{line} is not in {page}")


def asked(**changes):
    return {"model": NAME, "messages": user("What?", A), **SHORT, **changes}


@pytest.mark.parametrize("images", [(A,), (A, B, C)])
@pytest.mark.parametrize("decoding", [{}, {"num_beams": 1}, {"num_beams": 2, "length_penalty": -1.0}])
def test_app_answers_of_the_openai_client_are_the_predictors(client, predictor, images, decoding):
    done = client.chat.completions.create(model=NAME, messages=user("What?", *images), **SHORT, extra_body=decoding)
    wanted = predictor.caption([decoded(data) for data in images], "What?", max_length=9, **decoding)
    assert done.choices[0].message.content == wanted
    assert done.choices[0].finish_reason in ("stop", "length")
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens
    assert 0 < done.usage.completion_tokens <= 8


def test_app_order_of_images_is_kept(client, predictor):
    for images in ((A, B), (B, A)):
        done = client.chat.completions.create(model=NAME, messages=user("What?", *images), **SHORT)
        assert done.choices[0].message.content == predictor.caption([decoded(i) for i in images], "What?", max_length=9)


def test_app_gives_n_answers(client, predictor):
    done = client.chat.completions.create(model=NAME, messages=user("What?", A), n=3, **SHORT)
    wanted = predictor.caption([decoded(A)], "What?", max_length=9, num_captions=3)
    assert [choice.message.content for choice in done.choices] == wanted


def test_app_samples_from_a_seed_as_the_predictor_does(client, predictor):
    more = {"temperature": 1.5, "top_p": 0.95, "seed": 7}
    said = [client.chat.completions.create(model=NAME, messages=user("What?", A), **SHORT, **more) for _ in range(2)]
    torch.manual_seed(7)
    wanted = predictor.caption(
        [decoded(A)], "What?", max_length=9, use_nucleus_sampling=True, num_beams=1, temperature=1.5, top_p=0.95
    )
    assert [one.choices[0].message.content for one in said] == [wanted] * 2


@pytest.mark.parametrize("sampling", [{}, {"temperature": 1.2, "seed": 3}])
def test_app_streams_the_text_that_it_gives_as_a_whole(client, sampling):
    more = {**SHORT, **sampling, "extra_body": {"num_beams": 1}}
    whole = client.chat.completions.create(model=NAME, messages=user("What?", A, B), **more)
    chunks = list(
        client.chat.completions.create(
            model=NAME, messages=user("What?", A, B), stream=True, stream_options={"include_usage": True}, **more
        )
    )
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert "".join(pieces) == whole.choices[0].message.content
    assert len(pieces) > 1
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage


def test_app_streams_in_one_piece_what_is_only_certain_at_the_end(client, predictor):
    chunks = client.chat.completions.create(
        model=NAME, messages=user("What?", A), stream=True, n=2, **SHORT, extra_body={"num_beams": 3}
    )
    said = ["", ""]
    for chunk in chunks:
        said[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert said == predictor.caption([decoded(A)], "What?", max_length=9, num_captions=2, num_beams=3)


def test_app_ends_before_a_stop_text(client):
    messages = user("What?", A)
    whole = client.chat.completions.create(model=NAME, messages=messages, **SHORT, extra_body={"num_beams": 1})
    text = whole.choices[0].message.content
    stop = text[len(text) // 2 :][:3]
    for stream in (False, True):
        done = client.chat.completions.create(
            model=NAME, messages=messages, **SHORT, stop=[stop], stream=stream, extra_body={"num_beams": 1}
        )
        said = [chunk.choices[0].delta.content or "" for chunk in done] if stream else [done.choices[0].message.content]
        assert "".join(said) == text[: text.index(stop)]


def test_app_lists_its_model(client):
    assert [model.id for model in client.models.list()] == [NAME]
    assert client.models.retrieve(NAME).id == NAME
    with pytest.raises(openai.NotFoundError, match="'tiny', which is served here"):
        client.models.retrieve("gpt-x")


@pytest.mark.parametrize(
    ("status", "changes", "message"),
    [
        (404, {"model": "gpt-x"}, "'tiny', which is served"),
        (400, {"messages": []}, "messages"),
        (400, {"messages": user("no image")}, "found no image"),
        (400, {"messages": [{"role": "wizard", "content": "?"}]}, "messages.0.role"),
        (400, {"messages": [{**user("?", A)[0], "role": "system"}]}, "images in a message of the role system"),
        (400, {"messages": user("?", *[A] * 40)}, "found 40 images, wanted at most 16"),
        (400, {"messages": user("x" * 10**6, A)}, "found 1000000 characters"),
        (400, {"messages": user("x", b"no image")}, "no readable image"),
        (400, {"messages": user("x", A[: len(A) // 2])}, "no readable image"),
        (400, {"messages": user("x", png(1, (1001, 1000)))}, "1001000 pixels; wanted at most 1000000"),
        (400, {"max_tokens": 0}, "max_tokens"),
        (400, {"max_tokens": 10**6}, "found 1000000 tokens"),
        (400, {"n": 17, "temperature": 1}, "n: found 17 answers"),
        (400, {"temperature": 3}, "temperature"),
        (400, {"stop": [""]}, "stop"),
        (400, {"num_beams": 1, "n": 2}, "num_captions is n"),
        (400, {"tool_choice": "auto"}, "tool_choice"),
        (400, {"logprobs": True}, "logprobs"),
    ],
)
def test_app_refuses_what_it_cannot_do(address, status, changes, message):
    found, answer = raw(address, asked(**changes))
    assert found == status, answer
    assert message in answer["error"]["message"]
    assert answer["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("url", ["data:image/png;base64,A", "data:text/html;base64,AAAA", "http://127.0.0.1/a.png", ""])
def test_app_refuses_broken_data_urls_and_addresses(address, url):
    part = {"type": "image_url", "image_url": {"url": url}}
    status, answer = raw(address, asked(messages=[{"role": "user", "content": [part]}]))
    assert status == 400
    assert answer["error"]["code"] == "invalid_image_url"
    assert answer["error"]["param"] == "messages.0.content.0.image_url"


def test_app_refuses_bodies_of_another_kind_or_size(address, model):
    assert raw(address, b"{")[0] == 400
    assert raw(address, b"[]")[0] == 400
    assert raw(address, asked(), kind="text/plain")[0] == 415
    with serving(model, limits=Limits(bytes=1000)) as small:
        status, answer = raw(small, b" " * 1001)
        assert (status, answer["error"]["code"]) == (413, "too_large")


def test_app_unknown_addresses_and_methods_are_errors_of_the_protocol(address):
    for path, status in (("/v1/nothing", 404), ("/v1/chat/completions", 405)):
        with pytest.raises(urllib.error.HTTPError) as found:
            urllib.request.urlopen(address + path)
        with found.value as error:
            assert error.code == status
            assert "message" in json.load(error)["error"]


def test_app_asks_for_its_key(model):
    with serving(model, key="sk-right") as address:
        for key in ("sk-wrong", "sk-righ", "ключ"):
            request = urllib.request.Request(
                f"{address}/v1/models", headers={"Authorization": f"Bearer {key}".encode()}
            )
            with pytest.raises(urllib.error.HTTPError) as found:
                urllib.request.urlopen(request)
            found.value.close()
            assert found.value.code == 401
        with client_of(address, "sk-right") as client:
            assert len(list(client.models.list())) == 1
        with urllib.request.urlopen(f"{address}/healthz") as response:
            assert json.load(response) == {"status": "ok"}


def test_app_counts(model):
    with serving(model) as address, client_of(address) as client:
        done = client.chat.completions.create(model=NAME, messages=user("What?", A, B), **SHORT)
        assert raw(address, b"{")[0] == 400
        with urllib.request.urlopen(f"{address}/metrics") as response:
            page = response.read().decode()
    assert 'lavis_sam_requests_total{status="200"} 1.0' in page
    assert 'lavis_sam_requests_total{status="400"} 1.0' in page
    assert "lavis_sam_images_total 2.0" in page
    assert f"lavis_sam_new_tokens_total {done.usage.completion_tokens}.0" in page
    assert "lavis_sam_requests_in_flight 0.0" in page


@pytest.fixture
def held(monkeypatch):
    """Hold the model until the event is set."""
    free, answer = threading.Event(), batcher.answer

    def wait(*given):
        assert free.wait(60)
        return answer(*given)

    monkeypatch.setattr(batcher, "answer", wait)
    yield free
    free.set()


def test_app_turns_away_what_does_not_fit_its_queue(model, held):
    with serving(model, limits=Limits(requests=1)) as address:
        first: list = []
        thread = threading.Thread(target=lambda: first.append(raw(address, asked())))
        thread.start()
        until(address, "in_flight 1.0")
        status, answer = raw(address, asked())
        assert (status, answer["error"]["code"]) == (429, "rate_limit_exceeded")
        held.set()
        thread.join()
        assert first[0][0] == 200


def test_app_gives_up_after_its_time(model, held):
    with serving(model, limits=Limits(seconds=0.2)) as address:
        status, answer = raw(address, asked())
        assert (status, answer["error"]["code"]) == (504, "timeout")
        held.set()


def test_app_ends_a_stream_after_the_time_of_its_request(model, monkeypatch):
    def drip(*given):
        time.sleep(1.5)  # of two seconds; a time of its own would let the stream go on for two more
        for _ in range(40):
            yield "x"
            time.sleep(0.1)

    monkeypatch.setattr(batcher, "stream", drip)
    with serving(model, limits=Limits(seconds=2.0)) as address:
        began = time.monotonic()
        request = urllib.request.Request(
            f"{address}/v1/chat/completions",
            json.dumps(asked(stream=True, num_beams=1)).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            *_, last = response.read().decode().split("\n\n")[:-1]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "timeout"
        assert 1.9 < time.monotonic() - began < 3.2
        until(address, 'requests_total{status="504"} 1.0')


@pytest.mark.parametrize("stream", [False, True])
def test_app_forgets_clients_that_have_left(model, stream):
    body = json.dumps(asked(stream=stream, max_tokens=200, min_tokens=200)).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}"
    with serving(model) as address:
        place = ("127.0.0.1", int(address.rpartition(":")[2]))
        for sent in (body, body[: len(body) // 2]):
            with socket.create_connection(place) as connection:
                connection.sendall(f"{head}\r\n\r\n".encode() + sent)
                if stream and sent == body:
                    assert b"200 OK" in connection.recv(15)
        until(address, 'requests_total{status="499"} 2.0')
        until(address, "in_flight 0.0")
        assert raw(address, asked())[0] == 200


def test_app_an_error_of_the_model_is_one_of_the_server(model, monkeypatch):
    def fail(*given):
        raise RuntimeError("secret")

    monkeypatch.setattr(batcher, "answer", fail)
    with serving(model) as address:
        status, answer = raw(address, asked())
    assert status == 500
    assert "secret" not in answer["error"]["message"]


def test_app_image_urls_may_be_jpeg(client):
    buffer = io.BytesIO()
    image(5).save(buffer, format="JPEG")
    part = {"type": "image_url", "image_url": {"url": url_of(buffer.getvalue(), "jpeg"), "detail": "low"}}
    done = client.chat.completions.create(model=NAME, messages=[{"role": "user", "content": [part]}], **SHORT)
    assert done.choices[0].message.content
