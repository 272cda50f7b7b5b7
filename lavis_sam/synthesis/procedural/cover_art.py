"""Images for book covers, drawn with Pillow from simple shapes."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from lavis_sam.synthesis.procedural.icons import load_icon
from lavis_sam.synthesis.procedural.render.arrays import floats
from lavis_sam.synthesis.procedural.render.paint import Colour, mixed
from lavis_sam.synthesis.seeds import pick

BLACK, WHITE = (0, 0, 0), (255, 255, 255)


@dataclass(frozen=True)
class Canvas:
    """What an artist gets.

    Attributes:
        subject: The name of an icon that suits the book, or "".
    """

    image: Image.Image
    rng: np.random.Generator
    ground: Colour
    accent: Colour
    ink: Colour
    subject: str

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.image.size


def gradient(canvas: Canvas, top: Colour, bottom: Colour) -> None:
    """Fill the canvas from top to bottom."""
    width, height = canvas.size
    share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    rows = floats(top) * (1 - share) + floats(bottom) * share
    canvas.image.paste(Image.fromarray(np.broadcast_to(rows, (height, width, 3)).round().astype(np.uint8)))


def hills(canvas: Canvas) -> None:
    """Draw ranges of hills under a low sun or moon."""
    width, height = canvas.size
    gradient(canvas, canvas.ground, mixed(canvas.ground, canvas.accent, 0.75))
    draw = ImageDraw.Draw(canvas.image)
    radius = width * canvas.rng.uniform(0.13, 0.22)
    x, y = width * canvas.rng.uniform(0.25, 0.75), height * canvas.rng.uniform(0.50, 0.60)
    _glow(canvas, x, y, radius * 2.4, mixed(canvas.accent, WHITE, 0.5))
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=mixed(canvas.accent, WHITE, 0.55))
    for layer in range(4):
        share = layer / 3
        base = height * (0.62 + 0.10 * layer)
        xs = np.linspace(0, width, 60)
        waves = np.zeros_like(xs)
        for pace in (0.7, 1.6, 3.1):
            strength = canvas.rng.uniform(0.3, 1)
            waves += strength * np.sin(xs / width * 2 * np.pi * pace + canvas.rng.uniform(0, 6.28))
        ys = base - waves * height * (0.045 - 0.007 * layer)
        colour = mixed(mixed(canvas.ground, canvas.accent, 0.5 * (1 - share)), BLACK, 0.15 + 0.5 * share)
        draw.polygon([(0, height), *zip(xs, ys, strict=True), (width, height)], fill=colour)


def skyline(canvas: Canvas) -> None:
    """Draw a city with lit windows."""
    width, height = canvas.size
    gradient(canvas, mixed(canvas.ground, BLACK, 0.35), mixed(canvas.ground, canvas.accent, 0.6))
    draw = ImageDraw.Draw(canvas.image)
    for layer, dark in ((0, 0.35), (1, 0.75)):
        x = -width * 0.05
        while x < width:
            wide, tall = (
                width * canvas.rng.uniform(0.09, 0.17),
                height * canvas.rng.uniform(0.16, 0.34) * (1 - 0.35 * layer),
            )
            top = height - tall - height * 0.05 * (1 - layer)
            colour = mixed(canvas.ground, BLACK, dark)
            draw.rectangle((x, top, x + wide, height), fill=colour)
            if layer:
                _windows(canvas, draw, x, top, wide)
            x += wide * canvas.rng.uniform(0.95, 1.25)


def _windows(canvas: Canvas, draw: ImageDraw.ImageDraw, left: float, top: float, wide: float) -> None:
    _, height = canvas.size
    step = wide / 4
    y = top + step
    while y < height - step:
        for column in range(3):
            if canvas.rng.random() < 0.5:
                x = left + step * (column + 0.7)
                draw.rectangle((x, y, x + step * 0.5, y + step * 0.6), fill=mixed(canvas.accent, WHITE, 0.3))
        y += step * 1.3


def planet(canvas: Canvas) -> None:
    """Draw a planet with a ring among stars."""
    width, height = canvas.size
    gradient(canvas, mixed(canvas.ground, BLACK, 0.75), mixed(canvas.ground, BLACK, 0.25))
    draw = ImageDraw.Draw(canvas.image)
    for _ in range(170):
        x, y, radius = (
            canvas.rng.uniform(0, width),
            canvas.rng.uniform(0, height),
            width * canvas.rng.uniform(0.001, 0.004),
        )
        draw.ellipse(
            (x - radius, y - radius, x + radius, y + radius),
            fill=mixed(canvas.ground, WHITE, canvas.rng.uniform(0.6, 1)),
        )
    radius = width * canvas.rng.uniform(0.24, 0.32)
    x, y = width * canvas.rng.uniform(0.38, 0.62), height * canvas.rng.uniform(0.56, 0.66)
    tilt = canvas.rng.uniform(-30, 30)
    _glow(canvas, x, y, radius * 1.7, canvas.accent)
    _ring(canvas, x, y, radius, tilt, 180, 360)
    _ball(canvas, x, y, radius, canvas.accent)
    _ring(canvas, x, y, radius, tilt, 0, 180)


def _ring(canvas: Canvas, x: float, y: float, radius: float, tilt: float, start: float, end: float) -> None:
    """Draw half of a planet's ring."""
    layer = Image.new("RGBA", canvas.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    for out, thick in ((1.75, 0.10), (1.52, 0.07)):
        box = (x - radius * out, y - radius * out * 0.26, x + radius * out, y + radius * out * 0.26)
        draw.arc(box, start, end, fill=(*mixed(canvas.accent, WHITE, 0.6), 230), width=max(1, round(radius * thick)))
    layer = layer.rotate(tilt, center=(x, y), resample=Image.Resampling.BICUBIC)
    canvas.image.paste(layer, (0, 0), layer)


def _ball(canvas: Canvas, x: float, y: float, radius: float, colour: Colour) -> None:
    """Draw a lit ball with bands."""
    size = int(2 * radius)
    across, down = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    inside = across**2 + down**2
    deep = np.sqrt(np.clip(1 - inside, 0, 1))
    light = np.clip(-0.55 * across - 0.45 * down + 0.7 * deep, 0.06, 1)
    bands = 1 + 0.10 * np.sin(down * 11 + 1.2 * np.sin(across * 3)) * deep
    rgb = np.clip(floats(colour) * (light * bands)[..., None] * 1.15, 0, 255)
    alpha = np.clip((1 - inside) * radius * 0.5, 0, 1) * 255
    ball = Image.fromarray(np.dstack([rgb, alpha]).astype(np.uint8), "RGBA")
    canvas.image.paste(ball, (int(x - radius), int(y - radius)), ball)


def rays(canvas: Canvas) -> None:
    """Draw beams from one point."""
    width, height = canvas.size
    gradient(canvas, canvas.ground, mixed(canvas.ground, BLACK, 0.15))
    draw = ImageDraw.Draw(canvas.image)
    x, y, count = width * 0.5, height * canvas.rng.uniform(0.55, 0.75), 28
    turn = canvas.rng.uniform(0, 1)
    for index in range(0, count, 2):
        angles = [2 * math.pi * (index + turn + part) / count for part in (0, 1)]
        ends = [(x + 2 * height * math.cos(angle), y + 2 * height * math.sin(angle)) for angle in angles]
        draw.polygon([(x, y), *ends], fill=mixed(canvas.ground, canvas.accent, 0.35))
    _subject(canvas, 0.5, y / height, 0.50)


def tiles(canvas: Canvas) -> None:
    """Draw a pattern of circles and arcs."""
    width, height = canvas.size
    gradient(canvas, canvas.ground, canvas.ground)
    draw = ImageDraw.Draw(canvas.image)
    columns = int(canvas.rng.integers(4, 7))
    side = width / columns
    colours = [
        canvas.accent,
        mixed(canvas.accent, WHITE, 0.5),
        mixed(canvas.ground, BLACK, 0.3),
        mixed(canvas.ground, WHITE, 0.35),
    ]
    row = 0
    while row * side < height:
        for column in range(columns):
            colour = pick(canvas.rng, colours)
            x, y = column * side, row * side
            form = int(canvas.rng.integers(3))
            if form == 0:
                draw.ellipse((x + side * 0.1, y + side * 0.1, x + side * 0.9, y + side * 0.9), fill=colour)
            elif form == 1:
                corner = int(canvas.rng.integers(4))
                cx, cy = x + side * (corner % 2), y + side * (corner // 2)
                draw.pieslice(
                    (cx - side, cy - side, cx + side, cy + side),
                    (180, 270, 90, 0)[corner],
                    (270, 360, 180, 90)[corner],
                    fill=colour,
                )
            else:
                draw.polygon([(x, y + side), (x + side / 2, y), (x + side, y + side)], fill=colour)
        row += 1


def single(canvas: Canvas) -> None:
    """Draw one object on a plain ground."""
    gradient(canvas, mixed(canvas.ground, WHITE, 0.10), mixed(canvas.ground, BLACK, 0.12))
    width, height = canvas.size
    _glow(canvas, width * 0.5, height * 0.60, width * 0.62, mixed(canvas.ground, WHITE, 0.55))
    _subject(canvas, 0.5, 0.60, 0.66)


def scattered(canvas: Canvas) -> None:
    """Draw many small objects, as on wallpaper."""
    gradient(canvas, canvas.ground, canvas.ground)
    for row in range(6):
        for column in range(4):
            x, y = (column + 0.5 * (row % 2) + 0.15) / 3.7, (row + 0.5) / 6
            _subject(canvas, x, y, 0.17, float(canvas.rng.uniform(-25, 25)))


def temple(canvas: Canvas) -> None:
    """Draw columns under a gable."""
    width, height = canvas.size
    gradient(canvas, mixed(canvas.accent, WHITE, 0.35), mixed(canvas.ground, WHITE, 0.15))
    draw = ImageDraw.Draw(canvas.image)
    stone, dark = mixed(canvas.ground, BLACK, 0.25), mixed(canvas.ground, BLACK, 0.55)
    left, right, top, low = width * 0.16, width * 0.84, height * 0.52, height * 0.86
    draw.polygon([(left - width * 0.04, top), (width / 2, top - height * 0.10), (right + width * 0.04, top)], fill=dark)
    draw.rectangle((left - width * 0.02, top, right + width * 0.02, top + height * 0.03), fill=stone)
    count = 6
    step = (right - left) / count
    for index in range(count):
        x = left + step * (index + 0.22)
        draw.rectangle((x, top + height * 0.03, x + step * 0.56, low), fill=stone)
        draw.rectangle((x + step * 0.38, top + height * 0.03, x + step * 0.56, low), fill=dark)
    for index in range(3):
        grow = width * 0.025 * index
        draw.rectangle(
            (
                left - width * 0.03 - grow,
                low + height * 0.018 * index,
                right + width * 0.03 + grow,
                low + height * 0.018 * (index + 1),
            ),
            fill=mixed(stone, BLACK, 0.12 * index),
        )
    draw.rectangle((0, low + height * 0.054, width, height), fill=mixed(canvas.ground, BLACK, 0.7))


def pulse(canvas: Canvas) -> None:
    """Draw a heartbeat line on squared paper."""
    width, height = canvas.size
    gradient(canvas, mixed(canvas.ground, WHITE, 0.12), mixed(canvas.ground, BLACK, 0.2))
    draw = ImageDraw.Draw(canvas.image)
    step = width / 18
    for index in range(int(height / step) + 1):
        draw.line((0, index * step, width, index * step), fill=mixed(canvas.ground, WHITE, 0.2), width=2)
        draw.line((index * step, 0, index * step, height), fill=mixed(canvas.ground, WHITE, 0.2), width=2)
    y, form = (
        height * 0.62,
        (
            (0, 0),
            (0.16, 0),
            (0.20, -0.03),
            (0.24, 0),
            (0.29, 0),
            (0.32, 0.05),
            (0.37, -0.20),
            (0.42, 0.10),
            (0.46, 0),
            (0.56, 0),
            (0.61, -0.05),
            (0.66, 0),
            (1, 0),
        ),
    )
    line = [(x * width, y + rise * height) for x, rise in form]
    draw.line(line, fill=mixed(canvas.accent, WHITE, 0.25), width=max(3, round(width * 0.016)), joint="curve")


def bars(canvas: Canvas) -> None:
    """Draw a rising chart."""
    width, height = canvas.size
    gradient(canvas, canvas.ground, mixed(canvas.ground, BLACK, 0.25))
    draw = ImageDraw.Draw(canvas.image)
    count = 6
    tops = []
    for index in range(count):
        tall = height * (0.08 + 0.055 * index + float(canvas.rng.uniform(-0.02, 0.02)))
        x = width * (0.14 + 0.125 * index)
        draw.rectangle(
            (x, height * 0.90 - tall, x + width * 0.085, height * 0.90),
            fill=mixed(canvas.accent, canvas.ground, 0.5 - 0.1 * index),
        )
        tops.append((x + width * 0.042, height * 0.84 - tall))
    draw.line(tops, fill=mixed(canvas.accent, WHITE, 0.5), width=max(3, round(width * 0.015)), joint="curve")
    x, y = tops[-1]
    size = width * 0.045
    draw.polygon(
        [(x - size, y - size * 0.3), (x + size, y - size), (x + size * 0.4, y + size)],
        fill=mixed(canvas.accent, WHITE, 0.5),
    )


def _subject(canvas: Canvas, x: float, y: float, share: float, turn: float = 0.0) -> None:
    """Draw the book's icon at a place (shares of the canvas), `share` of its width wide, with a soft shadow."""
    if not canvas.subject:
        return
    width, height = canvas.size
    side = max(8, round(width * share))
    icon = Image.fromarray(load_icon(canvas.subject)).resize((side, side), Image.Resampling.LANCZOS)
    if turn:
        icon = icon.rotate(turn, resample=Image.Resampling.BICUBIC)
    corner = (round(x * width - side / 2), round(y * height - side / 2))
    shadow = Image.new("RGBA", icon.size, (0, 0, 0, 0))
    shadow.putalpha(
        icon.getchannel("A").point(lambda value: value * 90 // 255).filter(ImageFilter.GaussianBlur(side * 0.03))
    )
    canvas.image.paste(shadow, (corner[0], corner[1] + round(side * 0.035)), shadow)
    canvas.image.paste(icon, corner, icon)


def _glow(canvas: Canvas, x: float, y: float, radius: float, colour: Colour) -> None:
    """Draw light around a place."""
    width, height = canvas.size
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    share = np.exp(-(((across - x) ** 2 + (down - y) ** 2) / (radius**2) * 1.6)).astype(np.float32)[..., None] * 0.6
    pixels = np.asarray(canvas.image, np.float32)
    lit = pixels * (1 - share) + floats(colour) * share
    canvas.image.paste(Image.fromarray(np.rint(lit).astype(np.uint8)))


def printed(image: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Return the cover as a photographed print: a fold beside the spine, a little paper grain, darker corners."""
    pixels = np.asarray(image, np.float32)
    height, width = pixels.shape[:2]
    across = np.arange(width, dtype=np.float32) / width
    fold = 1 - 0.20 * np.exp(-(((across - 0.030) / 0.010) ** 2)) + 0.07 * np.exp(-(((across - 0.052) / 0.010) ** 2))
    far = np.hypot(*np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height)))
    vignette = 1 - 0.10 * np.clip(far - 0.7, 0, 1)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 0.8) * 3.0
    return np.clip(np.rint(pixels * (fold[None] * vignette)[..., None] + grain[..., None]), 0, 255).astype(np.uint8)


Artist = Callable[[Canvas], None]
ARTISTS: dict[str, Artist] = {
    "hills": hills,
    "skyline": skyline,
    "planet": planet,
    "rays": rays,
    "tiles": tiles,
    "single": single,
    "scattered": scattered,
    "temple": temple,
    "pulse": pulse,
    "bars": bars,
}
