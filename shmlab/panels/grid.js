// The byte grid in the browser: raw bytes painted on a canvas, changed ones flashing, each readable by pointing.

/** matplotlib's cividis, 256 colours of three bytes: dark blue for 0, bright yellow for 255. */
const CIVIDIS =
  "00224e00234f00245100255300255400265600275800285900285b00295d002a5f002a61002b62002c64002c66002d68" +
  "002e6a002e6c002f6d00306f0030700031700031710132710533710833700c34700f357012357014367016377018376f" +
  "1a386f1c396f1e3a6f203a6f213b6e233c6e243c6e263d6e273e6e293f6e2a3f6d2b406d2d416d2e416d2f426d31436d" +
  "32436d33446d34456c35456c36466c38476c39486c3a486c3b496c3c4a6c3d4a6c3e4b6c3f4c6c404c6c414d6c424e6c" +
  "434e6c444f6c45506c46516c47516c48526c49536c4a536c4b546c4c556c4d556c4e566c4f576c50576c51586d52596d" +
  "535a6d545a6d555b6d555c6d565c6d575d6d585e6d595e6e5a5f6e5b606e5c616e5d616e5e626e5e636f5f636f60646f" +
  "61656f62656f636670646770656870656870666970676a71686a71696b716a6c716b6d726c6d726c6e726d6f726e6f73" +
  "6f70737071737172747272747273747374757474757575757676767777767777777878777979777a7a787b7a787c7b78" +
  "7d7c787e7c787e7d787f7e78807f78817f788280798381798482798582798683798784788885788985788a86788b8778" +
  "8c88788d88788e89788f8a78908b78918b78928c78928d78938e78948e77958f779690779791779892779992779a9376" +
  "9b94769c95769d95769e96769f9775a09875a19975a29975a39a74a49b74a59c74a69c74a79d73a89e73a99f73aaa073" +
  "aba072aca172ada272aea371afa471b0a571b1a570b3a670b4a76fb5a86fb6a96fb7a96eb8aa6eb9ab6dbaac6dbbad6d" +
  "bcae6cbdae6cbeaf6bbfb06bc0b16ac1b26ac2b369c3b369c4b468c5b568c6b667c7b767c8b866c9b965cbb965ccba64" +
  "cdbb63cebc63cfbd62d0be62d1bf61d2c060d3c05fd4c15fd5c25ed6c35dd7c45cd9c55cdac65bdbc75adcc859ddc858" +
  "dec958dfca57e0cb56e1cc55e2cd54e4ce53e5cf52e6d051e7d150e8d24fe9d34eead34cebd44bedd54aeed649efd748" +
  "f0d846f1d945f2da44f3db42f5dc41f6dd3ff7de3ef8df3cf9e03afbe138fce236fde334fee434fee535fee636fee838";
const LUT = Array.from({ length: 256 }, (_, value) =>
  [0, 2, 4].map((at) => parseInt(CIVIDIS.slice(value * 6 + at, value * 6 + at + 2), 16)));
const CHANGED = [0xe6, 0x9f, 0x00]; // palette.CHANGED
const FLASH = 400; // milliseconds
const LEVELS = 16; // of fading
/** What to paint a byte with, as little-endian RGBA: 256 words a level, from just changed to not at all. */
const DOTS = Uint32Array.from({ length: (LEVELS + 1) * 256 }, (_, at) => {
  const mix = 0.9 * (1 - Math.floor(at / 256) / LEVELS);
  const [red, green, blue] = LUT[at % 256].map((part, i) => Math.round(part + (CHANGED[i] - part) * mix));
  return (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
});
const HINT = "Point at a byte, or press Tab and use the arrow keys.";
const NOTATIONS = { hex: "hex", decimal: "decimal", characters: "characters" };

const hex = (value, digits = 2) => value.toString(16).padStart(digits, "0");
const printable = (value) => value > 0x20 && value < 0x7f;
const WRITTEN = {
  hex,
  decimal: String,
  characters: (value) => (printable(value) ? String.fromCharCode(value) : value === 0x20 ? "␣" : "·"),
};

function render({ model, el }) {
  let bytes = new Uint8Array(0);
  let changed = new Float64Array(0); // when each byte last changed, in performance.now() time
  let shape = null; // the last frame's geometry
  let cell = { width: 0, height: 0, left: 0, top: 0 }; // in CSS pixels
  let pointer = -1;
  let cursor = -1;
  let moving = false;
  let drawn = 0; // when, in performance.now() time
  let theme = null; // in which theme the axes were drawn; null when they have to be
  let image = null;
  const pixels = document.createElement("canvas");

  const { root, bar, canvas, end } = watch(model, el, { paint, clear: () => { shape = null; } });
  const choice = bar.appendChild(make("span", "notations"));
  choice.hidden = true;
  choice.setAttribute("role", "group");
  choice.setAttribute("aria-label", "Write bytes in");
  for (const [notation, label] of Object.entries(NOTATIONS)) {
    const button = choice.appendChild(make("button", "notation", label));
    button.type = "button";
    button.addEventListener("click", () => {
      model.set("notation", notation);
      model.save_changes();
    });
  }
  const readout = root.appendChild(make("div", "readout hint", HINT));
  const spoken = root.appendChild(make("div", "spoken"));
  spoken.setAttribute("aria-live", "polite");
  canvas.tabIndex = 0;

  // --- geometry ---------------------------------------------------------------------------------------

  const offset = (index) => shape.offset + Math.floor(index / shape.run) * shape.stride + (index % shape.run);

  function measure() {
    const { columns, rows, text } = shape;
    const digits = hex(offset(Math.max(0, bytes.length - 1)), 1).length;
    const left = 12 + Math.max(4, digits + 2) * 9.7;
    const room = Math.max(200, (root.clientWidth || 800) - left - 4);
    if (text) {
      const wide = Math.max(20, Math.min(56, Math.floor(room / columns)));
      cell = { width: wide, height: Math.max(28, Math.min(36, wide)), left, top: 26 };
    } else {
      const high = Math.max(1, Math.min(16, Math.floor(512 / rows)));
      cell = { width: Math.max(1, Math.min(high * 3, room / columns)), height: high, left, top: 26 };
    }
    const ratio = window.devicePixelRatio || 1;
    const width = Math.ceil(left + columns * cell.width + 2);
    const height = Math.ceil(cell.top + rows * cell.height + 2);
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.width = `${width}px`;
    }
    cell.ratio = ratio;
    theme = null;
  }

  function place(index) {
    const { columns } = shape;
    const row = Math.floor(index / columns);
    return [cell.left + (index % columns) * cell.width, cell.top + row * cell.height];
  }

  // --- painting ---------------------------------------------------------------------------------------

  function paint(content, [buffer]) {
    const now = performance.now();
    const next = new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    const same = shape && next.length === bytes.length &&
      ["offset", "stride", "run", "columns", "inode"].every((key) => shape[key] === content[key]);
    if (same) {
      for (let i = 0; i < next.length; i++) if (next[i] !== bytes[i]) changed[i] = now;
    } else {
      changed = new Float64Array(next.length).fill(-FLASH);
      if (cursor >= next.length) cursor = -1;
      pointer = -1;
    }
    bytes = next;
    shape = content;
    choice.hidden = !shape.text;
    if (!same) measure();
    draw(now);
    animate();
  }

  function animate() {
    if (moving) return;
    moving = true;
    requestAnimationFrame(function step() {
      moving = false;
      if (!shape || !root.isConnected) return;
      const now = performance.now();
      if (now - drawn < 8 || draw(now)) {
        moving = true;
        requestAnimationFrame(step);
      }
    });
  }

  /** Draw everything; return whether something still fades. */
  function draw(now) {
    if (!shape) return false;
    drawn = now;
    const context = canvas.getContext("2d");
    context.setTransform(cell.ratio, 0, 0, cell.ratio, 0, 0);
    if (theme !== document.body.dataset.jpThemeLight) {
      context.clearRect(0, 0, canvas.width, canvas.height);
      axes(context);
      theme = document.body.dataset.jpThemeLight;
    }
    context.save();
    context.beginPath();
    context.rect(cell.left, cell.top, shape.columns * cell.width, shape.rows * cell.height);
    context.clip(); // the axes beside it stay as they are
    context.clearRect(0, 0, canvas.width, canvas.height);
    const fading = shape.text ? cells(context, now) : dots(context, now);
    if (cursor >= 0 && document.activeElement === canvas) mark(context, cursor, 3);
    if (pointer >= 0) mark(context, pointer, 2);
    context.restore();
    read();
    return fading;
  }

  function axes(context) {
    const { columns, rows } = shape;
    const style = getComputedStyle(root);
    context.fillStyle = style.getPropertyValue("--jp-content-font-color1") || "#1a1a1a";
    context.font = "16px monospace";
    context.textBaseline = "middle";
    context.textAlign = "right";
    const every = Math.max(1, Math.ceil(24 / cell.height));
    const step = 2 ** Math.ceil(Math.log2(every));
    for (let row = 0; row < rows; row += step) {
      const middle = shape.text ? cell.height / 2 : Math.min(cell.height / 2, 8);
      context.fillText(`0x${hex(offset(row * columns), 1)}`, cell.left - 8, cell.top + row * cell.height + middle);
    }
    context.textAlign = shape.text ? "center" : "left";
    const apart = 2 ** Math.ceil(Math.log2(Math.max(1, 50 / cell.width)));
    for (let column = 0; column < columns; column += shape.text ? (columns > 16 ? 2 : 1) : apart) {
      const middle = shape.text ? cell.width / 2 : 0;
      context.fillText(`+${hex(column, 1)}`, cell.left + column * cell.width + middle, 12);
    }
  }

  function cells(context, now) {
    const write = WRITTEN[model.get("notation")] ?? WRITTEN.hex;
    const size = Math.max(16, Math.min(20, cell.width / (model.get("notation") === "decimal" ? 2 : 1.4)));
    let fading = false;
    context.font = `600 ${size}px monospace`;
    context.textAlign = "center";
    for (let i = 0; i < bytes.length; i++) {
      const [x, y] = place(i);
      const value = bytes[i];
      context.fillStyle = `rgb(${LUT[value]})`;
      context.fillRect(x, y, cell.width - 1, cell.height - 1);
      const fresh = 1 - (now - changed[i]) / FLASH;
      if (fresh > 0) {
        fading = true;
        context.globalAlpha = Math.min(1, fresh * 1.5);
        context.strokeStyle = `rgb(${CHANGED})`;
        context.lineWidth = 4;
        context.strokeRect(x + 2, y + 2, cell.width - 5, cell.height - 5);
        context.globalAlpha = 1;
      }
      context.fillStyle = value < 128 ? "#fff" : "#1a1a1a";
      context.fillText(write(value), x + cell.width / 2, y + cell.height / 2 + 1, cell.width - 4);
    }
    return fading;
  }

  function dots(context, now) {
    const { columns, rows } = shape;
    const plane = pixels.getContext("2d");
    if (image?.width !== columns || image.height !== rows) {
      Object.assign(pixels, { width: columns, height: rows });
      image = plane.createImageData(columns, rows);
    }
    const words = new Uint32Array(image.data.buffer).fill(0);
    const scale = LEVELS / FLASH;
    let fading = false;
    for (let i = 0; i < bytes.length; i++) {
      let level = ((now - changed[i]) * scale) | 0;
      if (level < LEVELS) fading = true;
      else level = LEVELS;
      words[i] = DOTS[(level << 8) | bytes[i]];
    }
    plane.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(pixels, cell.left, cell.top, columns * cell.width, rows * cell.height);
    return fading;
  }

  function mark(context, index, thick) {
    const [x, y] = place(index);
    const width = Math.max(cell.width, 5);
    const height = Math.max(cell.height, 5);
    for (const [colour, more] of [["#000", 2], ["#fff", 0]]) {
      context.strokeStyle = colour;
      context.lineWidth = thick + more;
      context.strokeRect(x - 0.5, y - 0.5, width, height);
    }
  }

  // --- reading one byte -------------------------------------------------------------------------------

  function words(index) {
    const value = bytes[index];
    const at = offset(index);
    const character = printable(value) ? `character '${String.fromCharCode(value)}'` : "not printable";
    return `offset ${at} (0x${hex(at, 1)}): hex ${hex(value)}, decimal ${value}, ${character}`;
  }

  function read() {
    const index = pointer >= 0 ? pointer : cursor;
    const text = index >= 0 && index < bytes.length ? words(index) : HINT;
    if (readout.textContent === text) return;
    readout.textContent = text;
    readout.classList.toggle("hint", text === HINT);
  }

  function point(event) {
    if (!shape) return;
    const box = canvas.getBoundingClientRect();
    const scale = canvas.width / cell.ratio / box.width;
    const column = Math.floor(((event.clientX - box.left) * scale - cell.left) / cell.width);
    const row = Math.floor(((event.clientY - box.top) * scale - cell.top) / cell.height);
    const index = row * shape.columns + column;
    const inside = column >= 0 && column < shape.columns && row >= 0 && index < bytes.length;
    const now = inside ? index : -1;
    if (now === pointer) return;
    pointer = now;
    animate();
  }

  function key(event) {
    if (!shape || event.ctrlKey || event.metaKey || event.altKey) return;
    const { columns } = shape;
    const page = columns * 8;
    const moves = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, PageUp: -page, PageDown: page,
      Home: -bytes.length, End: bytes.length,
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    event.stopPropagation();
    const wanted = Math.max(0, cursor) + moves[event.key];
    const vertical = Math.abs(moves[event.key]) === columns;
    if (!vertical || (wanted >= 0 && wanted < bytes.length)) cursor = Math.max(0, Math.min(bytes.length - 1, wanted));
    pointer = -1;
    spoken.textContent = words(cursor);
    animate();
  }

  function focus() {
    if (cursor < 0 && bytes.length) cursor = 0;
    if (shape) spoken.textContent = words(cursor);
    animate();
  }

  function notation() {
    for (const button of choice.children) {
      button.setAttribute("aria-pressed", String(button.textContent === NOTATIONS[model.get("notation")]));
    }
    animate();
  }

  const size = new ResizeObserver(() => {
    if (!shape) return;
    measure();
    animate();
  });
  size.observe(root);
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerleave", () => { pointer = -1; animate(); });
  canvas.addEventListener("keydown", key);
  canvas.addEventListener("focus", focus);
  canvas.addEventListener("blur", animate);
  model.on("change:notation", notation);
  notation();

  return () => {
    size.disconnect();
    model.off("change:notation", notation);
    end();
  };
}

export default { render };
