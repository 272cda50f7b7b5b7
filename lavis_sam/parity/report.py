"""The report on a folder of stored cases: every array on which a verdict is due, case by case."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from lavis_sam.errors import SamDataError
from lavis_sam.models.language.sequence import IGNORED
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.models.visual_path import GuidedVisualPath, VisualPath
from lavis_sam.parity import measure
from lavis_sam.parity.cases import Case, find_cases, read_case
from lavis_sam.parity.compare import (
    LOGITS_TOLERANCE,
    LOSS_TOLERANCE,
    VISUAL_TOLERANCE,
    Comparison,
    absent,
    compare_close,
    compare_equal,
    compare_gradient,
    compare_texts,
)
from lavis_sam.weights.checkpoints import library_versions

END = 2  # the end token's id, which also pads finished sequences


@dataclass(frozen=True)
class CaseReport:
    """The verdicts on one case."""

    name: str
    comparisons: list[Comparison]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return all(row.verdict != "FAIL" for row in self.comparisons)


@dataclass(frozen=True)
class Report:
    """The verdicts on a folder."""

    folder: Path
    cases: list[CaseReport]

    @property
    def passed(self) -> bool:
        """Whether every case passed (there is at least one, and each compared something)."""
        return all(case.passed for case in self.cases)

    def count(self, verdict: str) -> int:
        """Return how many comparisons ended with `verdict`."""
        return sum(row.verdict == verdict for case in self.cases for row in case.comparisons)

    def summary(self) -> str:
        """Return the result in a line."""
        verdicts = ("pass", "FAIL", "absent", "skipped")
        counts = [f"{count} {verdict}" for verdict in verdicts if (count := self.count(verdict))]
        result = "parity holds" if self.passed else "parity is BROKEN"
        return f"{result}: {', '.join(counts)} in {len(self.cases)} case(s) of {self.folder}"

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain containers."""
        return {
            "passed": self.passed,
            "summary": self.summary(),
            "folder": str(self.folder),
            "versions": library_versions(),
            "cases": [
                {"name": case.name, "passed": case.passed, "comparisons": [asdict(row) for row in case.comparisons]}
                for case in self.cases
            ],
        }


def run_folder(folder: str | Path) -> Report:
    """Run every case of a folder.

    Args:
        folder: Laid out as `lavis_sam.parity.cases` says.

    Raises:
        SamDataError: The folder holds no case, or a case lacks a file or everything that could be compared.
        SamCheckpointError: A file is damaged, or its weights do not fit the sizes.
    """
    return Report(Path(folder), [run_case(read_case(folder, name)) for name in find_cases(folder)])


def run_case(case: Case) -> CaseReport:
    """Compare everything that a case holds.

    Raises:
        SamDataError: It holds nothing that could be compared.
        SamCheckpointError: Its weights do not fit its sizes.
    """
    model = measure.build_case_model(case)
    samples = measure.read_samples(case)
    visual, streams = measure.watched_visual_path(model, samples)
    rows = [
        *_compare_visual(case, visual, streams),
        *_compare_single_images(case, model, samples),
        *_compare_language(case, model, samples, visual),
        *_compare_gradients(case, model, samples),
        *_compare_generation(case, model, samples, visual),
    ]
    if not any(row.verdict in ("pass", "FAIL") for row in rows):
        raise SamDataError(
            f"case_{case.name}_io.safetensors holds no array that can be compared (such as out.visual_tokens or "
            "out.loss). Copy the complete case."
        )
    return CaseReport(case.name, rows)


def _close(case: Case, array: str, ours: Tensor, tolerance: float = VISUAL_TOLERANCE) -> Comparison:
    return compare_close(array, ours, case.arrays[array], tolerance) if array in case.arrays else absent(array)


def _compare_visual(case: Case, visual: GuidedVisualPath, streams: measure.Streams) -> Iterator[Comparison]:
    """Yield steps 1 to 5. The authors' arrays are image by image [N, B, …], ours [B*N, …] or [B, …]."""
    batch, images = case.arrays["in.image"].shape[0], case.arrays["in.image"].shape[2]

    def by_image(packed: Tensor) -> Tensor:
        return packed.unflatten(0, (batch, images)).transpose(0, 1)

    ids = "in.qformer_input_ids"
    yield compare_equal(ids, streams.input_ids, case.arrays[ids]) if ids in case.arrays else absent(ids)
    yield _close(case, "out.vit_features", by_image(visual.features))
    if visual.context is not None and visual.context.weights is not None:
        yield _close(case, "out.adaptive_weights", visual.context.weights.transpose(0, 1).unsqueeze(-1))
        yield _close(case, "out.merged_context", visual.context.features)
    yield _close(case, "out.q_before_last", by_image(streams.q))
    yield _close(case, "out.w_before_last", streams.w)
    yield _close(case, "out.query_output", by_image(visual.extracted))
    yield _close(case, "out.visual_tokens", visual.tokens)


def _compare_single_images(case: Case, model: SemanticAlignment, samples: dict[str, Any]) -> Iterator[Comparison]:
    """Yield the first image alone: as a 4-D batch without guidance, and as a 5-D one with it."""
    first = {**samples, "image": samples["image"][:, :, 0]}
    plain = measure.visual_path(model, first)
    yield _close(case, "out.visual_tokens_4d", plain.tokens)
    _, loss = measure.language(model, samples, plain)
    yield _close(case, "out.loss_4d", loss.loss.reshape(1), LOSS_TOLERANCE)
    guided = measure.visual_path(model, {**samples, "image": samples["image"][:, :, :1]})
    yield _close(case, "out.visual_tokens_n1_5d", guided.tokens)


def _compare_language(
    case: Case, model: SemanticAlignment, samples: dict[str, Any], visual: VisualPath
) -> Iterator[Comparison]:
    """Yield step 6 in training: labels, inputs where they are attended to, logits where a target is predicted.

    The authors' sequences end in more padding than ours: they pad prompts and targets before joining them.
    """
    inputs, loss = measure.language(model, samples, visual)
    labels = case.arrays.get("in.labels")
    if labels is None:
        yield absent("in.labels")
    else:
        yield compare_equal("in.labels", *_to_one_length(inputs.labels, labels, IGNORED))
    embeddings, mask = case.arrays.get("out.inputs_embeds"), case.arrays.get("out.llm_full_attention_mask")
    if embeddings is None or mask is None:
        yield absent("out.inputs_embeds", "it, or its mask, is not in this case")
    else:
        ours = inputs.inputs_embeds[inputs.attention_mask.bool()]
        yield compare_close("out.inputs_embeds", ours, embeddings[mask.bool()], VISUAL_TOLERANCE)
    logits = case.arrays.get("out.logits")
    if logits is None or labels is None:
        yield absent("out.logits", "it, or in.labels, is not in this case")
    else:
        predicted = logits[:, :-1][labels[:, 1:] != IGNORED]
        yield compare_close("out.logits", loss.logits, predicted, LOGITS_TOLERANCE)


def _compare_gradients(case: Case, model: SemanticAlignment, samples: dict[str, Any]) -> Iterator[Comparison]:
    """Yield a training step: its loss, and the gradient of every parameter for which one is stored."""
    prefix = measure.GRADIENTS
    stored = {name.removeprefix(prefix): array for name, array in case.arrays.items() if name.startswith(prefix)}
    loss, gradients = measure.loss_and_gradients(model, samples, stored)
    yield _close(case, "out.loss", loss.reshape(1), LOSS_TOLERANCE)
    for ours, (name, theirs) in zip(gradients, stored.items(), strict=True):
        yield compare_gradient(f"{prefix}{name}", ours, theirs)
    if not stored:
        yield absent(f"{prefix}*")


def _compare_generation(
    case: Case, model: SemanticAlignment, samples: dict[str, Any], visual: VisualPath
) -> Iterator[Comparison]:
    """Yield every stored generation setting: tokens and text equal; for the greedy ones also the position ids."""
    for name in case.setting("generate", dict, default={}):
        array = f"out.gen_{name}_sequences"
        decoding = measure.read_decoding(case, name)
        if decoding.use_nucleus_sampling:
            yield Comparison(array, None, None, "skipped", "sampled, so nothing could be equal")
            continue
        result, positions = measure.generated(model, samples["text_input"], visual, decoding)
        if name == "greedy":
            yield _compare_positions(case, positions)
        theirs = case.arrays.get(array)
        if theirs is None:
            yield absent(array)
        else:
            # Libraries stop at different times once all rows have ended; what follows is end tokens.
            yield compare_equal(array, *_to_one_length(result.sequences, theirs, END))
        text = f"generated_text.{name}"
        stored = case.setting("generated_text", dict, default={}).get(name)
        yield absent(text) if stored is None else compare_texts(text, result.texts, case.texts(text))


def _compare_positions(case: Case, ours: Tensor) -> Comparison:
    array = "out.gen_position_ids"
    theirs, mask = case.arrays.get(array), case.arrays.get("out.gen_attention_mask")
    if theirs is None or mask is None:
        return absent(array, "it, or its mask, is not in this case")
    if ours.shape != theirs.shape:
        return compare_equal(array, ours, theirs)
    return compare_equal(array, ours[mask.bool()], theirs[mask.bool()])


def _to_one_length(ours: Tensor, theirs: Tensor, padding: int) -> tuple[Tensor, Tensor]:
    """Pad the shorter ids [B, T] on the right."""
    length = max(ours.shape[1], theirs.shape[1])
    return (
        F.pad(ours, (0, length - ours.shape[1]), value=padding),
        F.pad(theirs, (0, length - theirs.shape[1]), value=padding),
    )
