"""Draw docs/explain.png: what `SamPredictor.explain` shows of three packaged photographs.

    python tools/make_explanation.py [--out docs/explain.png]

Untrained layers guide nothing, so the tiny model's are trained first, on the photographs that come with the package and
for as long as `make demo` trains (half a minute on one core, the same numbers each time). Its base is random: the
image shows how an explanation is read, not what SAM finds.
"""

import argparse
import io
import json
from pathlib import Path

import torch
from PIL import Image

from lavis_sam import SamPredictor
from lavis_sam.datasets.collate import collate_multi_image
from lavis_sam.datasets.images import image_tensor, to_rgb
from lavis_sam.files import write_bytes
from lavis_sam.weights.packaged import PACKAGE

REPOSITORY = Path(__file__).resolve().parent.parent
PHOTOGRAPHS = PACKAGE / "assets" / "photographs"
SHOWN, QUESTION = ("cat_eyes", "coffee_cup", "cat_nose"), "Which animal can be seen in the images?"
# As projects/sam/tiny/train.yaml has them.
STEPS, BATCH_SIZE, RATE = 48, 6, 1e-2
# So many colours that nobody misses one, in a third of the bytes.
COLOURS = 256


def main() -> None:
    """Train, explain, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "explain.png")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # more threads add numbers up in another order
    torch.manual_seed(0)
    predictor = SamPredictor.from_pretrained("tiny", device="cpu")
    losses = train(predictor)
    explained = predictor.explain([PHOTOGRAPHS / f"{name}.jpg" for name in SHOWN], QUESTION)
    file = io.BytesIO()
    drawn = explained.draw().quantize(COLOURS, kmeans=2, dither=Image.Dither.NONE)
    drawn.save(file, format="PNG", optimize=True)
    write_bytes(arguments.out, file.getvalue())
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}; {arguments.out}: {len(file.getvalue()) / 1e3:.0f} kB")


def train(predictor: SamPredictor) -> list[float]:
    """Train what is trainable on the packaged photographs; the loss of each step."""
    model = predictor.model
    samples = json.loads((PHOTOGRAPHS / "annotations.json").read_text(encoding="utf-8"))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=RATE)
    losses = []
    for step in range(STEPS):
        chosen = [samples[(step * BATCH_SIZE + place) % len(samples)] for place in range(BATCH_SIZE)]
        loss = model(batch_of(chosen, predictor.image_size))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    model.eval()
    return losses


def batch_of(samples: list[dict], size: int) -> dict:
    """A padded batch of annotated samples."""
    return collate_multi_image(
        [
            {
                "image": torch.stack([tensor_of(name, size) for name in sample["img_list"]], dim=1),
                "text_input": sample["instruction"],
                "text_output": sample["output"],
                "sample_id": sample["id"],
            }
            for sample in samples
        ]
    )


def tensor_of(name: str, size: int) -> torch.Tensor:
    """A packaged photograph, as the vision encoder sees it."""
    return image_tensor(to_rgb(PHOTOGRAPHS / name, name), size)


if __name__ == "__main__":
    main()
