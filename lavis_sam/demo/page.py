"""The page, in gradio: images in an order, a question, the answers of both models side by side, and heat maps."""

import html
import os
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

# Both are read when gradio is imported: it shall tell nobody that it runs, nor ask for newer versions of itself.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
import gradio

from lavis_sam.demo.examples import FOLDER, Example, load_examples
from lavis_sam.demo.heat_maps import heat_maps
from lavis_sam.demo.side_by_side import read_question, write_side_by_side
from lavis_sam.demo.switches import LAYERS, SWITCHES, choices_of, guided_by, off, switch
from lavis_sam.errors import SamError
from lavis_sam.explain.measures import explain_sample
from lavis_sam.models.guidance import ResolvedGuidance
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.models.w_former import is_trained
from lavis_sam.serving.limits import Limits, RequestRefusedError

PAPER = "https://arxiv.org/abs/2408.12867"
_WAITING = 32  # questions of all visitors; one is answered at a time
_TOKENS = 64
_HEADING = f"""# Semantic alignment: several images, one question
The other images guide what is read from each image. SAM is *Semantic Alignment for Multimodal Large Language Models*
(Wu et al., ACM MM 2024, [paper]({PAPER})). Drop images, put them in order, ask, and compare with the same model without
guidance."""
_UNTRAINED = """**SAM's layers of this model are untrained**: both answers are the same, and nothing guides.
`lavis-sam demo --checkpoint …` loads trained ones."""
_NO_GUIDANCE = "**This model has no guidance**: both answers are the same, and there are no switches."
_SCOPE = """
- It reads the images of one question together, in their order, and answers in one turn. It remembers no earlier turn.
- An answer may be wrong, and nothing on this page says how likely that is. It describes people and places as its
  training data did, with their biases; do not use it to decide about anybody.
- It sees each image at the small size of its vision encoder, and squeezed to a square: small print is lost.
- The embedded model (`tiny`) knows drawn people, furniture, icons and book covers, and errs often. What it says of a
  photograph means nothing. `--model` and `--checkpoint` load others.
- Heat maps say how far the guidance moves when a patch moves. They do not say why the model wrote a word.
- Images and questions stay in the memory of this server while they are answered, and are not written to a disk.
"""
_MEANINGS = {
    "context": "all: every image, itself too · others: without itself (the paper's text) · self: itself alone",
    "normalise": "the softmax of the weights runs over the images, or over the patches of each image",
    "weighting": "adaptive: learned weights · average: the mean",
    "positions": "the guidance is added at all positions, or at the queries alone",
    "layer_l": "where the Q-Former's state enters the W-former",
    "layer_k": "where the W-former's result enters the Q-Former; not below layer_l",
}


class _Page:
    def __init__(self, model: SemanticAlignment, limits: Limits) -> None:
        self._model, self._limits = model, limits
        self._names = [name for name in (*SWITCHES, *LAYERS) if choices_of(model)]

    def ask(
        self, images: Any, text: Any, tokens: Any, is_compared: Any, is_explained: Any, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        """Answer what the page sent: both texts as they grow, then the heat maps."""
        try:
            yield from self._answer(images, text, tokens, bool(is_compared), bool(is_explained), values)
        except (SamError, RequestRefusedError) as error:
            # As text, for gradio shows HTML; and until it is closed: its 10 seconds are too short for some readers.
            raise gradio.Error(html.escape(str(error)), duration=None, print_exception=False) from error

    def _answer(
        self, images: Any, text: Any, tokens: Any, is_compared: bool, is_explained: bool, values: tuple[Any, ...]
    ) -> Iterator[tuple[Any, ...]]:
        question = read_question(self._model, images, text, tokens, self._limits)
        guidance = switch(self._model, dict(zip(self._names, values, strict=True)))
        variants: list[ResolvedGuidance] = [guidance, off(self._model)] if is_compared else [guidance]
        texts: tuple[str, ...] = ("", "")
        yield "", "", ""
        for texts in write_side_by_side(self._model, question.asked, variants):
            yield texts[0], texts[1] if is_compared else "", gradio.skip()
        if is_explained and guidance.is_active:
            with guided_by(self._model, guidance):
                tensors = question.asked.images.transpose(0, 1)
                measures = explain_sample(self._model, tensors, question.asked.prompt)
            yield gradio.skip(), gradio.skip(), heat_maps(measures, question.images, question.names)

    def build(self) -> gradio.Blocks:
        """Lay the page out."""
        with gradio.Blocks(title="lavis-sam demo", analytics_enabled=False) as page:
            gradio.Markdown(_HEADING)
            if not is_trained(self._model):
                gradio.Markdown(_UNTRAINED if self._model.guidance.is_active else _NO_GUIDANCE)
            with gradio.Row():
                with gradio.Column(min_width=320):
                    inputs = self._inputs()
                with gradio.Column(min_width=320):
                    outputs = [
                        gradio.Textbox(label="With guidance", lines=4, elem_id="guided"),
                        gradio.Textbox(label="Without guidance", lines=4, elem_id="unguided"),
                        gradio.HTML(elem_id="heat-maps", padding=True),
                    ]
            with gradio.Accordion("What the model can and cannot do", open=False):
                gradio.Markdown(_SCOPE)
            ask, stop, question, *rest = inputs
            run = gradio.on(
                [ask.click, question.submit], self.ask, [rest[0], question, *rest[1:]], outputs,
                concurrency_id="model", concurrency_limit=1, api_visibility="private",
            )  # fmt: skip
            stop.click(None, cancels=[run], api_visibility="private")
        return page.queue(max_size=_WAITING)

    def _inputs(self) -> list[Any]:
        """Return the left side: buttons and question, then what `ask` takes beside the question."""
        images = gradio.HTML(
            [],
            html_template=(FOLDER / "image_list.html").read_text(encoding="utf-8"),
            js_on_load=(FOLDER / "image_list.js").read_text(encoding="utf-8"),
            elem_classes=["image-list"],
            most_images=self._limits.images,
            most_bytes=self._limits.bytes,
        )
        question = gradio.Textbox(
            label="Question", lines=2, max_lines=6, placeholder="What do the images have in common?"
        )
        with gradio.Row():
            for example in load_examples():
                self._example_button(example, images, question)
        with gradio.Row():
            ask = gradio.Button("Ask", variant="primary")
            stop = gradio.Button("Stop")
        is_compared = gradio.Checkbox(True, label="Compare with guidance off")
        is_explained = gradio.Checkbox(True, label="Show which patches guided")
        with gradio.Accordion("Switches of the guidance, and the answer's length", open=False):
            tokens = gradio.Slider(1, self._limits.new_tokens, min(_TOKENS, self._limits.new_tokens), step=1, label="Most tokens of an answer")  # fmt: skip  # noqa: E501
            switches = self._switches()
        return [ask, stop, question, images, tokens, is_compared, is_explained, *switches]

    def _example_button(self, example: Example, images: Any, question: Any) -> None:
        button = gradio.Button(example.title, size="sm")
        button.click(
            lambda: (example.images, example.question),
            outputs=[images, question],
            queue=False,
            api_visibility="private",
        )

    def _switches(self) -> list[Any]:
        own, choices = self._model.guidance, choices_of(self._model)
        parts: list[Any] = []
        for name in self._names:
            if name in LAYERS:
                depth = self._model.Qformer.bert.num_layers
                parts.append(gradio.Slider(1, depth, getattr(own, name), step=1, label=name, info=_MEANINGS[name]))
            else:
                value = getattr(own, name)
                shown = choices[name]
                value = value if value in shown else shown[0]
                parts.append(gradio.Radio(list(shown), value=value, label=name, info=_MEANINGS[name]))
        return parts


def make_page(model: SemanticAlignment, limits: Limits) -> FastAPI:
    """Make the web application around a model that nobody else uses."""
    css = (FOLDER / "page.css").read_text(encoding="utf-8")
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    # Files are never sent to gradio's own place for uploads, so it takes none.
    mounted: FastAPI = gradio.mount_gradio_app(
        app, _Page(model, limits).build(), "/", css=css, footer_links=["settings"], max_file_size=1, show_error=False,
        enable_monitoring=False, ssr_mode=False, pwa=False,
    )  # fmt: skip
    return mounted
