"""A data set's folder from a stranger: whatever stands in its records is escaped on the page, or one clear error."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.fuzzing import fuzz_settings, limited_memory
from helpers.synthesis import config
from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.configuration import SynthesisSettings
from lavis_sam.synthesis.page import write_report
from lavis_sam.synthesis.run import synthesize
from lavis_sam.synthesis.runners.local import SerialRunner

MARKUP = "<b onclick=\"x('y')\">"
VALUES = (
    MARKUP,
    None,
    True,
    -1,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    [],
    [MARKUP],
    {},
    {MARKUP: MARKUP},
    "\ud800",
)
FILES = ("manifest.json", "samples.jsonl", "rejections.jsonl")


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """A finished set, and the records of its three files."""
    root = tmp_path_factory.mktemp("page") / "set"
    plain = config(quality={"mask.area": {"min": 0.45}}, run={"attempts": 40})
    synthesize(SynthesisSettings.from_config(plain), root, num=3, seed=1, runner=SerialRunner())
    records = {name: [json.loads(line) for line in (root / name).read_text("utf-8").splitlines()] for name in FILES[1:]}
    return root, {"manifest.json": json.loads((root / "manifest.json").read_text("utf-8")), **records}


def places(node, above=()):
    """Every (path of keys) in a document."""
    found = [above] if above else []
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        found += places(value, (*above, key))
    return found


@st.composite
def changed(draw, documents):
    documents = copy.deepcopy(documents)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([path for path in places(documents) if len(path) > 1]))
        node = documents
        for key in path[:-1]:
            node = node[key]
        match draw(st.sampled_from(["value", "value", "value", "key", "gone"])):
            case "value":
                node[path[-1]] = copy.deepcopy(draw(st.sampled_from(VALUES)))
            case "key" if isinstance(node, dict):
                node[MARKUP] = node.pop(path[-1])
            case _:
                del node[path[-1]]
    return documents


@given(st.data())
@fuzz_settings(30)
def test_any_records_are_escaped_or_refused(strange, data):
    root, documents = strange
    documents = data.draw(changed(documents))
    (root / FILES[0]).write_text(json.dumps(documents[FILES[0]]), encoding="utf-8")
    for name in FILES[1:]:
        (root / name).write_text("".join(json.dumps(one) + "\n" for one in documents[name]), encoding="utf-8")
    page = root.parent / "page.html"
    page.unlink(missing_ok=True)
    try:
        with limited_memory(800):
            write_report(root, page)
    except SamDataError:
        assert not page.exists()
        return
    assert MARKUP not in page.read_text("utf-8")
