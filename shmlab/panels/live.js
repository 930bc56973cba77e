// What the live views share in the browser: the frame around the canvas, which frame is painted when, and what
// the kernel hears of it. Put in front of grid.js and picture.js (see live.py); a view passes its own painting.

/** Make an element of a class, with text. */
function make(tag, name, text = "") {
  const node = document.createElement(tag);
  node.className = name;
  node.textContent = text;
  return node;
}

/** Set a text that may be the same as before, which would cost a layout of the page. */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Watch frames. `paint(content, buffers)` paints one, at once or as a promise; `clear()` is called when there is
 * nothing to show. Returns the parts of the view and the function that ends it.
 */
function watch(model, el, { paint, clear = () => {} }) {
  const id = Math.random().toString(36).slice(2);
  const root = make("section", "shmlab-live");
  const bar = root.appendChild(make("div", "bar"));
  const title = bar.appendChild(make("span", "title"));
  const caption = bar.appendChild(make("span", "caption"));
  const say = root.appendChild(make("div", "say"));
  const words = say.appendChild(make("span", "words"));
  const again = say.appendChild(make("button", "again", "Watch again"));
  const canvas = root.appendChild(make("canvas", ""));
  root.dataset.lmSuppressShortcuts = "true"; // arrow keys move in the grid, not from cell to cell
  canvas.setAttribute("role", "img");
  canvas.dataset.painted = "0";
  again.type = "button";
  say.setAttribute("role", "status");
  el.appendChild(root);

  let pending = null; // frames to paint next: one, or a whole one and the latest part of it
  let verdict = ""; // why no more frames come
  let painting = false;
  let painted = 0;
  let done = 0; // the newest frame painted
  let timer = 0;
  let sentence = null;
  let seen = null;
  let onScreen = false;
  let ended = false;

  function send(content) {
    if (ended || root.dataset.state === "gone") return;
    try {
      model.send(content);
    } catch {
      state("gone");
    }
  }

  function state(now, text = "", button = false) {
    if (root.dataset.state !== now) root.dataset.state = now;
    if (now === "gone") text = "The kernel that drew this is gone. Run the cell again to see it live.";
    say.hidden = !text;
    again.hidden = !button;
    write(words, text);
  }

  function acknowledge(frame, heard) {
    done = frame;
    if (timer) return;
    // Each costs JupyterLab a redraw of its kernel indicator, so one for several frames. While a cell runs
    // nobody reads them (frame - heard grows), and a heap of them would delay the cell after it: fewer still.
    timer = setTimeout(() => {
      timer = 0;
      send({ ack: done });
    }, frame - heard > 12 ? 500 : 40);
  }

  /** Describe the canvas, twice a second at most: whoever hears it can't follow faster. */
  function describe(text) {
    if (sentence === null) setTimeout(() => { canvas.setAttribute("aria-label", sentence); sentence = null; }, 500);
    sentence = text;
  }

  async function next() {
    if (painting || !pending || ended) return;
    painting = true;
    const frames = pending;
    const { content } = frames[frames.length - 1];
    pending = null;
    try {
      write(title, content.title);
      write(caption, content.caption);
      describe(content.sentence);
      canvas.hidden = Boolean(content.problem) && painted === 0;
      if (content.problem) clear();
      else for (const frame of frames) await paint(frame.content, frame.buffers);
      if (!content.problem) canvas.dataset.painted = String(++painted);
      canvas.dataset.frame = String(content.frame);
      if (verdict) state("stopped", verdict, true);
      else state(content.problem ? "waiting" : "live", content.problem);
    } catch (error) {
      state("stopped", `This frame can't be painted: ${error}`);
    }
    painting = false;
    acknowledge(content.frame, content.heard);
    if (pending) requestAnimationFrame(next);
  }

  function received(content, buffers) {
    verdict = content.say ?? "";
    if (verdict && !pending && !painting) state("stopped", verdict, true);
    if (content.frame === undefined) return;
    if (!pending && !painting) requestAnimationFrame(next);
    // One that wasn't painted yet is skipped, unless it is what a part is to be painted on.
    const ground = content.part ? (pending ?? []).filter((frame) => !frame.content.part) : [];
    pending = [...ground, { content, buffers }];
  }

  function look() {
    const now = onScreen && !document.hidden;
    if (now !== seen) send({ view: id, is: now ? "seen" : "hidden" });
    seen = now;
  }

  const leave = () => send({ view: id, is: "gone" });
  const back = () => { seen = null; look(); };
  const lost = () => state("gone");
  const sight = new IntersectionObserver((entries) => {
    onScreen = entries[entries.length - 1].isIntersecting;
    look();
  });
  state("waiting");
  sight.observe(root);
  document.addEventListener("visibilitychange", look);
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", back);
  again.addEventListener("click", () => send({ again: true }));
  model.on("msg:custom", received);
  model.on("comm_live_update", lost);

  function end() {
    leave();
    ended = true;
    clearTimeout(timer);
    sight.disconnect();
    document.removeEventListener("visibilitychange", look);
    window.removeEventListener("pagehide", leave);
    window.removeEventListener("pageshow", back);
    model.off("msg:custom", received);
    model.off("comm_live_update", lost);
  }

  return { root, bar, canvas, end };
}
