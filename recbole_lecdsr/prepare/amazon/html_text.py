"""Plain text from the HTML that shops put into titles and descriptions."""

from __future__ import annotations

import html
import re

# Only tags of HTML, so that "5 <x and y> 3" and "<3" stay as they are.
_TAGS = (
    "a abbr address article aside b big blockquote body br button caption center cite code col colgroup dd del dfn div "
    "dl dt em embed fieldset figcaption figure font footer form frame h1 h2 h3 h4 h5 h6 head header hr html i iframe "
    "img input ins kbd label legend li link main map mark meta nav noscript o:p object ol option p param picture pre q "
    "s samp section select small source span strike strong style sub sup table tbody td textarea tfoot th thead title "
    "tr tt u ul var video wbr"
)
_HIDDEN = re.compile(r"<!--.*?-->|<(script|style)\b[^>]*>.*?(?:</\1\s*>|$)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(rf"</?(?:{'|'.join(map(re.escape, _TAGS.split()))})(?:\s[^<>]*)?/?\s*>", re.IGNORECASE)
_SPACE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b\ufeff]+")


def clean_html(text: str) -> str:
    """One line of plain text: no tags, comments, scripts or styles; entities replaced; single blanks.

    Entities are replaced up to twice and tags are removed after each time, since some descriptions are escaped
    (``&lt;br&gt;``) or escaped twice (``&amp;amp;``).

    Example:
        >>> clean_html("Ben &amp; Jerry&#39;s<br/>Pint,&lt;b&gt; 5 &lt; 6 &lt;/b&gt;")
        "Ben & Jerry's Pint, 5 < 6"
    """
    for _ in range(2):
        text = _TAG.sub(" ", _HIDDEN.sub(" ", text))
        unescaped = html.unescape(text)
        if unescaped == text:
            break
        text = unescaped
    text = _TAG.sub(" ", _HIDDEN.sub(" ", text))
    # Halves of surrogate pairs, which JSON may hold, cannot be written.
    return _SPACE.sub(" ", text.encode("utf-8", "replace").decode()).strip()
