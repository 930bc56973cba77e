// A prediction: a question, a button for each option, and what is said to the one that was chosen.
// What is right is known in the kernel alone (check.py); each click asks it.

function make(tag, name, words) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (words) node.textContent = words;
  return node;
}

function render({ model, el }) {
  const root = make("section", "shmlab-check");
  // JupyterLab's one-letter shortcuts (and its arrow keys) must not take the keys of a focused button.
  root.dataset.lmSuppressShortcuts = "true";
  const ask = root.appendChild(make("p", "ask"));
  ask.appendChild(make("strong", "", "Predict: "));
  ask.append(model.get("text"));
  const list = root.appendChild(make("ol", "options"));
  const buttons = model.get("options").map((text, index) => {
    const item = list.appendChild(make("li"));
    const button = item.appendChild(make("button"));
    button.type = "button";
    button.appendChild(make("span", "letter", "ABCDEFGH"[index]));
    button.appendChild(make("span", "text", text));
    const word = button.appendChild(make("span", "word"));
    button.addEventListener("click", () => {
      button.setAttribute("aria-busy", "true");
      model.send({ choose: index });
    });
    return { button, word };
  });
  const reply = root.appendChild(make("div", "reply"));
  reply.setAttribute("role", "status");

  function show() {
    const chosen = model.get("chosen");
    for (const { option, right } of chosen) {
      const { button, word } = buttons[option];
      button.removeAttribute("aria-busy");
      button.dataset.told = right ? "right" : "wrong";
      word.textContent = right ? "✓ Right" : "✗ Not so";
    }
    const last = chosen.at(-1);
    buttons.forEach(({ button }, index) => button.setAttribute("aria-pressed", String(last?.option === index)));
    reply.hidden = !last;
    if (last) {
      reply.dataset.told = last.right ? "right" : "wrong";
      reply.replaceChildren(make("strong", "", last.right ? "✓ Right. " : "✗ Not so. "), last.reply);
    }
  }

  model.on("change:chosen", show);
  show();
  el.appendChild(root);
  return () => model.off("change:chosen", show);
}

export default { render };
