"""Write evaluation_golden.json: what InstructBLIP's evaluation preprocessing makes of one image.

    python tests/processors/make_evaluation_golden.py

Computed by Pillow and numpy from the definition alone, in double precision: bicubic to 224 x 224 without keeping the
aspect, divided by 255, CLIP's mean and standard deviation. Every 14th pixel is stored, and the mean of each channel.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

SIDE, STEP = 224, 14
MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
STD = np.array([0.26862954, 0.26130258, 0.27577711])
GOLDEN = Path(__file__).with_name("evaluation_golden.json")


def image() -> Image.Image:
    """Gradients, an edge and a little noise, 321 x 180: sensitive to kernel, rounding and aspect."""
    y, x = np.mgrid[0:180, 0:321]
    waves = np.stack([x * 255 / 320, y * 255 / 179, 127.5 + 127.5 * np.sin(x / 7 + y / 11)], axis=-1)
    waves[60:120, 100:220] = 255 - waves[60:120, 100:220]
    noise = (x * 7919 + y * 104729) % 17 - 8
    return Image.fromarray((waves + noise[..., None]).clip(0, 255).astype(np.uint8))


def preprocessed() -> np.ndarray:
    """[3, 224, 224] in double precision."""
    resized = image().resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return ((np.asarray(resized, dtype=np.float64) / 255 - MEAN) / STD).transpose(2, 0, 1)


if __name__ == "__main__":
    values = preprocessed()
    sampled = values[:, ::STEP, ::STEP].round(7).tolist()
    GOLDEN.write_text(json.dumps({"every_14th": sampled, "mean": values.mean(axis=(1, 2)).round(7).tolist()}) + "\n")
