"""HTML pages for people: one file, images inside; nothing is loaded and no script runs but ours."""

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from typing import Any

POLICY = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
)
# What all reports look like.
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; padding: 0 1rem; color: #222; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd; } h3 { margin-bottom: .3rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
"""


def document(title: str, style: str, body: str, script: str = "") -> str:
    """Return a whole page.

    Args:
        title: Plain text; the heading too.
        style: CSS beside `STYLE`.
        body: Markup, in which what others wrote is escaped.
        script: JavaScript of ours, the same for all data; the page's policy lets this text run and no other.
    """
    shown, policy, code = html.escape(title), POLICY, ""
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
        policy = POLICY.replace("default-src 'none'", f"default-src 'none'; script-src 'sha256-{digest}'")
        code = f"<script>{script}</script>"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{policy}'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{shown}</title>'
        f"<style>{STYLE}{style}</style></head><body><h1>{shown}</h1>{body}{code}</body></html>\n"
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table of texts, which are escaped; a wide one scrolls by itself."""
    head = "".join(f"<th>{html.escape(name)}" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}" for cell in row) for row in rows)
    return f'<div style="overflow-x: auto"><table><tr>{head}{body}</table></div>'


def inline_image(content: bytes, kind: str, text: str = "") -> str:
    """Return an image inside the page.

    Args:
        kind: "jpeg" or "png".
        text: What it shows, for those who do not see it.
    """
    encoded = base64.b64encode(content).decode("ascii")
    return f'<img alt="{html.escape(text)}" src="data:image/{kind};base64,{encoded}">'
