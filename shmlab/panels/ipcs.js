// ipcs in the browser: a button for each option, a choice of the segment that -i tells of, and what the tool printed,
// line by line, as text that can be read aloud and copied. Marks are the kernel's side's affair (panels/ipcs.py).

const MARKS = { "+": "new", "~": "changed", "-": "gone" };

/** Make the buttons, the choice of a segment and the checkbox; returns `choices(ids)` and the function that ends them. */
function asking(model, root, before, awake) {
  const group = make("div", "options");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", "What to ask of ipcs");
  root.insertBefore(group, before);

  function ask(name, value) {
    model.set(name, value);
    model.save_changes();
    awake();
  }

  function button(option, about, where = group) {
    const node = where.appendChild(make("button", ""));
    node.type = "button";
    node.dataset.option = option;
    node.append(make("b", "", option), ` ${about}`);
    return node;
  }

  const buttons = Object.entries(model.get("options")).map(([option, about]) => {
    const node = button(option, about);
    node.addEventListener("click", () => ask("option", option));
    return node;
  });
  const pair = group.appendChild(make("span", "one"));
  const one = button("-i", "one:", pair);
  const choice = pair.appendChild(make("select", ""));
  choice.setAttribute("aria-label", "The segment that ipcs -i tells of");
  const label = group.appendChild(make("label", "", ""));
  const everybody = label.appendChild(make("input", ""));
  everybody.type = "checkbox";
  label.append("everybody's");

  one.addEventListener("click", () => choice.value && ask("option", `-i ${choice.value}`));
  choice.addEventListener("change", () => ask("option", `-i ${choice.value}`));
  everybody.addEventListener("change", () => ask("everything", everybody.checked));

  function show() {
    const option = model.get("option");
    const chosen = option.startsWith("-i ");
    for (const node of buttons) node.setAttribute("aria-pressed", String(node.dataset.option === option));
    one.setAttribute("aria-pressed", String(chosen));
    everybody.checked = model.get("everything");
    if (chosen) offer(option.slice(3), "gone");
    if (chosen) choice.value = option.slice(3);
    one.disabled = choice.disabled = choice.options.length === 0;
  }

  /** Let a segment be chosen though it isn't there. */
  function offer(id, key) {
    if ([...choice.options].some((each) => each.value === id)) return;
    choice.appendChild(new Option(`${id}  ${key}`, id));
  }

  let offered = null;
  function choices(ids) {
    const now = JSON.stringify(ids);
    if (now === offered) return;
    offered = now;
    const { value } = choice;
    choice.replaceChildren(...ids.map(([id, key]) => new Option(`${id}  ${key}`, String(id))));
    if (ids.some(([id]) => String(id) === value)) choice.value = value;
    show();
  }

  model.on("change:option", show);
  model.on("change:everything", show);
  show();
  return {
    choices,
    end() {
      model.off("change:option", show);
      model.off("change:everything", show);
    },
  };
}

function render({ model, el }) {
  const surface = make("div", "printed");
  const lines = surface.appendChild(make("div", "lines"));
  surface.hidden = true;
  surface.tabIndex = 0; // a long line is scrolled to with the arrow keys
  let shown = "";
  let options = null;

  function line([sign, pieces]) {
    const node = make("div", "");
    const mark = node.appendChild(make("span", "sign", sign));
    if (sign) {
      node.dataset.mark = sign;
      mark.title = MARKS[sign];
      mark.setAttribute("aria-label", MARKS[sign]);
      mark.setAttribute("role", "img");
    }
    const words = node.appendChild(make("span", "words"));
    words.append(...pieces.map(([text, changed]) => (changed ? make("mark", "", text) : text)));
    return node;
  }

  function paint(content) {
    options.choices(content.ids);
    const now = JSON.stringify(content.lines);
    if (now === shown) return; // what somebody has selected stays selected
    shown = now;
    const letters = content.lines.map(([, pieces]) => 2 + pieces.reduce((sum, [text]) => sum + text.length, 0));
    lines.style.setProperty("--letters", Math.max(40, ...letters));
    lines.replaceChildren(...content.lines.map(line));
  }

  const { root, end } = watch(model, el, { paint, surface });
  root.appendChild(make("div", "legend", model.get("legend")));
  const again = root.querySelector(".again");
  const awake = () => root.dataset.state === "stopped" && again.click();
  options = asking(model, root, root.querySelector(".say"), awake);

  return () => {
    options.end();
    end();
  };
}

export default { render };
