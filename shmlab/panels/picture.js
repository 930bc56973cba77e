// The live plot in the browser: axes drawn once in the kernel, and on them, frame by frame, the line alone.

function render({ model, el }) {
  let ground = null;
  const decode = (png) => createImageBitmap(new Blob([png], { type: "image/png" }));

  async function paint({ x, y, width, height }, pictures) {
    const line = await decode(pictures[pictures.length - 1]);
    if (pictures.length > 1) ground = await decode(pictures[0]);
    if (!ground) return; // it's on its way
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.drawImage(ground, 0, 0);
    context.drawImage(line, x, y);
    line.close();
  }

  const { canvas, end } = watch(model, el, { paint });
  return end;
}

export default { render };
