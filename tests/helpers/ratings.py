"""A rating page's files, written without a browser."""

import json

from lavis_sam.synthesis.judging.ratings import FORMAT


def samples_digest(root):
    """What a page of the data set calls it."""
    return json.loads((root / "manifest.json").read_text())["sha256"]["samples.jsonl"]


def write_ratings(path, root, rater, verdicts, /, **changes):
    """`verdicts`: sample id -> (images, text)."""
    ratings = [{"id": name, "images": images, "text": text} for name, (images, text) in verdicts.items()]
    record = {"format": FORMAT, "samples": samples_digest(root), "rater": rater, "ratings": ratings, **changes}
    path.write_text(json.dumps(record))
    return path
