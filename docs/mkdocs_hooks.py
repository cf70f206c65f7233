"""What the site's builder does not know: fences such as ```sh notest, whose second word is for our tests.

What belongs here: making Markdown that GitHub understands understood by mkdocs. No content.
"""

import re
from typing import Any

_FENCE = re.compile(r"^(?P<fence>[ \t]*`{3,}[\w+-]+)[ \t]+[\w -]+$", re.M)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Drop every word after a fence's language: superfences takes a fence with two words for a paragraph."""
    return _FENCE.sub(r"\g<fence>", markdown)
