// The controls of a set of processes: who they are, where each is in its source, and the buttons that drive them.
// Put behind frames.js and source.js (see live.py). What a click means is decided in the kernel (panel.py); it's only
// told here.

const SPEEDS = [1, 2, 4, 8, 16, 32, 64, 125, 250, 500, 1000, 0]; // steps a second; 0: as fast as it can

/** Make the slider; its positions are SPEEDS, because the eye tells 4 from 8 as it tells 250 from 500. */
function speedSlider(model) {
  const label = make("label", "speed", "Speed ");
  const slider = label.appendChild(make("input", ""));
  const words = label.appendChild(make("output", ""));
  Object.assign(slider, { type: "range", min: 0, max: SPEEDS.length - 1, step: 1 });
  const show = () => {
    const speed = model.get("speed");
    let nearest = SPEEDS.length - 1;
    if (speed > 0) {
      nearest = 0;
      for (let i = 0; i < SPEEDS.length - 1; i++) {
        if (Math.abs(Math.log(SPEEDS[i] / speed)) < Math.abs(Math.log(SPEEDS[nearest] / speed))) nearest = i;
      }
    }
    slider.value = nearest;
    words.textContent = speed > 0 ? `${speed} step${speed === 1 ? "" : "s"} a second` : "full speed";
    slider.setAttribute("aria-valuetext", words.textContent);
  };
  slider.addEventListener("input", () => {
    model.set("speed", SPEEDS[Number(slider.value)]);
    model.save_changes();
    show();
  });
  model.on("change:speed", show);
  show();
  return { label, end: () => model.off("change:speed", show) };
}

/** Make the buttons for all processes, and the slider. */
function toolbar(model, send) {
  const tools = make("div", "tools");
  tools.setAttribute("role", "toolbar");
  tools.setAttribute("aria-label", "Controls of the processes");
  for (const [words, title] of [
    ["Start", "Start the processes, or let them go on"],
    ["Pause", "Stop each after the step it is in"],
    ["Stop", "End the processes"],
    ["Reset", "End the processes and be as new, the memory too"],
  ]) {
    tools.appendChild(button(words, title, () => send({ do: words.toLowerCase() })));
  }
  const slider = speedSlider(model);
  tools.appendChild(slider.label);
  return { tools, end: slider.end };
}

/** Make the column of one process; returns it with the function that shows a state. */
function column(listing, keys, send, root) {
  const card = make("article", "process");
  paintIn(card, listing);
  card.dataset.label = listing.label;
  const head = card.appendChild(make("header", ""));
  head.appendChild(make("span", "label", listing.label));
  head.appendChild(make("span", "program", `${listing.program} · ${listing.language}`));
  const step = head.appendChild(
    button(`Step ${listing.label}`, `Let ${listing.label} take one step (${keys})`, () => send({ do: "step", label: listing.label })),
  );
  const words = card.appendChild(make("p", "state"));
  words.setAttribute("role", "status");
  const { source, mark } = listed(listing);
  card.appendChild(wrapped(source, 2));
  const variables = card.appendChild(make("dl", "locals"));
  const output = card.appendChild(make("pre", "output"));
  output.hidden = true;
  if (listing.unavailable) {
    card.classList.add("unavailable");
    step.disabled = true;
    words.textContent = listing.unavailable;
  }

  function show(state) {
    if (listing.unavailable) return;
    card.dataset.kind = state.kind;
    card.dataset.step = String(state.step);
    write(words, state.words);
    mark(state.line);
    const rows = state.locals.map(([name, text]) => `${name}\u0000${text}`).join("\u0001");
    if (variables.dataset.rows !== rows) {
      variables.dataset.rows = rows;
      variables.replaceChildren();
      for (const [name, text] of state.locals) {
        variables.appendChild(make("dt", "", name));
        variables.appendChild(make("dd", "", text));
      }
    }
    if (output.textContent !== state.output) {
      output.textContent = state.output;
      output.hidden = !state.output;
      output.scrollTop = output.scrollHeight;
    }
    enable(step, state.kind !== "ended", root);
  }

  return { card, step, show };
}

function render({ model, el }) {
  const root = make("section", "shmlab-live shmlab-processes");
  root.dataset.count = String(model.get("listings").length);
  root.dataset.toolbar = String(model.get("toolbar"));
  const say = root.appendChild(make("div", "say"));
  say.setAttribute("role", "status");
  say.hidden = true;
  const cards = root.appendChild(make("div", "cards"));
  el.appendChild(root);

  const view = follow(model, root, {
    paint(content) {
      content.states.forEach((state, index) => columns[index]?.show(state));
    },
    arrived(content) {
      if (content.say === undefined) return;
      say.hidden = !content.say;
      write(say, content.say);
    },
    lost() {
      say.hidden = false;
      write(say, "The kernel that ran these processes is gone, and they with it. Run the cells again from the top.");
    },
  });
  const bar = model.get("toolbar") ? toolbar(model, view.send) : null;
  if (bar) root.prepend(bar.tools);
  const listings = model.get("listings");
  const columns = listings.map((listing, index) => column(listing, keysOf(listings, index), view.send, root));
  cards.append(...columns.map(({ card }) => card));
  steppedByKey(root, listings, columns.map(({ step }) => step));

  return () => {
    bar?.end();
    view.end();
  };
}

export default { render };
