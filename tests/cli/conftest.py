"""What several tests of commands share: files of scores, a service and a data set."""

import json

import pytest

from helpers.endpoint_fixtures import data_set, no_key, service
from helpers.scored import FIXTURES

__all__ = ["data_set", "no_key", "service"]


@pytest.fixture
def story(tmp_path):
    """The authors' story predictions as a file of their exchange format."""
    stored = json.loads((FIXTURES / "metrics_story.json").read_text("utf-8"))
    path = tmp_path / "story.json"
    path.write_text(json.dumps(stored["predictions"]), encoding="utf-8")
    return path


@pytest.fixture
def worse(story):
    """The same samples with every answer the same."""
    records = [{**record, "pred_response": "the end"} for record in json.loads(story.read_text("utf-8"))]
    path = story.with_name("worse.json")
    path.write_text(json.dumps(records), encoding="utf-8")
    return path
