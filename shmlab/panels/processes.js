// The controls of a set of processes: the buttons and the speed, and a card for each.
// Put behind frames.js, source.js and cards.js (see moving.py). What a click means is decided in the kernel (panel.py);
// it's only told here.

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

function render({ model, el }) {
  const root = make("section", "shmlab-live shmlab-processes");
  root.dataset.count = String(model.get("listings").length);
  root.dataset.toolbar = String(model.get("toolbar"));
  const say = notice(root, "The kernel that ran these processes is gone, and they with it. Run the cells again from the top.");
  const cards = root.appendChild(make("div", "cards"));
  el.appendChild(root);

  const view = follow(model, root, {
    ...say,
    paint(content) {
      content.states.forEach((state, index) => columns[index]?.show(state, state.kind !== "ended"));
    },
  });
  const bar = model.get("toolbar") ? toolbar(model, view.send) : null;
  if (bar) root.prepend(bar.tools);
  const listings = model.get("listings");
  const columns = listings.map((listing, index) => {
    const tip = `Let ${listing.label} take one step (${keysOf(listings, index)})`;
    return processCard(listing, tip, () => view.send({ do: "step", label: listing.label }), root);
  });
  cards.append(...columns.map(({ card }) => card));
  steppedByKey(root, listings, columns.map(({ step }) => step));

  return () => {
    bar?.end();
    view.end();
  };
}

export default { render };
