"""Pages that load and run nothing."""

import base64
import hashlib

from lavis_sam.pages import POLICY, STYLE, document, inline_image, table


def test_a_document_forbids_what_could_load_or_run_and_escapes_its_title():
    page = document("<b>a</b>", "p { color: red; }", "<p>text</p>")
    assert POLICY in page
    assert "default-src 'none'" in POLICY
    assert page.count("&lt;b&gt;a&lt;/b&gt;") == 2
    assert "<b>" not in page
    assert f"<style>{STYLE}p {{ color: red; }}</style>" in page
    assert page.endswith("<p>text</p></body></html>\n")


def test_an_image_stands_inside_the_page():
    encoded = base64.b64encode(b"content").decode()
    assert (
        inline_image(b"content", "png", 'a "b"') == f'<img alt="a &quot;b&quot;" src="data:image/png;base64,{encoded}">'
    )


def test_a_document_lets_its_own_script_run_and_no_other():
    page = document("a", "", "", "let a = 1;")
    digest = base64.b64encode(hashlib.sha256(b"let a = 1;").digest()).decode()
    assert f"default-src 'none'; script-src 'sha256-{digest}'; img-src data:" in page
    assert "<script>let a = 1;</script></body>" in page


def test_a_table_escapes_its_cells():
    assert "<tr><th>&lt;a&gt;<tr><td>&amp;<td>3</table>" in table(["<a>"], [["&", 3]])
