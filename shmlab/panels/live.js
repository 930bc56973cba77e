// What the live views of an object share in the browser: title, caption, the sentence that says why there is nothing
// to see, and a canvas. Put behind frames.js (see moving.py); a view passes its own painting.

/**
 * Watch an object. `paint(content, buffers)` paints a frame on the canvas, at once or as a promise; `clear()` is
 * called when there is nothing to show. A view that shows text gives an element of its own as the `surface`. Returns
 * the parts of the view and the function that ends it.
 */
function watch(model, el, { paint, clear = () => {}, surface = null }) {
  const root = make("section", "shmlab-live");
  const bar = root.appendChild(make("div", "bar"));
  const title = bar.appendChild(make("span", "title"));
  const caption = bar.appendChild(make("span", "caption"));
  const say = root.appendChild(make("div", "say"));
  const words = say.appendChild(make("span", "words"));
  const again = say.appendChild(make("button", "again", "Watch again"));
  const canvas = root.appendChild(surface ?? make("canvas", ""));
  canvas.setAttribute("role", surface ? "group" : "img");
  canvas.dataset.painted = "0";
  again.type = "button";
  say.setAttribute("role", "status");
  el.appendChild(root);

  let verdict = ""; // why no more frames come
  let problem = ""; // why there is nothing to see
  let painted = 0;
  let sentence = null;

  function state(now, text = "", button = false) {
    if (root.dataset.state !== now) root.dataset.state = now;
    say.hidden = !text;
    again.hidden = !button;
    write(words, text);
  }

  /** Describe the canvas, twice a second at most: whoever hears it can't follow faster. */
  function describe(text) {
    if (sentence === null) setTimeout(() => { canvas.setAttribute("aria-label", sentence); sentence = null; }, 500);
    sentence = text;
  }

  const judge = () => (verdict ? state("stopped", verdict, true) : state(problem ? "waiting" : "live", problem));

  state("waiting");
  const view = follow(model, root, {
    async paint(content, buffers) {
      write(title, content.title);
      write(caption, content.caption);
      describe(content.sentence);
      canvas.hidden = Boolean(content.problem) && painted === 0;
      if (content.problem) {
        clear();
      } else {
        await paint(content, buffers);
        canvas.dataset.painted = String(++painted);
      }
      canvas.dataset.frame = String(content.frame);
      problem = content.problem;
      judge();
    },
    arrived(content, idle) {
      verdict = content.say ?? "";
      if (content.say !== undefined && idle) judge();
    },
    failed: (error) => state("stopped", `This frame can't be painted: ${error}`),
    lost: () => state("gone", "The kernel that drew this is gone. Run the cell again to see it live."),
  });
  again.addEventListener("click", () => view.send({ again: true }));
  return { root, bar, canvas, ...view };
}
