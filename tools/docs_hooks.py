"""What `make docs` does beside mkdocs: pages from outside docs/, links as they are on disk, and no remote assets.

The Markdown files are read on disk as well, so their links name files of the repository; on the site they name pages.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# File of the repository -> its place on the site; docs/ is the site's own folder.
MOUNTED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "lavis_sam/ARCHITECTURE.md": "architecture.md",
    "lavis_sam/assets/tiny/README.md": "tiny.md",
    "LICENSE": "licence.txt",
    "NOTICE": "notice.txt",
}
_FENCED = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()([^)#\s]+)(#[^)\s]*)?\)")
_REMOTE = re.compile(
    r"<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^\"'\s>]+"
    r"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preload|preconnect|icon))[^>]*\bhref=[\"']?(?:https?:)?//[^\"'\s>]+"
    r"|@import\s*(?:url\()?[\"']?(?:https?:)?//[^\"'\s)]+|url\([\"']?(?:https?:)?//[^\"'\s)]+",
    re.IGNORECASE,
)


def site_place(path: str) -> str:
    """Return where a file of the repository is on the site.

    Raises:
        ValueError: It is not there.
    """
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path not in MOUNTED:
        raise ValueError(f"{path} is not on the site; add it to MOUNTED in tools/docs_hooks.py, or link to a page")
    return MOUNTED[path]


def site_links(markdown: str, path: str) -> str:
    """Return a page with the links that it has on the site.

    Args:
        markdown: The page.
        path: Its file, relative to the repository.
    """
    own = posixpath.dirname(site_place(path))

    def replaced(found: re.Match[str]) -> str:
        opening, target, heading = found.groups()
        if ":" in target:
            return found[0]
        place = site_place(posixpath.normpath(posixpath.join(posixpath.dirname(path), target)))
        return f"{opening}{posixpath.relpath(place, own or '.')}{heading or ''})"

    parts = _FENCED.split(markdown)
    return "".join(part if number % 2 else _LINK.sub(replaced, part) for number, part in enumerate(parts))


def remote_assets(site: Path) -> list[str]:
    """Return what pages and style sheets of a built site would load from elsewhere."""
    found = []
    for path in sorted(site.rglob("*")):
        if path.suffix in (".html", ".css", ".svg"):
            text = path.read_text(encoding="utf-8")
            found += [f"{path.relative_to(site)}: {asset[0]}" for asset in _REMOTE.finditer(text)]
    return found


def on_files(files: Any, config: Any) -> Any:
    """Add the files from outside docs/."""
    from mkdocs.structure.files import File

    for path, place in MOUNTED.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Translate the links of a page."""
    from mkdocs.exceptions import PluginError

    outside = {place: path for path, place in MOUNTED.items()}
    path = outside.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    try:
        return site_links(markdown, path)
    except ValueError as error:
        raise PluginError(f"{path}: {error}") from error


def on_post_build(config: Any) -> None:
    """Refuse a site that would load something from elsewhere."""
    from mkdocs.exceptions import PluginError

    if found := remote_assets(Path(config.site_dir)):
        raise PluginError("the site would load these from elsewhere:\n" + "\n".join(found))
