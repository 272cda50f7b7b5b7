"""tools/docs_hooks.py: links that are right on disk are right on the site, which loads nothing from elsewhere."""

import importlib.util

import pytest

from helpers.environments import REPOSITORY

SPEC = importlib.util.spec_from_file_location("docs_hooks", REPOSITORY / "tools" / "docs_hooks.py")
hooks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(hooks)


@pytest.mark.parametrize(
    ("page", "link", "wanted"),
    [
        ("README.md", "docs/data.md", "data.md"),
        ("README.md", "docs/synthesis/backends.md#the-chat-service", "synthesis/backends.md#the-chat-service"),
        ("README.md", "lavis_sam/ARCHITECTURE.md", "architecture.md"),
        ("README.md", "LICENSE", "licence.txt"),
        ("docs/data.md", "../README.md#your-own-images", "index.md#your-own-images"),
        ("docs/synthesis/README.md", "../training.md", "../training.md"),
        ("docs/synthesis/README.md", "../../lavis_sam/ARCHITECTURE.md", "../architecture.md"),
        ("lavis_sam/ARCHITECTURE.md", "../docs/speed.md", "speed.md"),
        ("docs/data.md", "https://example.org/a.md", "https://example.org/a.md"),
        ("docs/data.md", "#few-large-files", "#few-large-files"),
    ],
)
def test_site_links_lead_to_the_same_page(page, link, wanted):
    assert hooks.site_links(f"see [this]({link}) and ![that]({link})", page) == (
        f"see [this]({wanted}) and ![that]({wanted})"
    )


def test_site_links_leave_code_alone():
    code = '```python\nprocessors["eval"](image)\n```\n'
    assert hooks.site_links(code, "README.md") == code


def test_site_links_refuse_a_file_that_is_not_on_the_site():
    with pytest.raises(ValueError, match=r"projects/sam/train\.yaml is not on the site"):
        hooks.site_links("[recipe](../projects/sam/train.yaml)", "docs/training.md")


def test_mounted_files_exist():
    assert all((REPOSITORY / path).is_file() for path in hooks.MOUNTED)


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://example.org/a.js"></script>',
        "<img alt=a src=//example.org/a.png>",
        '<link href="https://example.org/a.css" rel="stylesheet">',
        '<link rel="preconnect" href="https://fonts.gstatic.com" crossorigin>',
        "@import 'https://example.org/a.css';",
        "body { background: url(https://example.org/a.png) }",
    ],
)
def test_remote_assets_are_found(tmp_path, text):
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    (found,) = hooks.remote_assets(tmp_path)
    assert found.startswith("page.html: ")


@pytest.mark.parametrize(
    "text",
    [
        '<a href="https://example.org">elsewhere</a>',
        '<script src="assets/a.js"></script>',
        '<link rel="canonical" href="https://example.org/page.html">',
        "body { background: url(data:image/png;base64,AA) }",
    ],
)
def test_remote_assets_are_no_links_and_no_files_of_the_site(tmp_path, text):
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    assert hooks.remote_assets(tmp_path) == []
