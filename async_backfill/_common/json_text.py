"""JSON that may be shown on a terminal: readable, but without what a terminal obeys."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_OBEYED: Final = re.compile(
    r"[\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Control characters beyond ASCII (C1), marks of direction and what has no width; JSON itself escapes C0."""


def json_text(document: Any, *, indent: int | None = None, allow_nan: bool = True) -> str:
    """Return ``document`` as JSON with its letters as they are, and other characters escaped.

    It is the same document for whoever reads the JSON. A file is looked at in a terminal sooner or later, and
    keys are made by clients: one could clear the screen, or show a line in another order.
    """
    text = json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=allow_nan)
    return _OBEYED.sub(lambda found: json.dumps(found[0])[1:-1], text)
