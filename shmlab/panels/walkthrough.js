// The walkthrough in the browser: a program's source, what its last step called and changed, and the drawing of it.
// Put behind frames.js, source.js and cards.js (see moving.py). What a click means is decided in the kernel
// (walkthrough.py).

/** Make a row of the last step: a heading, and beside it a place for text. */
function fact(facts, heading, name) {
  facts.appendChild(make("dt", "", heading));
  return facts.appendChild(make("dd", name));
}

/** Make a table of the kernel's view; what the step changed is marked beside the row and in its colour. */
function kernelTable({ caption, headings, rows, least }) {
  const holder = make("div", least ? "kernel wide" : "kernel");
  holder.style.setProperty("--least", `${least}ch`);
  const node = holder.appendChild(make("table", ""));
  node.appendChild(make("caption", "", caption));
  const head = node.appendChild(make("thead", "")).appendChild(make("tr", ""));
  head.appendChild(make("th", "mark")).setAttribute("aria-label", "change");
  if (!rows.length) head.hidden = true;
  for (const heading of headings) head.appendChild(make("th", "", heading));
  const body = node.appendChild(make("tbody", ""));
  for (const { what, mark, cells } of rows) {
    const row = body.appendChild(make("tr", what));
    if (mark) row.dataset.mark = mark;
    const sign = row.appendChild(make("td", "mark", mark));
    if (what) sign.setAttribute("aria-label", what);
    for (const lines of cells) {
      const cell = row.appendChild(make("td", ""));
      for (const [text, differs] of lines) cell.appendChild(make("div", differs ? "differs" : "", text));
    }
  }
  if (!rows.length) {
    const none = body.appendChild(make("tr", "none")).appendChild(make("td", "", "nothing"));
    none.colSpan = headings.length + 1;
  }
  return holder;
}

function render({ model, el }) {
  const listing = model.get("listing");
  const root = make("section", "shmlab-live shmlab-processes shmlab-walk");
  root.setAttribute("aria-label", model.get("title"));
  root.appendChild(make("div", "title", model.get("title")));
  const tools = root.appendChild(make("div", "tools"));
  tools.setAttribute("role", "toolbar");
  tools.setAttribute("aria-label", "Controls of the walk");
  const say = notice(root, "The kernel that ran this process is gone, and the process with it. Run the cells again from the top.");

  const body = root.appendChild(make("div", "body"));
  const tip = `Let ${listing.label} take one step (${keysOf([listing], 0)})`;
  const { card, step, show } = processCard(listing, tip, () => view.send({ do: "step" }), root);
  body.appendChild(card);

  const last = body.appendChild(make("article", "last"));
  const heading = last.appendChild(make("h3", "heading"));
  heading.setAttribute("role", "status");
  const hint = last.appendChild(make("p", "hint", `Step ${listing.label} starts the process and takes its first step.`));
  const facts = last.appendChild(make("dl", "facts"));
  const prototype = fact(facts, "prototype", "prototype");
  const call = fact(facts, "call", "call");
  const result = fact(facts, "result", "result");
  const calls = fact(facts, "system calls", "calls");
  const tables = last.appendChild(make("div", "tables"));
  const picture = root.appendChild(make("img", "drawing"));
  picture.hidden = true;
  el.appendChild(root);

  const fill = (node, text) => {
    write(node, text);
    node.hidden = node.previousElementSibling.hidden = !text;
  };

  async function draw(png) {
    const url = URL.createObjectURL(new Blob([png], { type: "image/png" }));
    const old = picture.src;
    picture.src = url;
    picture.hidden = false;
    try {
      await picture.decode();
    } finally {
      if (old) URL.revokeObjectURL(old);
    }
  }

  const view = follow(model, root, {
    ...say,
    async paint(content, [png]) {
      show(content, content.can.step);
      write(heading, content.heading);
      hint.hidden = content.step > 0 || Boolean(listing.unavailable);
      facts.hidden = content.step === 0;
      fill(prototype, content.prototype);
      fill(call, content.call);
      fill(result, content.result);
      result.classList.toggle("none", content.nothing);
      fill(calls, content.calls.join("\n") || content.none);
      calls.classList.toggle("none", !content.calls.length);
      tables.replaceChildren(...content.tables.map(kernelTable));
      for (const [what, node] of Object.entries(buttons)) {
        enable(node, content.can[what], root);
      }
      picture.alt = content.sentence;
      await draw(png);
      root.dataset.step = String(content.step);
    },
  });

  const buttons = { step };
  for (const [title, tip] of [
    ["Start", "Take all the remaining steps"],
    ["Reset", "End the process and be as new"],
    ["Undo", "Take the last step back: a fresh process takes all the others again (key Backspace)"],
  ]) {
    const what = title.toLowerCase();
    buttons[what] = tools.appendChild(button(title, tip, () => view.send({ do: what })));
  }
  for (const each of Object.values(buttons)) each.disabled = Boolean(listing.unavailable);
  steppedByKey(root, [listing], [step], { Backspace: buttons.undo });

  return () => {
    view.end();
    URL.revokeObjectURL(picture.src);
  };
}

export default { render };
