// What every panel with a program shares in the browser: the source with the line that was reached, and the buttons.
// Put behind frames.js, in front of the other scripts (see moving.py).

/** Make a button that asks the kernel to do something. */
function button(words, title, pressed) {
  const node = make("button", words.toLowerCase().split(" ")[0], words);
  node.type = "button";
  node.title = title;
  node.addEventListener("click", pressed);
  return node;
}

/** Enable a button or disable it; a button that is disabled loses the focus, and the panel's keys would be heard no more. */
function enable(node, can, root) {
  if (!can && document.activeElement === node) root.focus({ preventScroll: true });
  node.disabled = !can;
}

/** Whether each label is a letter, and so a key. */
const lettered = (listings) => listings.every(({ label }) => label.length === 1);

/** Which keys step the process at `index`, in words. */
function keysOf(listings, index) {
  return lettered(listings) ? `key ${listings[index].label} or ${index + 1}` : `key ${index + 1}`;
}

/** With the focus in a panel the letter of a process, or its number, presses its Step button; `more` are other keys. */
function steppedByKey(root, listings, steps, more = {}) {
  root.tabIndex = -1; // a click anywhere in it brings the keys here
  const letters = lettered(listings);
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const index = listings.findIndex(
      ({ label }, at) => event.key === String(at + 1) || (letters && event.key.toUpperCase() === label.toUpperCase()),
    );
    const pressed = more[event.key] ?? steps[index];
    if (!pressed) return;
    event.preventDefault();
    event.stopPropagation();
    if (!pressed.disabled) pressed.click();
  });
}

/** Give an element the colour of a process, and what is written in on it. */
function paintIn(node, { colour, ink }) {
  node.style.setProperty("--colour", colour);
  node.style.setProperty("--ink", ink);
}

/** Make the listing of a program; returns its element and the function that marks a line, counted from 1. */
function listed(listing) {
  const source = make("div", "source");
  source.tabIndex = 0;
  source.setAttribute("aria-label", `Source of ${listing.program}`);
  const lines = listing.source.map((text, index) => {
    const line = source.appendChild(make("div", "line"));
    line.appendChild(make("span", "number", String(index + 1)));
    line.appendChild(make("code", "", text || " "));
    return line;
  });
  let marked = null;

  function mark(number) {
    const line = lines[number - 1] ?? null;
    if (line === marked) return;
    marked?.classList.remove("current");
    marked?.removeAttribute("aria-current");
    marked = line;
    if (!line) return;
    line.classList.add("current");
    line.setAttribute("aria-current", "step");
    // Only the listing scrolls, never the page under the reader's eyes.
    const above = line.offsetTop;
    if (above < source.scrollTop || above + line.offsetHeight > source.scrollTop + source.clientHeight) {
      source.scrollTop = above - source.clientHeight / 2;
    }
  }

  return { source, mark };
}

const HANG = 2; // characters

/** Wrap the long lines of a listing, each below its own beginning and a little further in, not at the margin. */
function wrapped(source) {
  for (const code of source.querySelectorAll("code")) {
    const [indent] = code.textContent.replaceAll("\t", "    ").match(/^ */);
    code.style.paddingLeft = `${indent.length + HANG}ch`;
    code.style.textIndent = `-${indent.length + HANG}ch`;
    // A line may be broken after a hyphen, and so in the middle of an arrow.
    const parts = code.textContent.split(/(->)/);
    if (parts.length > 1) code.replaceChildren(...parts.map((part) => (part === "->" ? make("span", "arrow", part) : part)));
  }
  return source;
}
