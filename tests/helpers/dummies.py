"""A model, data sets and configurations that are as small as runner, task and loaders allow."""

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import torch
from omegaconf import OmegaConf
from PIL import Image
from torch import nn

from lavis_sam.datasets.collate import collate_multi_image

SIZE = 8


class DummyModel(nn.Module):
    """Predicts a text's number of words from the mean colour of the real images; answers with the instruction.

    A sample's target tokens are the words of its answer, so batches differ in tokens as real ones do.
    """

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.frozen = nn.Linear(3, 3)
        self.trained = nn.Linear(3, 1)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
        self.frozen.requires_grad_(False)
        self.calls = []
        self.poison = None

    def forward(self, samples):
        mask = samples["image_mask"][:, None, :, None, None]
        pixels = (samples["image"] * mask).sum(dim=(2, 3, 4)) / (mask.sum(dim=(2, 3, 4)) * SIZE * SIZE)
        target = torch.tensor([float(len(text.split())) for text in samples["text_output"]])
        self.calls.append(list(samples["sample_id"]))
        per_sample = (self.trained(self.frozen(pixels)).squeeze(1) - target) ** 2
        if self.poison in samples["sample_id"]:
            per_sample = per_sample * float("nan")
        tokens = target.long()
        return {
            "loss": (per_sample * tokens).sum() / tokens.sum(),
            "per_sample_loss": per_sample,
            "target_tokens": tokens,
        }

    def encode(self, samples, instructions):
        return samples

    def loss(self, visual, instructions, targets):
        return SimpleNamespace(**self(visual))

    def generate_from(self, visual, prompts, decoding):
        return SimpleNamespace(texts=self.generate({**visual, "prompt": prompts}, **asdict(decoding)))

    def generate(self, samples, **decoding):
        return [f"{prompt} ({decoding.get('num_beams', 5)} beams)" for prompt in samples["prompt"]]

    def before_evaluation(self, **kwargs):
        pass


class DummyDataset(torch.utils.data.Dataset):
    """`length` samples with one to three images of random colours, and one to five words."""

    def __init__(self, length, prefix="s"):
        self.length, self.prefix = length, prefix
        self.drawn = []

    def __len__(self):
        return self.length

    def set_epoch(self, epoch):
        self.drawn.append((self.seed, epoch))

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return {
            "image": torch.rand(3, 1 + index % 3, SIZE, SIZE, generator=generator),
            "text_input": f"question {index}",
            "text_output": " ".join(["word"] * (1 + index % 5)),
            "sample_id": f"{self.prefix}{index}",
            "references": ["word"],
        }

    def collater(self, samples):
        return collate_multi_image(samples)


class DummyConfig(SimpleNamespace):
    """What runner and task ask of a configuration."""

    def to_dict(self):
        return {"run": OmegaConf.to_container(self.run_cfg)}


def dummy_config(folder: Path, **run) -> DummyConfig:
    """A configuration whose runs go below `folder`."""
    defaults = {"output_dir": str(folder), "device": "cpu", "init_lr": 0.05, "batch_size_train": 4, "log_freq": 1000}
    return DummyConfig(run_cfg=OmegaConf.create(defaults | run))


def write_dataset(folder: Path, records: list[dict], *, lines: bool = False) -> Path:
    """Write an annotation file, and every image that it names and that stays in `folder`."""
    for record in records:
        for name in record.get("img_list", []) if isinstance(record, dict) else []:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shade = sum(map(ord, name)) % 256
            Image.new("RGB", (12, 10), (shade, 255 - shade, 90)).save(path, format="PNG")
    path = folder / ("annotations.jsonl" if lines else "annotations.json")
    path.write_text("\n".join(map(json.dumps, records)) if lines else json.dumps(records), encoding="utf-8")
    return path


def record(identity="a", **changes) -> dict:
    """A whole record of the unified format, with changes; a change to `...` removes the key."""
    whole = {
        "id": identity,
        "img_list": ["one.png", "two.png"],
        "instruction": "What?",
        "output": "An answer.",
    } | changes
    return {key: value for key, value in whole.items() if value is not ...}
