"""Evaluations of the small model that may be of several processes, whose batches are noted."""

import json

import torch

from helpers.dummies import dummy_config
from helpers.models import TEXTS, small_model
from lavis_sam import distributed
from lavis_sam.datasets.collate import collate_multi_image
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.evaluation.batch_memory import SamMemory
from lavis_sam.models.decoding import Decoding
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask

DECODING = {"num_beams": 1, "max_length": 8}  # several beams: words would count more than samples


class Ragged(torch.utils.data.Dataset):
    """Samples of one to four images, which say beforehand how large they are."""

    def __init__(self, counts):
        self.annotation = [
            MultiImageSample(f"s{i}", ("p",) * count, TEXTS[i % len(TEXTS)], "a dog", ("a dog",), "here")
            for i, count in enumerate(counts)
        ]

    def __len__(self):
        return len(self.annotation)

    def __getitem__(self, index):
        sample, generator = self.annotation[index], torch.Generator().manual_seed(index)
        return {
            "image": torch.randn(3, len(sample.images), 28, 28, generator=generator),
            "text_input": sample.instruction,
            "text_output": sample.output,
            "sample_id": sample.id,
            "references": list(sample.references),
        }

    def collater(self, samples):
        return collate_multi_image(samples)


def evaluate(folder, counts, *, samples_of_the_largest):
    """Evaluate in `folder`, each batch within the bytes of that many samples of four images and 40 tokens.

    Each process leaves its batches, as [samples, bytes], in `folder`/batches-<rank>.json; returns the bound in bytes.
    """
    model, batches = small_model(), []
    memory, steps = SamMemory(model, Decoding(**DECODING)), model.visual_path
    bound = samples_of_the_largest * memory.batch_bytes(1, 4, 40)

    def noted(model, samples, instructions):
        text = max(len(model.llm_tokenizer.encode(instruction)) for instruction in instructions)
        images = int(samples["image_mask"].sum(dim=1).max())
        batches.append([len(instructions), memory.batch_bytes(len(instructions), images, text)])
        return steps(model, samples, instructions)

    model.visual_path = noted
    model.before_evaluation = lambda **_: None  # LAVIS's
    keys = {"evaluate": True, "test_splits": ["test"], "num_workers": 0, "job_id": "run", "decoding": DECODING}
    config = dummy_config(folder, **keys, timeout_minutes=2.0, batch_gb_eval=bound / 1e9)
    RunnerSam(config, MultiImageCaptioningTask(DECODING), model, {"s": {"test": Ragged(counts)}}).train()
    (folder / f"batches-{distributed.rank()}.json").write_text(json.dumps(batches))
    return bound
