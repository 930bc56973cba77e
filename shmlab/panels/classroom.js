// The buttons above the classroom board, and its keys: a digit chooses a screen, a letter presses a button of the one
// that is shown. Nothing is decided here that a click wouldn't.

const BUTTONS = { s: "Start", p: "Pause", r: "Reset", backspace: "Undo" };
const FIELDS = "input:not([type='range']), textarea, select, [contenteditable='true'], .cm-editor";
const PANEL = "[class*='shmlab-']:not(.shmlab-screens):not(.shmlab-classroom)";

function render({ model, el }) {
  el.classList.add("shmlab-screens");
  const head = document.createElement("div");
  head.className = "head";
  const bar = document.createElement("div");
  bar.className = "bar";
  bar.setAttribute("role", "tablist");
  const question = document.createElement("h2");
  const keys = document.createElement("p");
  keys.className = "keys";
  el.append(head, question, keys);
  const board = () => el.closest(".shmlab-classroom") ?? el;

  const choose = (number) => {
    model.set("chosen", number);
    model.save_changes();
  };
  const buttons = model.get("words").map((word, number) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("role", "tab");
    button.title = `Show the screen “${word}” (key ${number + 1})`;
    const digit = document.createElement("kbd");
    digit.textContent = String(number + 1);
    button.append(digit, ` ${word}`);
    button.addEventListener("click", () => choose(number));
    bar.append(button);
    return button;
  });
  const large = document.createElement("button");
  large.type = "button";
  large.className = "large";
  large.title = "Fill the screen with the board, or don't any more (key F)";
  large.innerHTML = "<kbd>F</kbd> full screen";
  large.addEventListener("click", () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else board().requestFullscreen().catch(() => {}); // a browser that won't, won't
  });
  large.hidden = !document.fullscreenEnabled;
  head.append(bar, large);
  keys.textContent =
    `Keys: 1 to ${buttons.length} screens · S start, P pause, R reset · A, B, C a step of that process · ` +
    "Backspace undo · in a panel digits are its own: 0 leaves it";

  const paint = () => {
    buttons.forEach((button, number) => {
      button.setAttribute("aria-selected", String(number === model.get("chosen")));
    });
    question.textContent = model.get("question");
  };

  /** The button that a key presses; a process has its letter before a word has it. */
  const buttonOf = (key) => {
    if (key === "f") return large;
    const there = [...board().querySelectorAll(`${PANEL} button`)];
    const says = (words) => there.find((button) => button.textContent === words);
    return says(`Step ${key.toUpperCase()}`) ?? says(BUTTONS[key]);
  };

  /** Whether a key is meant for the board: it's on screen, and nobody types into a field, or beside this page. */
  const meant = (event, target) => {
    if (event.ctrlKey || event.altKey || event.metaKey || el.offsetParent === null) return false;
    const page = el.closest(".jp-Document") ?? document.body; // of JupyterLab's, each tab is one
    return target === document.body || (page.contains(target) && !target.closest(FIELDS));
  };

  const pressed = (event) => {
    const target = event.target instanceof Element ? event.target : document.body;
    if (!meant(event, target)) return;
    const inside = board().contains(target) && target.closest(PANEL);
    const number = Number(event.key) - 1;
    const button = buttonOf(event.key.toLowerCase());
    if (number in buttons && !inside) {
      if (bar.contains(target)) buttons[number].focus();
      choose(number);
    } else if (event.key === "0") buttons[model.get("chosen")].focus();
    else if (button) button.click();
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  // Before anybody else: in JupyterLab digits make headings of cells, and letters new cells.
  window.addEventListener("keydown", pressed, true);
  model.on("change", paint);
  paint();
  return () => {
    window.removeEventListener("keydown", pressed, true);
    model.off("change", paint);
  };
}

export default { render };
