// What every view that follows frames shares in the browser: which frame is painted when, what the kernel hears of
// it, and who looks. Put in front of the other scripts (see moving.py); a view passes its own painting.

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
 * Make the place below the buttons where the kernel says what went wrong; `gone` is what stands there when the kernel
 * itself is. Returns what `follow` is to be told of it.
 */
function notice(root, gone) {
  const node = root.appendChild(make("div", "say"));
  node.setAttribute("role", "status");
  node.hidden = true;
  const say = (text) => {
    node.hidden = !text;
    write(node, text);
  };
  return {
    arrived: (content) => content.say === undefined || say(content.say),
    failed: (error) => say(`This can't be shown: ${error}`),
    lost: () => say(gone),
  };
}

/**
 * Follow a model's frames for the view `root`. `paint(content, buffers)` paints one, at once or as a promise;
 * `arrived(content, idle)` hears of every message, and whether nothing is waiting to be painted; `failed(error)`
 * hears of a frame that couldn't be painted, `lost()` that the kernel is gone. Returns the functions that send a
 * message and that end it all.
 */
function follow(model, root, { paint, arrived = () => {}, failed = () => {}, lost = () => {} }) {
  const id = Math.random().toString(36).slice(2);
  let pending = null; // frames to paint next: one, or a whole one and the latest part of it
  let painting = false;
  let done = 0; // the newest frame painted
  let timer = 0;
  let seen = null;
  let onScreen = false;
  let ended = false;
  let gone = false;

  function send(content) {
    if (ended || gone) return;
    try {
      model.send(content);
    } catch {
      lose();
    }
  }

  function lose() {
    gone = true;
    lost();
  }

  function acknowledge(frame, heard) {
    done = frame;
    if (timer) return;
    // Each costs JupyterLab a redraw of its kernel indicator, so one for several frames. While a cell runs
    // nobody reads them (frame - heard grows), and a heap of them would delay the cell after it: fewer still.
    timer = setTimeout(() => {
      timer = 0;
      send({ ack: done, view: id, is: seen ? "seen" : "hidden" });
    }, frame - heard > 20 ? 500 : 80);
  }

  async function next() {
    if (painting || !pending || ended || gone) return;
    painting = true;
    const frames = pending;
    const { content } = frames[frames.length - 1];
    pending = null;
    try {
      for (const frame of frames) await paint(frame.content, frame.buffers);
    } catch (error) {
      failed(error);
    }
    painting = false;
    if (gone) return lost(); // it was lost meanwhile: what the frame says of the kernel isn't true any more
    acknowledge(content.frame, content.heard);
    if (pending) requestAnimationFrame(next);
  }

  function received(content, buffers) {
    arrived(content, !pending && !painting);
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
  const sight = new IntersectionObserver((entries) => {
    onScreen = entries[entries.length - 1].isIntersecting;
    look();
  });
  root.dataset.lmSuppressShortcuts = "true"; // a key pressed here is not meant for the notebook
  sight.observe(root);
  document.addEventListener("visibilitychange", look);
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", back);
  model.on("msg:custom", received);
  model.on("comm_live_update", lose);

  function end() {
    leave();
    ended = true;
    clearTimeout(timer);
    sight.disconnect();
    document.removeEventListener("visibilitychange", look);
    window.removeEventListener("pagehide", leave);
    window.removeEventListener("pageshow", back);
    model.off("msg:custom", received);
    model.off("comm_live_update", lose);
  }

  return { send, end };
}
