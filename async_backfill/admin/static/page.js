"use strict";
// Follows a page: each event has the id of an element, and in the lines below its new content.
const live = document.getElementById("live");
if (live) {
  const trouble = document.getElementById("trouble"), late = new Map();
  const put = (id, html) => {
    const part = document.getElementById(id), fresh = document.createElement("div");
    fresh.innerHTML = html;
    if (!part || part.innerHTML === fresh.innerHTML) return;
    if (part.contains(document.activeElement) && part.querySelector("form")) late.set(id, html);
    else part.innerHTML = html;
  };
  const stream = new EventSource(live.dataset.events);
  stream.onmessage = ({ data }) => {
    const end = (data + "\n").indexOf("\n"), waiting = [...late];
    late.clear();
    for (const [id, html] of [...waiting, [data.slice(0, end), data.slice(end + 1)]]) put(id, html);
  };
  stream.onerror = () => { trouble.textContent = "This page is not live now: what it shows may be old."; };
}
