// The race in the browser: expected against actual count, the lost ones as a hatched band, the switch for the cure, and
// the updates a second that each cure came to. Laid out as the still picture is (figures/race.py).

const HEIGHT = 400; // CSS pixels
const [WIDEST, NARROW] = [1100, 720]; // narrower than that, the rates stand below the plot
const [ACTUAL, LOST] = ["#0072B2", "#D55E00"];
const SIZE = 17; // of type
const ROW = 62; // from one rate to the next

/** A number as short as an axis wants it. */
function short(value) {
  for (const [power, word] of [[1e9, "billion"], [1e6, "million"]]) {
    if (value >= power) return `${Number((value / power).toPrecision(3))} ${word}`;
  }
  return Number(value.toPrecision(3)).toLocaleString("en-GB");
}

/** Steps of 1, 2 or 5 up to `most`, at most `count` of them. */
function ticks(most, count) {
  const rough = most / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= rough);
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, at) => at * step);
}

/** Make the switch: a button a cure; returns the function that shows which one is in force. */
function cureSwitch(model, root, send) {
  const group = make("div", "cures");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", "What guards each increment");
  root.insertBefore(group, root.querySelector("canvas"));
  let current = "";

  function fill() {
    group.replaceChildren(make("span", "", "Guarded by:"), ...model.get("cures").map((cure) => {
      const button = make("button", "cure", cure === "none" ? "nothing" : cure);
      button.type = "button";
      button.dataset.cure = cure;
      button.addEventListener("click", () => send({ cure }));
      return button;
    }));
    show(current);
  }

  function show(cure) {
    current = cure;
    for (const button of group.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.cure === cure));
    }
  }

  model.on("change:cures", fill);
  fill();
  return { show, end: () => model.off("change:cures", fill) };
}

function render({ model, el }) {
  let state = null;
  const { root, canvas, send, end } = watch(model, el, { paint, clear: () => { state = null; } });
  const switched = cureSwitch(model, root, send);

  function paint(content, [buffer]) {
    const { buffer: bytes, byteOffset, byteLength } = buffer;
    const points = new Float64Array(bytes.slice(byteOffset, byteOffset + byteLength));
    state = { ...content, points };
    switched.show(content.cure);
    draw();
  }

  function draw() {
    if (!state) return;
    const width = Math.min(root.clientWidth - 12, WIDEST);
    if (width <= 0) return;
    const ratio = window.devicePixelRatio || 1;
    const below = width < NARROW;
    const height = HEIGHT + (below ? ROW * state.rates.length + 70 : 0);
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
      Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    }
    const style = getComputedStyle(root);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const theme = { ink: style.color, family: style.fontFamily };
    plot(context, below ? width : width * 0.64, theme);
    if (below) rates(context, 8, HEIGHT + 10, width - 16, theme);
    else rates(context, width * 0.69, 20, width * 0.31 - 6, theme);
  }

  function text(context, words, x, y, { ink, family, size = SIZE, bold = false, align = "left", base = "middle", most }) {
    context.font = `${bold ? "600 " : ""}${size}px ${family}`;
    context.textAlign = align;
    context.textBaseline = base;
    context.fillStyle = ink;
    context.fillText(words, x, y, most); // undefined: as wide as it is
  }

  function plot(context, width, theme) {
    const { points, spells } = state;
    const count = points.length / 3;
    const last = points.length - 3;
    const [left, right, top, bottom] = [112, width - 14, 26, HEIGHT - 62];
    const longest = Math.max(points[last], 0.1);
    const most = Math.max(points[last + 1], points[last + 2], 4) * 1.18;
    const x = (seconds) => left + (right - left) * seconds / longest;
    const y = (value) => bottom - (bottom - top) * value / most;

    context.strokeStyle = theme.ink;
    context.lineWidth = 1;
    for (const each of ticks(most, 5)) {
      context.globalAlpha = 0.2;
      line(context, left, y(each), right, y(each));
      context.globalAlpha = 1;
      text(context, short(each), left - 8, y(each), { ...theme, align: "right" });
    }
    for (const each of ticks(longest, 6)) {
      text(context, Number(each.toPrecision(3)), x(each), bottom + 8, { ...theme, align: "center", base: "top" });
    }
    text(context, "seconds of race", (left + right) / 2, HEIGHT - 8, { ...theme, align: "center", base: "bottom" });
    text(context, "increments", left, 12, theme);
    line(context, left, top, left, bottom);
    line(context, left, bottom, right, bottom);

    const along = (offset, from = 0) => {
      for (let at = from; at < count; at += 1) context.lineTo(x(points[3 * at]), y(points[3 * at + offset]));
    };
    context.save();
    context.beginPath();
    along(1);
    for (let at = count - 1; at >= 0; at -= 1) context.lineTo(x(points[3 * at]), y(points[3 * at + 2]));
    context.closePath();
    context.clip();
    context.fillStyle = LOST;
    context.globalAlpha = 0.25;
    context.fillRect(left, top, right - left, bottom - top);
    context.globalAlpha = 0.8;
    context.strokeStyle = LOST;
    context.lineWidth = 2;
    for (let at = left - (bottom - top); at < right; at += 14) line(context, at, bottom, at + bottom - top, top);
    context.restore();

    context.lineWidth = 4;
    context.strokeStyle = ACTUAL;
    context.beginPath();
    along(2);
    context.stroke();
    context.lineWidth = 3;
    context.strokeStyle = theme.ink;
    context.setLineDash([10, 6]);
    context.beginPath();
    along(1);
    context.stroke();
    context.setLineDash([2, 5]);
    context.lineWidth = 2;
    const ends = [...spells.slice(1).map(([begin]) => begin), points[last]];
    spells.forEach(([begin, cure], at) => {
      if (begin > 0) line(context, x(begin), top, x(begin), bottom);
      if (x(ends[at]) - x(begin) < 80) return;
      const words = cure === "none" ? "nothing" : cure.replace(/ semaphore$/, "");
      text(context, words, (x(begin) + x(ends[at])) / 2, top + 10, { ...theme, align: "center" });
    });
    context.setLineDash([]);
    legend(context, left + 16, top + 62, theme);
  }

  function line(context, fromX, fromY, toX, toY) {
    context.beginPath();
    context.moveTo(fromX, fromY);
    context.lineTo(toX, toY);
    context.stroke();
  }

  function legend(context, x, y, theme) {
    [["expected", theme.ink, [10, 6], 3], ["counted", ACTUAL, [], 4], ["lost", LOST, null, 0]].forEach(
      ([words, colour, dash, thick], row) => {
        const at = y + 26 * row;
        context.fillStyle = colour;
        context.strokeStyle = colour;
        if (dash) {
          context.lineWidth = thick;
          context.setLineDash(dash);
          line(context, x, at, x + 42, at);
          context.setLineDash([]);
        } else {
          context.globalAlpha = 0.6;
          context.fillRect(x, at - 9, 42, 18);
          context.globalAlpha = 1;
        }
        text(context, words, x + 52, at, { ...theme, size: 18 });
      });
  }

  /** The updates a second of each cure, on a logarithmic axis: a decade as long as the one before. */
  function rates(context, left, top, width, theme) {
    const known = state.rates.map(([, rate]) => rate).filter((rate) => rate);
    const [least, most] = known.length ? [Math.min(...known), Math.max(...known)] : [1e4, 1e5];
    const low = Math.floor(Math.log10(least) - 0.5);
    const high = Math.log10(most) + 0.15;
    const along = (decade) => left + width * (decade - low) / (high - low);
    const bottom = top + 26 + ROW * state.rates.length;
    text(context, "updates a second", left, top, theme);
    context.strokeStyle = theme.ink;
    context.lineWidth = 1;
    for (let decade = low; decade <= high; decade += 1) {
      context.globalAlpha = 0.3;
      line(context, along(decade), top + 18, along(decade), bottom);
      context.globalAlpha = 1;
      const align = decade === low ? "left" : along(decade) > left + 0.85 * width ? "right" : "center";
      text(context, short(10 ** decade), along(decade), bottom + 14, { ...theme, size: 15, align });
    }
    state.rates.forEach(([cure, rate, words], row) => {
      const y = top + 34 + ROW * row;
      const inForce = cure === state.cure;
      const called = cure === "none" ? "nothing" : cure;
      if (rate) {
        context.globalAlpha = inForce ? 1 : 0.45;
        context.fillStyle = inForce ? ACTUAL : theme.ink;
        context.fillRect(left, y + 14, along(Math.log10(rate)) - left, 18);
        context.globalAlpha = 1;
      }
      text(context, `${called}: ${words}`, left + 4, y, { ...theme, size: 18, bold: inForce, most: width - 4 });
    });
  }

  const size = new ResizeObserver(draw);
  size.observe(root);

  return () => {
    size.disconnect();
    switched.end();
    end();
  };
}

export default { render };
