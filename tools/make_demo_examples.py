"""Make the examples of `lavis-sam demo`: a few held-out samples of the synthesis, in lavis_sam/assets/demo.

    python tools/make_demo_examples.py [--work output/demo_examples]

Some minutes on one core; the work folder keeps the whole samples, and is used again if it is there. What the images
show was drawn here, in front of panoramas that are CC0 (lavis_sam/assets/synthesis/NOTICE.md).
"""

import argparse
import io
import json
import subprocess
import sys
from pathlib import Path

from PIL import Image

from lavis_sam.datasets.images import to_rgb
from lavis_sam.demo.examples import EXAMPLES_FILE, FOLDER
from lavis_sam.files import write_bytes, write_json

SEED, SAMPLES = 21, 2
# Title on the page, configuration of the synthesis, place of the sample in what it makes.
CHOSEN = (
    ("Five images, one lamp", "groups", 1),
    ("What has changed?", "changes", 1),
    ("How does the story end?", "stories", 0),
)
SIDE, QUALITY = 256, 85


def main() -> None:
    """Make the samples, and copy the chosen ones, smaller."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("output/demo_examples"))
    work = parser.parse_args().work
    examples = []
    for title, config, place in CHOSEN:
        folder = work / config
        command = ["synthesize", "--config", config, "--out", folder, "--num", SAMPLES, "--seed", SEED, "--resume"]
        subprocess.run([sys.executable, "-m", "lavis_sam.cli", *map(str, command)], check=True)
        sample = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))[place]
        names = []
        for number, name in enumerate(sample["img_list"], start=1):
            file = io.BytesIO()
            image = to_rgb(folder / name, name).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            image.save(file, format="JPEG", quality=QUALITY, optimize=True)
            names.append(f"{config}_{number}.jpg")
            write_bytes(FOLDER / names[-1], file.getvalue())
        examples.append(
            {"title": title, "question": sample["instruction"], "reference": sample["output"], "images": names}
        )
    write_json(FOLDER / EXAMPLES_FILE, examples)
    print(f"{len(examples)} examples in {FOLDER}")


if __name__ == "__main__":
    main()
