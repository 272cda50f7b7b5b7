"""Draw docs/explain.png: what `SamPredictor.explain` shows of three images that share an object.

    python tools/make_explanation.py [--out docs/explain.png] [--seed 3]

The images are the first three of a held-out group that the synthesis draws, the model is the embedded one: for a seed,
the same figure each time.
"""

import argparse
import io
import tempfile
from pathlib import Path

import torch
from PIL import Image

from lavis_sam import SamPredictor
from lavis_sam.files import write_bytes
from lavis_sam.synthesis.configuration import SynthesisSettings, read_config
from lavis_sam.synthesis.dataset_writer import SAMPLES, read_lines
from lavis_sam.synthesis.run import synthesize
from lavis_sam.synthesis.runners.local import SerialRunner

REPOSITORY = Path(__file__).resolve().parent.parent
GROUPS = REPOSITORY / "projects" / "sam" / "tiny" / "data" / "groups.yaml"
SHOWN = 3
# So many colours that nobody misses one, in a third of the bytes.
COLOURS = 256


def main() -> None:
    """Draw a group, explain it, draw that."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "explain.png")
    parser.add_argument("--seed", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # more threads add numbers up in another order
    settings = SynthesisSettings.from_config(read_config(str(GROUPS)), str(GROUPS))
    with tempfile.TemporaryDirectory() as folder:
        group = Path(folder) / "group"
        synthesize(settings, group, num=1, seed=arguments.seed, runner=SerialRunner())
        (sample,) = read_lines(group / SAMPLES)
        images = [group / image["file"] for image in sample["pictures"][:SHOWN]]
        predictor = SamPredictor.from_pretrained("tiny", device="cpu")
        explained = predictor.explain(images, sample["instruction"])
    file = io.BytesIO()
    drawn = explained.draw().quantize(COLOURS, kmeans=2, dither=Image.Dither.NONE)
    drawn.save(file, format="PNG", optimize=True)
    write_bytes(arguments.out, file.getvalue())
    print(f"{sample['instruction']}\n{sample['output']}\n{arguments.out}: {len(file.getvalue()) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
