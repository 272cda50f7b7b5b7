"""A sample as a record of the unified format."""

import json

from lavis_sam.datasets.sample import MultiImageSample, to_record


def test_a_record_has_the_keys_of_the_unified_format_and_no_place():
    sample = MultiImageSample("x", ("a.png", "b/ü.png"), "What?", "One. Two", ("One", "Two"), "list.json[0]")
    record = to_record(sample)
    assert json.loads(json.dumps(record)) == record == {
        "id": "x",
        "img_list": ["a.png", "b/ü.png"],
        "instruction": "What?",
        "output": "One. Two",
        "references": ["One", "Two"],
    }  # fmt: skip
