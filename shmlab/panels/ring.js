// The ring in the browser: the slots of a bounded buffer with head, tail and fill level, its semaphores beside it, and
// a slider for the speed of each process. Laid out as the still picture is (figures/ring.py).

const HEIGHT = 360; // of the ring, in CSS pixels
const [WIDEST, NARROW] = [940, 640]; // narrower than that, the semaphores stand below the ring
const PITCH = 88; // from one of them to the next
const OWN_SPEEDS = [1, 2, 4, 8, 16, 32, 64, 125, 250, 500, 1000, 0]; // steps a second; 0: as fast as it can
const TURN = 2 * Math.PI;

/** Where in OWN_SPEEDS a speed is, or the nearest. */
function positionOf(speed) {
  if (!(speed > 0)) return OWN_SPEEDS.length - 1;
  const far = (each) => (each > 0 ? Math.abs(Math.log(each / speed)) : Infinity);
  return OWN_SPEEDS.reduce((best, each, at) => (far(each) < far(OWN_SPEEDS[best]) ? at : best), 0);
}

/** Make the sliders, one a process; returns the function that shows the speeds. */
function sliders(model, root) {
  const group = make("div", "speeds");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", "Speed of each process");
  root.insertBefore(group, root.querySelector("canvas"));
  let shown = [];

  function fill() {
    group.hidden = model.get("listings").length === 0;
    shown = model.get("listings").map((listing, index) => {
      const label = make("label", "own-speed");
      label.dataset.label = listing.label;
      label.style.setProperty("--colour", listing.colour);
      label.appendChild(make("b", "", listing.label));
      const input = label.appendChild(make("input", ""));
      const words = label.appendChild(make("output", ""));
      Object.assign(input, { type: "range", min: 0, max: OWN_SPEEDS.length - 1, step: 1 });
      input.setAttribute("aria-label", `Speed of ${listing.label}`);
      input.addEventListener("input", () => {
        const speeds = [...model.get("speeds")];
        speeds[index] = OWN_SPEEDS[Number(input.value)];
        model.set("speeds", speeds);
        model.save_changes();
        show();
      });
      return { label, input, words };
    });
    group.replaceChildren(...shown.map(({ label }) => label));
    show();
  }

  function show() {
    model.get("speeds").forEach((speed, index) => {
      if (!shown[index]) return;
      const { input, words } = shown[index];
      input.value = positionOf(speed);
      write(words, speed > 0 ? `${speed} step${speed === 1 ? "" : "s"} a second` : "full speed");
      input.setAttribute("aria-valuetext", words.textContent);
    });
  }

  model.on("change:listings", fill);
  model.on("change:speeds", show);
  fill();
  return () => {
    model.off("change:listings", fill);
    model.off("change:speeds", show);
  };
}

function render({ model, el }) {
  let state = null;
  const { root, canvas, end } = watch(model, el, { paint, clear: () => { state = null; } });
  const endSliders = sliders(model, root);

  function paint(content) {
    state = content;
    draw();
  }

  function draw() {
    if (!state) return;
    const width = Math.min(root.clientWidth - 12, WIDEST);
    if (width <= 0) return;
    const ratio = window.devicePixelRatio || 1;
    const below = width < NARROW ? PITCH * (state.gates.length + 1) : 0;
    const height = HEIGHT + below;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
      Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    }
    const style = getComputedStyle(root);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const theme = { ink: style.color, family: style.fontFamily };
    ring(context, Math.min(172, width * 0.42), Math.min(215, width / 2), theme);
    if (below) rows(context, 8, HEIGHT + below / 2, theme);
    else rows(context, Math.min(480, width * 0.6), HEIGHT / 2, theme);
  }

  function text(context, words, x, y, { size, ink, family, bold = false, align = "center", quiet = false }) {
    context.font = `${bold ? "600 " : ""}${size}px ${family}`;
    context.textAlign = align;
    context.textBaseline = "middle";
    context.fillStyle = ink;
    context.globalAlpha = quiet ? 0.7 : 1;
    context.fillText(words, x, y);
    context.globalAlpha = 1;
  }

  function ring(context, reach, x, theme) {
    const { items, head, tail } = state;
    const [outer, inner, y] = [reach * 0.74, reach * 0.36, HEIGHT / 2];
    const each = TURN / items.length;
    const angle = (count) => -TURN / 4 + (count % items.length) * each;
    context.lineWidth = 2;
    context.strokeStyle = theme.ink;
    items.forEach((item, place) => {
      const middle = angle(place);
      context.beginPath();
      context.arc(x, y, outer, middle - each / 2, middle + each / 2);
      context.arc(x, y, inner, middle + each / 2, middle - each / 2, true);
      context.closePath();
      const [words, colour, full, on] = item ?? ["", "", false, ""];
      if (full) {
        context.fillStyle = colour;
        context.fill();
      }
      context.stroke();
      const [at, size] = [(outer + inner) / 2, items.length > 12 ? 14 : words.length > 4 ? 16 : 18];
      const look = { ...theme, size, bold: full, quiet: !full, ink: full ? on : theme.ink };
      text(context, words, x + at * Math.cos(middle), y + at * Math.sin(middle), look);
    });
    const fill = tail - head;
    text(context, `${fill} of ${items.length}`, x, y - 10, { ...theme, size: 26, bold: true });
    text(context, "slots full", x, y + 18, { ...theme, size: 17 });
    const apart = fill % items.length === 0 ? 0.17 : 0; // of the same slot: side by side
    for (const [words, count, aside] of [["head", head, -apart], ["tail", tail, apart]]) {
      const at = angle(count) + aside;
      arrow(context, x + 1.2 * outer * Math.cos(at), y + 1.2 * outer * Math.sin(at),
        x + 1.03 * outer * Math.cos(at), y + 1.03 * outer * Math.sin(at), theme.ink);
      const wide = 1.25 * outer + 24 * Math.abs(Math.cos(at + aside));
      text(context, words, x + wide * Math.cos(at + aside), y + (1.32 * outer) * Math.sin(at + aside),
        { ...theme, size: 19, bold: true });
    }
  }

  function arrow(context, fromX, fromY, toX, toY, ink) {
    const at = Math.atan2(toY - fromY, toX - fromX);
    context.fillStyle = ink;
    context.beginPath();
    context.moveTo(toX, toY);
    for (const side of [-0.45, 0.45]) context.lineTo(toX - 18 * Math.cos(at + side), toY - 18 * Math.sin(at + side));
    context.closePath();
    context.fill();
  }

  function rows(context, left, middle, theme) {
    const { gates, head, tail, trouble } = state;
    const all = [["buffer", `head ${head} · tail ${tail}`, trouble, Boolean(trouble)], ...gates];
    const pitch = Math.min(PITCH, HEIGHT / all.length);
    all.forEach(([word, value, words, striking], row) => {
      const y = middle + (row - (all.length - 1) / 2) * pitch;
      context.fillStyle = theme.ink;
      context.globalAlpha = striking ? 1 : 0.3;
      context.fillRect(left, y - 28, 8, 56);
      context.globalAlpha = 1;
      text(context, `${word}  ${value}`, left + 20, y - 12, { ...theme, size: 22, bold: true, align: "left" });
      text(context, words, left + 20, y + 15, { ...theme, size: 19, align: "left", quiet: !striking, bold: striking });
    });
  }

  const size = new ResizeObserver(draw);
  size.observe(root);

  return () => {
    size.disconnect();
    endSliders();
    end();
  };
}

export default { render };
