"""Images and questions that come with the package: held-out samples of the synthesis (tools/make_demo_examples.py).

Apart from the page, which needs gradio: these are checked without it.
"""

import base64
from dataclasses import dataclass

from lavis_sam.files import load_bytes, load_json
from lavis_sam.weights.packaged import PACKAGE

FOLDER = PACKAGE / "assets" / "demo"
EXAMPLES_FILE = "examples.json"


@dataclass(frozen=True)
class Example:
    """An example.

    Attributes:
        title: What it is, for a button.
        question: What is asked.
        reference: The answer that the synthesis wrote to it.
        images: As the page sends them: {"name": …, "url": …}.
    """

    title: str
    question: str
    reference: str
    images: list[dict[str, str]]


def load_examples() -> list[Example]:
    """Read the packaged examples."""
    return [
        Example(entry["title"], entry["question"], entry["reference"], [_image(name) for name in entry["images"]])
        for entry in load_json(FOLDER / EXAMPLES_FILE)
    ]


def _image(name: str) -> dict[str, str]:
    encoded = base64.b64encode(load_bytes(FOLDER / name)).decode("ascii")
    return {"name": name, "url": f"data:image/jpeg;base64,{encoded}"}
