// The table of statements in the browser: filters, a row a statement, and what the kernel found of each.
// Put behind frames.js and source.js (see moving.py). What decides a statement is in the kernel (statements.py).

/** Say where a lesson is: a link that JupyterLab opens in a tab of its own, and any other page as a file. */
function lessonLink({ lesson, link }) {
  const words = `lesson ${lesson}`;
  if (!link) return make("span", "lesson", words);
  const node = make("a", "lesson", words);
  const [, folder = ""] = decodeURIComponent(window.location.pathname).match(/\/(?:tree|notebooks)\/(.*\/)?[^/]*$/) ?? [];
  node.href = link;
  node.title = `Open lesson ${lesson}`;
  node.dataset.commandlinkerCommand = "docmanager:open";
  node.dataset.commandlinkerArgs = JSON.stringify({ path: folder + link });
  return node;
}

/** Make a choice of a filter, all of them first. */
function choice(title, all, options) {
  const label = make("label", "choice", `${title} `);
  const select = label.appendChild(make("select", `by-${title}`));
  for (const option of ["", ...options]) {
    select.appendChild(make("option", "", option || all)).value = option;
  }
  return { label, select };
}

function render({ model, el }) {
  const rows = model.get("rows");
  const { verdict: verdicts, section: sections, colours } = model.get("choices");
  const root = make("section", "shmlab-live shmlab-statements");
  root.tabIndex = -1;
  root.setAttribute("aria-label", "The document's statements");

  const filters = root.appendChild(make("div", "tools filters"));
  filters.setAttribute("role", "search");
  const search = make("input", "search");
  search.type = "search";
  search.placeholder = "search: ftruncate";
  search.setAttribute("aria-label", "Show only statements with these words");
  filters.appendChild(search);
  const verdict = choice("verdict", "all verdicts", verdicts);
  const section = choice("section", "all sections", sections);
  filters.append(verdict.label, section.label);
  const count = filters.appendChild(make("span", "count"));
  count.setAttribute("role", "status");

  const tools = root.appendChild(make("div", "tools"));
  tools.setAttribute("role", "toolbar");
  tools.setAttribute("aria-label", "Decide statements");
  const progress = make("progress", "");
  progress.setAttribute("aria-label", "Statements decided in this run");
  const far = make("span", "far");
  const sum = root.appendChild(make("p", "sum"));
  sum.setAttribute("role", "status");
  const say = notice(root, "The kernel that decides is gone. Run the cells again from the top.");

  const frame = root.appendChild(make("div", "frame"));
  frame.tabIndex = 0;
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", "Table of statements");
  const table = frame.appendChild(make("table", ""));
  const head = table.appendChild(make("thead", "")).appendChild(make("tr", ""));
  for (const title of ["", "statement", "verdict", "on this kernel"]) {
    const cell = head.appendChild(make("th", "", title));
    cell.scope = "col";
    if (!title) cell.setAttribute("aria-label", "number");
  }
  const body = table.appendChild(make("tbody", ""));
  const none = root.appendChild(make("p", "none", "No statement has all of these words."));
  el.appendChild(root);

  const lines = new Map();
  for (const row of rows) {
    const line = body.appendChild(make("tr", ""));
    line.dataset.id = row.id;
    const number = line.appendChild(make("th", "number", row.id));
    number.scope = "row";
    number.appendChild(lessonLink(row));
    const words = line.appendChild(make("td", "words"));
    words.appendChild(make("div", "section", row.section));
    words.appendChild(make("div", "said", row.words));
    if (row.correction) words.appendChild(make("div", "correction", row.correction));
    const badge = line.appendChild(make("td", "")).appendChild(make("span", "badge", `${row.sign} ${row.verdict}`));
    [badge.style.background, badge.style.color] = colours[row.verdict];
    const found = line.appendChild(make("td", "found"));
    const bar = found.appendChild(make("div", "bar"));
    const status = bar.appendChild(make("span", "status", "not run yet"));
    const run = bar.appendChild(button("Run", `Decide ${row.id} on this kernel`, () => view.send({ run: [row.id] })));
    run.setAttribute("aria-label", `Run ${row.id}`);
    const seen = found.appendChild(make("ul", "seen"));
    seen.hidden = true;
    lines.set(row.id, { row, line, status, run, seen, told: "" });
  }

  const shown = () => [...lines.values()].filter(({ line }) => !line.hidden).map(({ row }) => row.id);

  function filter() {
    const words = model.get("text").toLowerCase().split(/\s+/).filter(Boolean);
    for (const { row, line } of lines.values()) {
      line.hidden = !(
        words.every((word) => row.search.includes(word)) &&
        ["", row.verdict].includes(model.get("verdict")) &&
        ["", row.section].includes(model.get("section"))
      );
    }
    if (search.value.trim() !== model.get("text").trim()) search.value = model.get("text");
    verdict.select.value = model.get("verdict");
    section.select.value = model.get("section");
    const number = shown().length;
    write(count, `${number} of ${rows.length} shown`);
    none.hidden = number > 0;
    frame.hidden = number === 0;
    write(all, number === rows.length ? "Run all" : `Run these ${number}`);
    all.disabled = root.dataset.running === "true" || number === 0;
  }

  function choose(name, value) {
    model.set(name, value);
    model.save_changes();
    filter();
  }

  function tell({ line, status, seen, run }, finding, waiting, now) {
    const kind = now ? "now" : waiting ? "waiting" : (finding?.status ?? "");
    const words = now ? "running …" : waiting ? "waiting" : (finding?.words ?? "not run yet");
    line.dataset.status = kind;
    write(status, words);
    run.disabled = now || waiting;
    if (now || waiting || !finding) return;
    seen.replaceChildren(
      ...finding.lines.map((text) => {
        const [, sign, rest] = text.match(/^([+\u2212]) (.*)$/s) ?? [null, "", text];
        const item = make("li", sign === "+" ? "for" : sign ? "against" : "surprise");
        if (sign) {
          const mark = item.appendChild(make("b", "mark", sign));
          mark.setAttribute("aria-label", sign === "+" ? "for it:" : "against it:");
        }
        item.appendChild(make("span", "", rest));
        return item;
      }),
    );
    seen.hidden = !finding.lines.length;
  }

  const view = follow(model, root, {
    ...say,
    paint(content) {
      const waiting = new Set(content.waiting);
      for (const [id, line] of lines) {
        const finding = content.findings[id];
        const told = JSON.stringify([finding, waiting.has(id), content.now === id]);
        if (told !== line.told) tell(line, finding, waiting.has(id), content.now === id);
        line.told = told;
      }
      root.dataset.running = String(content.running);
      progress.max = Math.max(content.asked, 1);
      progress.value = content.answered;
      progress.hidden = far.hidden = !content.asked;
      write(far, content.running ? `${content.answered} of ${content.asked}` : "");
      enable(stop, content.running, root);
      all.disabled = content.running || shown().length === 0;
      write(sum, content.sentence);
    },
  });

  const all = tools.appendChild(
    button("Run all", "Decide the statements that are shown, one after the other", () => view.send({ run: shown() })),
  );
  const stop = tools.appendChild(button("Stop", "Stop after the one that is being decided", () => view.send({ do: "stop" })));
  stop.disabled = true;
  tools.append(progress, far);
  progress.hidden = far.hidden = true;

  search.addEventListener("input", () => choose("text", search.value));
  verdict.select.addEventListener("change", () => choose("verdict", verdict.select.value));
  section.select.addEventListener("change", () => choose("section", section.select.value));
  const names = ["text", "verdict", "section"];
  for (const name of names) model.on(`change:${name}`, filter);
  filter();

  return () => {
    for (const name of names) model.off(`change:${name}`, filter);
    view.end();
  };
}

export default { render };
