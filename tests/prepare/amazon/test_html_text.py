from __future__ import annotations

import pytest

from recbole_lecdsr.prepare.amazon.html_text import clean_html


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("Ben &amp; Jerry&#39;s", "Ben & Jerry's"),
        ("a<br/>b<BR>c<p class=\"x\">d</p>", "a b c d"),
        ("&lt;b&gt;bold&lt;/b&gt; &amp;amp; more", "bold & more"),
        ("I <3 you, 5 < 6 > 4, <Vitamin D>", "I <3 you, 5 < 6 > 4, <Vitamin D>"),
        ("<style type='a'>p {x}</style>text<script>if (a < b) {}</script> end<!-- no -->", "text end"),
        ("open <script>var a = 1;", "open"),
        (" tab\there\r\nthere\u00a0and\u2028there ", "tab here there and there"),
        ("half \ud83d pair", "half ? pair"),
        ("", ""),
    ],
)  # fmt: skip
def test_html_becomes_one_line_of_text(text, expected):
    assert clean_html(text) == expected
