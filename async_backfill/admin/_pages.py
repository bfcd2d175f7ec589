"""The templates: each text in them is escaped, by default and by the template alone."""

from __future__ import annotations

import shlex
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from async_backfill._runner.wording import share
from async_backfill.admin._words import count, figure, seconds, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

_PACKAGE: Final = "async_backfill.admin"
TYPES: Final = MappingProxyType(
    {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
)


class Pages:
    """Renders templates, and has the two files that a page needs.

    :param state: the file that commands in a page name as the state; ``None`` for the usual one.
    """

    def __init__(self, state: str | None) -> None:
        self._state = () if state is None else ("--state", state)
        self._templates = Environment(
            loader=PackageLoader(_PACKAGE),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=shown,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters.update(share=share, count=count, seconds=seconds)
        self._templates.globals.update(figure=figure, command=self._command)
        self.files: Mapping[str, bytes] = {
            name: (files(_PACKAGE) / "static" / name).read_bytes() for name in TYPES
        }

    def render(self, template: str, /, **facts: Any) -> str:
        """Return a template of that name with ``facts``."""
        return self._templates.get_template(f"{template}.html").render(facts)

    def _command(self, *words: object) -> str:
        """Return the command that a person types for a verb of ``jobs``."""
        return " ".join(
            ["python -m async_backfill jobs", *map(shlex.quote, (*map(str, words), *self._state))]
        )
