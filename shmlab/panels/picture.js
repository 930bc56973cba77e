// The live plot in the browser: PNG pictures drawn in the kernel, whole ones and then only the part that moves.

function render({ model, el }) {
  let ground = false;
  async function paint({ x, y, width, height, part }, [png]) {
    if (part && !ground) return; // the whole one is on its way
    const picture = await createImageBitmap(new Blob([png], { type: "image/png" }));
    if (!part) {
      ground = true;
      canvas.width = width;
      canvas.height = height;
    }
    canvas.getContext("2d").drawImage(picture, x, y);
    picture.close();
  }
  const { canvas, end } = watch(model, el, { paint });
  return end;
}

export default { render };
