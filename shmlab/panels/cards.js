// The card of a process in the browser: who it is, where it is in its source, its variables, and what it printed.
// Put behind frames.js and source.js (see moving.py). What it shows comes from cards.py.

/**
 * Make the card of one process, with a Step button that `pressed` hears of, and `tip` explains. Returns it with the
 * function that shows a state, and whether the process can take a step.
 */
function processCard(listing, tip, pressed, root) {
  const card = make("article", "process");
  paintIn(card, listing);
  card.dataset.label = listing.label;
  const head = card.appendChild(make("header", ""));
  head.appendChild(make("span", "label", listing.label));
  head.appendChild(make("span", "program", `${listing.program} · ${listing.language}`));
  const step = head.appendChild(button(`Step ${listing.label}`, tip, pressed));
  const words = card.appendChild(make("p", "state", listing.unavailable));
  words.setAttribute("role", "status");
  const { source, mark } = listed(listing);
  card.appendChild(wrapped(source));
  const variables = card.appendChild(make("dl", "locals"));
  const output = card.appendChild(make("pre", "output"));
  output.hidden = true;
  step.disabled = Boolean(listing.unavailable);
  card.classList.toggle("unavailable", step.disabled);

  function show(state, can) {
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
    enable(step, can, root);
  }

  return { card, step, show };
}
