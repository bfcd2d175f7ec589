"""A real browser, which draws a page without a window and says what it sees there."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_SCHEMES = {"light": 1, "dark": 0}
_LOOK = """
<!DOCTYPE html><meta charset="utf-8"><title>frames</title>
{frames}
<pre id="seen"></pre>
<script>
const rgb = text => text.match(/[0-9.]+/g).map(Number);
const light = color => {{
  const linear = c => c <= 10.31 ? c / 3294.6 : ((c / 255 + .055) / 1.055) ** 2.4;
  const [r, g, b] = rgb(color).map(linear);
  return .2126 * r + .7152 * g + .0722 * b;
}};
const behind = (view, element) => {{
  for (; element; element = element.parentElement) {{
    const color = view.getComputedStyle(element).backgroundColor;
    if ((rgb(color)[3] ?? 1) > 0) return color;
  }}
  return "rgb(255, 255, 255)";
}};
const look = frame => {{
  const view = frame.contentWindow, page = frame.contentDocument, root = page.documentElement;
  const texts = [...page.body.querySelectorAll("*")].filter(
    each => !each.closest("svg") && [...each.childNodes].some(n => n.nodeType === 3 && n.data.trim()));
  const contrast = each => {{
    const pair = [light(view.getComputedStyle(each).color), light(behind(view, each))].sort((a, b) => b - a);
    return (pair[0] + .05) / (pair[1] + .05);
  }};
  return {{
    overflow: root.scrollWidth - root.clientWidth,
    scrolled: [...page.querySelectorAll(".wide")].filter(each => each.scrollWidth > each.clientWidth).length,
    smallest: Math.min(...texts.map(each => parseFloat(view.getComputedStyle(each).fontSize))),
    contrast: Math.min(...texts.map(contrast)),
    page: light(behind(view, page.body)),
    charts: [...page.querySelectorAll("svg")].map(each => {{
      const box = each.getBoundingClientRect(); return [box.width, box.height]; }}),
    drawn: [...page.querySelectorAll("path.rate, path.bar")].map(each => each.getTotalLength()),
    text: page.body.innerText,
  }};
}};
window.onload = () => {{
  const seen = [...document.querySelectorAll("iframe")].map(look);
  document.getElementById("seen").textContent = JSON.stringify(seen);
}};
</script>
"""


def browser() -> str | None:
    """Return the program named by ``TEST_BROWSER``, or one of the Chromium family, if there is one."""
    named = os.environ.get("TEST_BROWSER")
    return named or next((found for name in _NAMES if (found := shutil.which(name))), None)


def looked_at(
    program: str, page: str, folder: Path, *, scheme: str, widths: list[int]
) -> list[dict[str, Any]]:
    """Return what ``program`` sees of ``page`` at each of ``widths``, in the colours of ``scheme``."""
    # In frames, because a window cannot be as narrow as a telephone.
    frames = "".join(
        f'<iframe srcdoc="{html.escape(page)}" style="width:{width}px;height:900px;border:0"></iframe>'
        for width in widths
    )
    (folder / "frames.html").write_text(_LOOK.format(frames=frames), "utf-8")
    options = ["--headless", "--disable-gpu", "--no-first-run", f"--user-data-dir={folder / 'profile'}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # its sandbox does not work for root
        options.append("--no-sandbox")
    scheme_option = f"--blink-settings=preferredColorScheme={_SCHEMES[scheme]}"
    done = subprocess.run(
        [program, *options, scheme_option, "--dump-dom", (folder / "frames.html").as_uri()],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    seen = re.search(r'<pre id="seen">(?P<seen>.*?)</pre>', done.stdout, re.DOTALL)
    assert seen is not None, done.stdout[:1000] + done.stderr[-1000:]
    return json.loads(html.unescape(seen["seen"]))
