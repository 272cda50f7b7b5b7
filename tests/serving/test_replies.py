import json

from lavis_sam.serving.answers import Answer
from lavis_sam.serving.limits import RequestRefusedError
from lavis_sam.serving.replies import Reply, error_body, event


def test_replies_a_whole_answer():
    body = Reply("tiny", 40).whole([Answer("a", "stop", 2), Answer("b", "length", 3)])
    assert [choice["message"]["content"] for choice in body["choices"]] == ["a", "b"]
    assert [choice["finish_reason"] for choice in body["choices"]] == ["stop", "length"]
    assert body["usage"] == {"prompt_tokens": 40, "completion_tokens": 5, "total_tokens": 45}


def test_replies_chunks_share_a_name_and_are_one_line_each():
    reply = Reply("tiny", 40)
    chunks = [reply.piece(0, "two\nlines"), reply.end(0, Answer("", "stop", 1)), reply.usage([])]
    bodies = [json.loads(chunk.removeprefix(b"data: ")) for chunk in chunks]
    assert len({body["id"] for body in bodies}) == 1
    assert all(chunk.count(b"\n") == 2 and chunk.endswith(b"\n\n") for chunk in chunks)
    assert bodies[0]["choices"][0]["delta"]["content"] == "two\nlines"
    assert bodies[2]["choices"] == []


def test_replies_errors_are_the_clients_or_the_servers():
    assert error_body(RequestRefusedError("no", param="n"))["error"] == {
        "message": "no",
        "type": "invalid_request_error",
        "param": "n",
        "code": "invalid_value",
    }
    assert error_body(RequestRefusedError("no", status=503))["error"]["type"] == "server_error"
    assert event({"a": 1}).startswith(b"data: {")
