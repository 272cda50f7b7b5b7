"""Questions paid once and within an account, whatever the service does and however many ask."""

import json
import threading

import pytest

from helpers.endpoint_fixtures import no_key, service  # noqa: F401 (fixtures)
from helpers.endpoint_server import failed, said
from helpers.processes import clean_process
from lavis_sam.baselines.budget import Cost, Limits
from lavis_sam.baselines.retry import RetryPolicy
from lavis_sam.baselines.transport import Transport
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.backends import chat_service
from lavis_sam.synthesis.backends.chat_service import Account, ChatService


def asking(url, folder, limits=None, **more):
    more.setdefault("policy", RetryPolicy(attempts=2, first_wait=0.0))
    request = {"model": "m-1", "max_tokens": 20, "temperature": 0.0}
    return ChatService(Transport(url, timeout=10), request, folder, limits or Limits(), **more)


def test_an_answer_is_paid_once_over_threads_and_runs(service, tmp_path):  # noqa: F811
    service.otherwise = lambda body: said("In a park")
    first = asking(service.url, tmp_path)
    assert first.ask(["a", "a", "a", "b"]) == ["In a park"] * 4
    assert len(service.requests) == 2
    assert first.account.used == Cost(2, 20, 6)  # what the service counted, not the most it could be
    assert asking(service.url, tmp_path).ask(["b"]) == ["In a park"]
    assert len(service.requests) == 2


def test_the_prompt_is_one_user_turn(service, tmp_path):  # noqa: F811
    service.otherwise = lambda body: said("In a park")
    asking(service.url, tmp_path).ask(["Where?"])
    path, _, body = service.requests[0]
    assert path == "/v1/chat/completions"
    assert body == {
        "model": "m-1",
        "max_tokens": 20,
        "temperature": 0.0,
        "messages": [{"role": "user", "content": "Where?"}],
    }


def test_the_account_holds_over_services_of_one_folder(service, tmp_path):  # noqa: F811
    service.otherwise = lambda body: said("In a park")
    asking(service.url, tmp_path, Limits(requests=2)).ask(["a"])
    with pytest.raises(SamConfigurationError, match="max_requests is 2"):
        asking(service.url, tmp_path, Limits(requests=2), concurrency=1).ask(["b", "c", "d"])
    assert len(service.requests) == 2
    # What is known costs nothing.
    assert asking(service.url, tmp_path, Limits(requests=2)).ask(["a", "b"]) == ["In a park"] * 2


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (Limits(requests=None, tokens=10), "max_total_tokens"),
        (Limits(requests=None, spending=0.00001, input_price=1.0, output_price=1.0), "max_spending"),
    ],
)
def test_tokens_and_money_are_limits_too(service, tmp_path, limits, name):  # noqa: F811
    with pytest.raises(SamConfigurationError, match=name):
        asking(service.url, tmp_path, limits).ask(["a"])
    assert not service.requests


def count_up(folder, times):
    account = Account(folder, Limits(requests=None))
    for _ in range(times):
        account.reserve(Cost(1, 2, 3), "here")
        account.settle(Cost(1, 2, 3), Cost(1, 1, 1))


def test_processes_share_the_account(tmp_path):
    spawned = [clean_process(count_up, tmp_path / "account", 5) for _ in range(3)]
    for process in spawned:
        process.start()
    for process in spawned:
        process.join()
    assert Account(tmp_path / "account", Limits()).used == Cost(15, 15, 15)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"requests": 1}', '{"requests": -1, "input_tokens": 0, "output_tokens": 0}']
)
def test_a_damaged_account_is_no_licence_to_spend(tmp_path, text):
    (tmp_path / "spent.json").write_text(text)
    with pytest.raises(SamConfigurationError, match="begin to count again"):
        Account(tmp_path, Limits()).reserve(Cost(1), "here")


def test_a_service_that_stumbles_is_asked_again(service, tmp_path):  # noqa: F811
    service.replies = [failed(503)]
    service.otherwise = lambda body: said("In a park")
    asked = asking(service.url, tmp_path)
    assert asked.ask(["a"]) == ["In a park"]
    assert asked.account.used.requests == 1  # the 503 is on no bill


def test_one_question_without_an_answer_leaves_the_others(service, tmp_path):  # noqa: F811
    service.otherwise = lambda body: failed(503) if body["messages"][0]["content"] == "bad" else said("In a park")
    asked = asking(service.url, tmp_path)
    with pytest.raises(SamDataError, match=r"HTTP 503.*2 times"):
        asked.ask(["a", "bad", "b"])
    before = len(service.requests)
    assert asked.ask(["a", "b"]) == ["In a park"] * 2
    assert len(service.requests) == before


def test_rubbish_is_one_question_without_an_answer(service, tmp_path):  # noqa: F811
    service.otherwise = lambda body: said({"no": "text"})
    with pytest.raises(SamDataError, match="no answer in the reply"):
        asking(service.url, tmp_path).ask(["a"])


def test_an_answer_that_a_filter_took_is_not_paid_again(service, tmp_path):  # noqa: F811
    choice = {"message": {"content": ""}, "finish_reason": "content_filter"}
    service.otherwise = lambda body: said("", choices=[choice])
    asked = asking(service.url, tmp_path)
    for _ in range(2):
        with pytest.raises(SamDataError, match="filter"):
            asked.ask(["a"])
    assert len(service.requests) == 1


def test_a_wrong_key_ends_the_run(service, tmp_path):  # noqa: F811
    service.otherwise = lambda body: failed(401, "bad key")
    with pytest.raises(SamConfigurationError, match=r"401.*--resume"):
        asking(service.url, tmp_path).ask(["a"])


def test_a_service_that_is_gone_ends_the_run_after_a_while(service, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(chat_service, "_MOST_FAILURES", 3)
    service.otherwise = lambda body: failed(503)
    asked = asking(service.url, tmp_path, concurrency=1)
    for prompt in ("a", "b"):
        with pytest.raises(SamDataError):
            asked.ask([prompt])
    with pytest.raises(SamConfigurationError, match="3 questions in a row"):
        asked.ask(["c"])


def test_what_waits_for_a_lock_gets_it(tmp_path):
    order = []
    with chat_service.waited_lock(tmp_path / "x"):
        waiter = threading.Thread(target=lambda: enter(tmp_path / "x", order))
        waiter.start()
        waiter.join(0.1)
        order.append("first")
    waiter.join()
    assert order == ["first", "second"]


def enter(folder, order):
    with chat_service.waited_lock(folder):
        order.append("second")


def test_answers_lie_in_the_folder(service, tmp_path):  # noqa: F811
    service.otherwise = lambda body: said("In a park")
    asking(service.url, tmp_path).ask(["a"])
    (entry,) = [json.loads(path.read_text()) for path in tmp_path.glob("??/*.json")]
    assert entry["text"] == "In a park"
