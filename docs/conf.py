"""The manual as a site: ``nox -s manual`` builds it into build/manual, offline; a warning is an error.

The pages are Markdown, the reference comes from the docstrings. In a docstring a name in single backticks is
a reference: one that leads nowhere is a warning, and so is something public without a docstring.
"""

from __future__ import annotations

import builtins
import importlib.metadata
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.domains.python import PyXRefRole
from sphinx.util import logging

if TYPE_CHECKING:
    from docutils.nodes import Element, Node
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "async_backfill"
author = copyright = "The async_backfill developers"  # noqa: A001 - Sphinx names it so
release = importlib.metadata.version("async-backfill")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
templates_path = ["_templates"]
exclude_patterns = ["_templates"]
nitpicky = True
default_role = "py:named"
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"async_backfill {release}"

autodoc_default_options = {
    "members": True,
    "inherited-members": "BaseException, dict, str, object",
}
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
autosummary_ignore_module_all = False
python_maximum_signature_line_length = 100
python_use_unqualified_type_names = True

_REPOSITORY = "https://github.com/async-backfill/async_backfill"
_LINK = re.compile(r"(?<!!)(\[[^\]\n]+\]\()(\.\./[^)#\s]+)")
_LOGGER = logging.getLogger(__name__)


class _Named(PyXRefRole):
    """A name in single backticks: of this class or module, or else the only one that ends like it."""

    def process_link(
        self, env: BuildEnvironment, refnode: Element, has_explicit_title: bool, title: str, target: str
    ) -> tuple[str, str]:
        if "._" in target:
            _LOGGER.warning("%s is private", target, location=refnode)
        refnode["reftype"] = "obj"
        refnode["refspecific"] = True
        refnode["is_prose"] = True
        return super().process_link(env, refnode, has_explicit_title, title, target)


def _resolve(app: Sphinx, env: BuildEnvironment, node: Element, text: Node) -> Node | None:
    """Answer for what the Python domain did not find: names of others, and ours under another path."""
    if node.get("refdomain") != "py":
        return None
    python, target = env.domains.python_domain, node["reftarget"]
    path, _, name = target.rpartition(".")
    is_ours = target.startswith("async_backfill.") or not path
    same_name = [full for full in python.objects if full.rpartition(".")[2] == name]
    if node.get("is_prose"):
        if hasattr(builtins, target) or not is_ours:
            return text
        if not path or len(same_name) != 1:
            return None
    elif len(same_name) != 1:  # an annotation may name what is private
        return text
    return python.resolve_xref(env, node["refdoc"], app.builder, "obj", same_name[0], node, text)


def _show_or_skip(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Show the promises of contract suites, whose names are sentences; say what lacks a docstring."""
    if name.startswith("test_"):
        return False
    is_ours = str(getattr(obj, "__module__", "")).startswith("async_backfill")
    is_public = is_ours and not name.startswith("_")
    if is_public and (inspect.isroutine(obj) or inspect.isclass(obj)) and not inspect.getdoc(obj):
        _LOGGER.warning("%s.%s has no docstring", obj.__module__, obj.__qualname__)
    return None


def _link_to_repository(app: Sphinx, page: str, source: list[str]) -> None:
    """Let a link to a file outside the manual lead to the repository."""
    folder = Path(app.srcdir, page).parent

    def link(match: re.Match[str]) -> str:
        target = (folder / match[2]).resolve()
        if target.is_relative_to(app.srcdir):
            return match[0]
        kind = "tree" if target.is_dir() else "blob"
        path = target.relative_to(Path(app.srcdir).parent).as_posix()
        return f"{match[1]}{_REPOSITORY}/{kind}/main/{path}"

    source[0] = _LINK.sub(link, source[0])


def setup(app: Sphinx) -> None:
    """Connect what is above."""
    app.add_role_to_domain("py", "named", _Named())
    app.connect("source-read", _link_to_repository)
    app.connect("missing-reference", _resolve)
    app.connect("autodoc-skip-member", _show_or_skip)
