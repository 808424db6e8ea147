"""What pages share: they load nothing, their images are small, and foreign text stays text."""

import base64
import io
import re

import pytest
from PIL import Image

from ojito.processor import ImageError
from ojito.web_page import SIDE, document, filters, heading, thumbnail, tiles, write_page
from tests.noise import noise

TAG = '<script>alert("x")</script>'
ESCAPED = "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;"


def embedded(html):
    kind, data = re.search(r'src="data:image/(png|jpeg);base64,([^"]*)"', html).groups()
    return kind, Image.open(io.BytesIO(base64.b64decode(data)))


def test_document_has_its_title_parts_and_style():
    html = document(TAG, ["<p>one</p>", "<p>two</p>"], ".mine { color: red }")
    assert html.startswith("<!doctype html>")
    assert f"<title>{ESCAPED}</title>" in html
    assert ".mine { color: red }</style><body><p>one</p><p>two</p></body>" in html
    assert not re.search(r"<link|https?:|url\(|@import", html)


def test_heading_and_tiles_are_text():
    for html in (heading(TAG, "a"), heading("t", TAG), heading("t", "a", [TAG])):
        assert ESCAPED in html
        assert "<script" not in html
    for tile in ((TAG, "name", "remark"), ("1", TAG, "remark"), ("1", "name", TAG)):
        assert ESCAPED in tiles([tile])


def test_filters_choose_the_first_and_hide_what_is_not_meant():
    html = filters("show", [("all", "all"), ("some", TAG)], [("some", ".card:not(.some)")])
    assert re.findall(r'<input type="radio" name="show" id="(\w+)"( checked)?>', html) == [
        ("all", " checked"),
        ("some", ""),
    ]
    assert "body:has(#some:checked) .card:not(.some) { display: none }" in html
    assert ESCAPED in html


def test_small_drawing_is_embedded_as_it_is_and_enlarged_without_blur():
    image = noise((40, 30))
    html = thumbnail(image, "a drawing")
    kind, found = embedded(html)
    assert (kind, found.tobytes()) == ("png", image.tobytes())
    assert 'alt="a drawing"' in html
    assert html.endswith(' class="drawn">')


def test_photograph_is_a_small_jpeg():
    html = thumbnail(noise((2 * SIDE, SIDE)), "")
    kind, found = embedded(html)
    assert (kind, found.size) == ("jpeg", (SIDE, SIDE // 2))
    assert "drawn" not in html
    assert embedded(thumbnail(Image.new("RGB", (500, 500), "red"), ""))[0] == "png"  # which takes less


def test_thumbnail_is_upright_and_refuses_too_many_pixels():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = io.BytesIO()
    noise((40, 20)).save(content, "JPEG", exif=exif)
    assert embedded(thumbnail(content.getvalue(), ""))[1].size == (20, 40)
    with pytest.raises(ImageError, match="pixels"):
        thumbnail(content.getvalue(), "", max_pixels=799)
    assert "src=" in thumbnail(content.getvalue(), "", max_pixels=800)


def test_description_cannot_end_its_attribute():
    assert 'alt="&quot; onerror=&quot;alert(1)" src=' in thumbnail(noise((4, 4)), '" onerror="alert(1)')


@pytest.mark.parametrize("form", [str, lambda path: path], ids=["str", "path"])
def test_page_is_written_into_a_new_folder(tmp_path, form):
    path = tmp_path / "runs" / "mine" / "report.html"
    write_page(form(path), "<p>ñ ✓</p>")
    assert path.read_bytes().decode("utf-8") == "<p>ñ ✓</p>"


def test_page_replaces_the_one_before(tmp_path):
    for html in ("a longer page", "short"):
        write_page(tmp_path / "report.html", html)
    assert (tmp_path / "report.html").read_text() == "short"
