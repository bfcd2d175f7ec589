"use strict"; // Follows a page: each event is the id of an element, and in the lines below its new content.
const live = document.getElementById("live"), trouble = document.getElementById("trouble"), late = new Map();
const patch = (old, fresh) => { // what stays the same element keeps its focus, and a click that has begun
  if (old.nodeName !== fresh.nodeName || old.childNodes.length !== fresh.childNodes.length) return old.replaceWith(fresh);
  if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
  for (const { name } of [...(old.attributes || [])]) if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes || []) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  [...fresh.childNodes].forEach((child, place) => patch(old.childNodes[place], child));
};
const put = (id, html) => {
  const part = document.getElementById(id), fresh = part.cloneNode();
  fresh.innerHTML = html;
  if (part.querySelector("form") && part.contains(document.activeElement)) late.set(id, html); // somebody fills it in
  else if (part.childNodes.length !== fresh.childNodes.length) part.replaceChildren(...fresh.childNodes);
  else patch(part, fresh);
};
if (live) {
  const stream = new EventSource(live.dataset.events);
  stream.onmessage = ({ data }) => {
    const [id, ...lines] = data.split("\n"), waiting = [...late, [id, lines.join("\n")]];
    late.clear();
    for (const [name, html] of waiting) put(name, html);
  };
  stream.onerror = () => { trouble.textContent = "This page is not live now: what it shows may be old."; };
}
