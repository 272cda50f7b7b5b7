"""Regenerate the photographs of `lavis_sam/assets/photographs` from scikit-image's wheel.

    pip download --no-deps scikit-image==0.26.0 --dest /tmp/wheel
    python tools/make_photographs.py /tmp/wheel/scikit_image-0.26.0-*.whl

Every photograph that is used is CC0 or in the public domain by the wheel's own documentation
(`skimage/data/_fetchers.py`); NOTICE lists them with their photographers. The wheel's stereo pair (motorcycle) has no
stated licence and stays out.
The texts in `annotations.json` are written by hand and are not touched here.
"""

import argparse
import hashlib
import io
import zipfile
from pathlib import Path
from typing import NamedTuple

from PIL import Image

LARGEST_SIDE = 256
JPEG_QUALITY = 88
DESTINATION = Path(__file__).resolve().parent.parent / "lavis_sam" / "assets" / "photographs"

# The first 16 hexadecimal digits of each source file's SHA-256, so that another image cannot slip in under a licence.
SOURCES = {
    "astronaut.png": "88431cd9653ccd53",
    "brick.png": "7966caf324f6ba84",
    "camera.png": "b0793d2adda0fa6a",
    "chelsea.png": "596aa1e7cb875eb7",
    "coffee.png": "cc02f8ca188b167c",
    "grass.png": "b6b6022426b38936",
    "gravel.png": "c48615b451bf1e60",
    "hubble_deep_field.jpg": "3a19c5dd8a927a93",
    "retina.jpg": "38a07f36f27f095e",
    "rocket.jpg": "c2dd0de7c538df8d",
}


class Crop(NamedTuple):
    """A view of a source image: left, upper, right and lower edge in source pixels."""

    source: str
    box: tuple[int, int, int, int]


CROPS = {
    "astronaut": Crop("astronaut.png", (0, 0, 512, 512)),
    "astronaut_portrait": Crop("astronaut.png", (100, 0, 400, 300)),
    "astronaut_suit": Crop("astronaut.png", (20, 230, 512, 512)),
    "brick_lower": Crop("brick.png", (150, 240, 512, 512)),
    "brick_upper": Crop("brick.png", (0, 0, 330, 250)),
    "cameraman": Crop("camera.png", (0, 0, 512, 512)),
    "cameraman_head": Crop("camera.png", (100, 40, 400, 290)),
    "cameraman_tripod": Crop("camera.png", (200, 120, 420, 512)),
    "cat": Crop("chelsea.png", (0, 0, 451, 300)),
    "cat_eyes": Crop("chelsea.png", (100, 60, 380, 190)),
    "cat_nose": Crop("chelsea.png", (160, 110, 410, 300)),
    "coffee": Crop("coffee.png", (0, 0, 600, 400)),
    "coffee_cup": Crop("coffee.png", (150, 10, 430, 290)),
    "coffee_spoon": Crop("coffee.png", (190, 170, 490, 390)),
    "galaxies_left": Crop("hubble_deep_field.jpg", (0, 0, 500, 500)),
    "galaxies_right": Crop("hubble_deep_field.jpg", (500, 340, 1000, 840)),
    "grass_left": Crop("grass.png", (0, 120, 256, 376)),
    "grass_right": Crop("grass.png", (256, 0, 512, 256)),
    "gravel_left": Crop("gravel.png", (0, 256, 256, 512)),
    "gravel_right": Crop("gravel.png", (230, 0, 512, 200)),
    "retina_disc": Crop("retina.jpg", (0, 330, 700, 1030)),
    "retina_macula": Crop("retina.jpg", (480, 330, 1180, 1030)),
    "rocket": Crop("rocket.jpg", (0, 0, 640, 427)),
    "rocket_close": Crop("rocket.jpg", (240, 90, 400, 427)),
    "rocket_wide": Crop("rocket.jpg", (140, 40, 500, 427)),
}


def read_source(wheel: zipfile.ZipFile, name: str) -> Image.Image:
    """The RGB image `name` of the wheel, after comparing its bytes with SOURCES.

    Raises:
        SystemExit: The file differs from the one whose licence was read.
    """
    data = wheel.read(f"skimage/data/{name}")
    found = hashlib.sha256(data).hexdigest()
    if not found.startswith(SOURCES[name]):
        raise SystemExit(f"{name}: SHA-256 {found[:16]}…, wanted {SOURCES[name]}…; is this scikit-image 0.26.0?")
    return Image.open(io.BytesIO(data)).convert("RGB")


def make_photographs(wheel_path: Path, destination: Path) -> list[Path]:
    """Write every view of CROPS as a JPEG of at most 256 pixels a side; returns the paths."""
    destination.mkdir(parents=True, exist_ok=True)
    written = []
    with zipfile.ZipFile(wheel_path) as wheel:
        for name, (source, box) in sorted(CROPS.items()):
            image = read_source(wheel, source).crop(box)
            image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
            path = destination / f"{name}.jpg"
            image.save(path, format="JPEG", quality=JPEG_QUALITY, optimize=True)
            written.append(path)
    return written


def main() -> None:
    """Command line: the wheel, and optionally another destination."""
    parser = argparse.ArgumentParser(description="Regenerate the shipped photographs from scikit-image's wheel.")
    parser.add_argument("wheel", type=Path, help="path of the scikit-image 0.26.0 wheel")
    parser.add_argument("--out", type=Path, default=DESTINATION, help=f"destination folder (default: {DESTINATION})")
    arguments = parser.parse_args()
    paths = make_photographs(arguments.wheel, arguments.out)
    total = sum(path.stat().st_size for path in paths)
    print(f"{len(paths)} photographs, {total / 1024:.0f} KiB, in {arguments.out}")


if __name__ == "__main__":
    main()
