// The scheduler in the browser: a card for each process, what they share between them, and the steps taken.
// Put behind frames.js, source.js and cards.js (see moving.py). What a click means is decided in the kernel
// (scheduler.py).

const SIGNS = { blocked: "…", running: "…", ended: "■", idle: "–" };

/** Make a label with a field to type into. */
function field(words, name, hint) {
  const label = make("label", name, `${words} `);
  const input = label.appendChild(make("input", ""));
  Object.assign(input, { type: "text", placeholder: hint, spellcheck: false, autocomplete: "off" });
  return { label, input };
}

function render({ model, el }) {
  const listings = model.get("listings");
  const colours = Object.fromEntries(listings.map((each) => [each.label, each]));
  const root = make("section", "shmlab-live shmlab-processes shmlab-scheduler");
  root.setAttribute("aria-label", model.get("title"));
  root.dataset.count = String(listings.length);
  root.appendChild(make("div", "title", model.get("title")));
  const tools = root.appendChild(make("div", "tools"));
  tools.setAttribute("role", "toolbar");
  tools.setAttribute("aria-label", "Controls of the schedule");
  const typed = root.appendChild(make("div", "tools typed"));
  typed.setAttribute("role", "group");
  typed.setAttribute("aria-label", "Whole schedules");
  const say = notice(root, "The kernel that ran these processes is gone, and they with it. Run the cells again from the top.");

  const body = root.appendChild(make("div", "body"));
  const shared = make("article", "shared");
  shared.appendChild(make("h3", "", "what they share"));
  const memory = shared.appendChild(make("dl", "memory"));
  const semaphores = shared.appendChild(make("div", "semaphores"));
  const verdict = root.appendChild(make("div", "verdict"));
  verdict.setAttribute("role", "status");
  verdict.hidden = true;
  const strip = root.appendChild(make("ol", "strip"));
  strip.tabIndex = 0;
  strip.setAttribute("aria-label", "The steps taken");
  const none = root.appendChild(make("p", "hint", "No step yet. Step buttons, or the keys of their letters, let one process on."));
  const offered = root.appendChild(make("div", "offered"));
  el.appendChild(root);

  let taken = "";

  /** Show the schedules that can be replayed: a row each, and a click on a row, or on its button, replays it. */
  function showOffered() {
    const { headings = [], rows = [], remarks = [] } = model.get("table");
    offered.hidden = !rows.length;
    offered.replaceChildren();
    if (!rows.length) return;
    offered.appendChild(make("p", "hint", "Click a row to replay it, in fresh processes."));
    const frame = offered.appendChild(make("div", "frame"));
    frame.tabIndex = 0;
    frame.setAttribute("role", "region");
    frame.setAttribute("aria-label", "Schedules to replay");
    const table = frame.appendChild(make("table", ""));
    const head = table.appendChild(make("thead", "")).appendChild(make("tr", ""));
    for (const heading of headings) head.appendChild(make("th", "", heading)).scope = "col";
    const body = table.appendChild(make("tbody", ""));
    rows.forEach(({ turns, cells: [schedule, ...cells] }, at) => {
      const line = body.appendChild(make("tr", ""));
      line.dataset.schedule = schedule;
      const choose = () => view.send({ do: "replay row", row: at });
      const pick = line.appendChild(make("td", "")).appendChild(button("", `Replay ${schedule}`, choose));
      pick.className = "pick";
      pick.setAttribute("aria-label", `Replay ${schedule}`);
      for (const [who, letters, chosen, words] of turns) {
        const node = chip(pick, who, letters);
        node.title = words;
        node.classList.toggle("let-on", !chosen);
      }
      for (const cell of cells) line.appendChild(make("td", "", cell));
      line.addEventListener("click", (event) => {
        if (!event.target.closest("button")) choose();
      });
    });
    for (const remark of remarks) offered.appendChild(make("div", "remark", remark));
    markOffered();
  }

  /** Mark the row whose schedule the panel stands at the end of. */
  function markOffered() {
    for (const line of offered.querySelectorAll("tbody tr")) {
      line.classList.toggle("chosen", line.dataset.schedule === root.dataset.schedule);
    }
  }

  /** Show the memory's values: a name and a value each, what the last step changed marked. */
  function showShared(content) {
    memory.replaceChildren();
    for (const [name, text, changed] of content.memory) {
      memory.appendChild(make("dt", "", name));
      memory.appendChild(make("dd", changed ? "changed" : "", text));
    }
    semaphores.replaceChildren();
    for (const { name, value, waiters, holders } of content.semaphores) {
      const node = semaphores.appendChild(make("div", "semaphore"));
      node.dataset.name = name;
      const line = node.appendChild(make("div", "line-of"));
      line.appendChild(make("span", "name", name));
      line.appendChild(make("span", "value", String(value))).title = "the semaphore's value";
      for (const [words, labels] of [["held by", holders], ["waiting", waiters]]) {
        if (!labels.length) continue;
        const who = node.appendChild(make("div", words === "waiting" ? "waiters" : "holders", `${words} `));
        for (const label of labels) chip(who, label);
      }
    }
    shared.hidden = !content.memory.length && !content.semaphores.length;
  }

  function chip(parent, label, text = label) {
    const node = parent.appendChild(make("span", "chip", text));
    paintIn(node, colours[label] ?? { colour: "#6b6b6b", ink: "#fff" });
    return node;
  }

  function showStrip(content) {
    const now = JSON.stringify([content.earlier, content.turns]);
    if (now === taken) return;
    taken = now;
    strip.replaceChildren();
    if (content.earlier) strip.appendChild(make("li", "earlier", `… ${content.earlier} before`));
    for (const turn of content.turns) {
      const item = strip.appendChild(make("li", `turn ${turn.kind}${turn.chosen ? "" : " let-on"}`));
      item.title = turn.words;
      const sign = turn.killed ? "†" : SIGNS[turn.kind] ?? "";
      const box = chip(item, turn.who, turn.who ? `${turn.who} ${sign}`.trim() : "all");
      box.classList.add("box");
      item.appendChild(make("span", "brief", turn.brief));
    }
    strip.scrollTop = strip.scrollHeight;
  }

  function show(content) {
    content.processes.forEach((state, index) => cards[index]?.show(state, state.can));
    showShared(content);
    showStrip(content);
    none.hidden = content.turns.length > 0;
    strip.hidden = !none.hidden;
    write(verdict, content.verdict);
    verdict.hidden = !content.verdict;
    root.dataset.kind = content.kind;
    root.dataset.schedule = content.schedule;
    root.dataset.turns = String(content.turns.length + content.earlier);
    markOffered();
    for (const [what, can] of Object.entries(content.can)) {
      if (buttons[what]) enable(buttons[what], can, root);
    }
  }

  let newest = 0;

  /** Show what there is, unless something newer is on the page: an order's outcome overtakes a frame. */
  function update({ shown, number }) {
    if (number < newest) return;
    newest = number;
    show(shown);
  }

  const view = follow(model, root, {
    ...say,
    paint: update,
    arrived(content) {
      // What an order came to doesn't wait for a frame.
      if (content.shown && content.frame === undefined) update(content);
      say.arrived(content);
    },
  });

  const cards = listings.map((listing, index) => {
    const tip = `Let ${listing.label} take one step (${keysOf(listings, index)})`;
    return processCard(listing, tip, () => view.send({ do: "step", label: listing.label }), root);
  });
  const [first, ...rest] = cards.map(({ card }) => card);
  body.append(...(listings.length === 2 ? [first, shared, ...rest] : [shared, first, ...rest]));

  const buttons = {};
  for (const [title, tip] of [
    ["Start", "Start the processes, or let them go on, at full speed"],
    ["Pause", "Stop each after the step it is in"],
    ["Stop", "End the processes"],
    ["Reset", "End the processes and be as new, the memory too"],
    ["Undo", "Take the last step back: fresh processes take all the others again (key Backspace)"],
  ]) {
    const what = title.toLowerCase();
    buttons[what] = tools.appendChild(button(title, tip, () => view.send({ do: what })));
    buttons[what].disabled = true;
  }
  const schedule = field("Schedule", "schedule", "so far");
  schedule.input.size = 12;
  const seed = field("Seed", "seed", "any");
  seed.input.size = 4;
  const replay = () => view.send({ do: "replay", schedule: schedule.input.value.trim() });
  const random = () => view.send({ do: "random", seed: seed.input.value.trim() });
  for (const [{ label, input }, title, tip, action] of [
    [schedule, "Replay", "Take the steps that you typed (AABB), or those so far, again in fresh processes", replay],
    [seed, "Random", "Take all steps in an order drawn at random; a seed gives the same order again", random],
  ]) {
    const group = typed.appendChild(make("span", "group"));
    group.appendChild(label);
    buttons[title.toLowerCase()] = group.appendChild(button(title, tip, action));
    input.addEventListener("keydown", (event) => {
      event.stopPropagation(); // a letter typed here is no step
      if (event.key === "Enter") action();
    });
  }

  steppedByKey(root, listings, cards.map(({ step }) => step), { Backspace: buttons.undo });

  model.on("change:table", showOffered);
  showOffered();

  return () => {
    model.off("change:table", showOffered);
    view.end();
  };
}

export default { render };
