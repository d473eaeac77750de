/** The digits of MNIST fit into a square of this size, in the middle of one of 28. */
const inner = 20;
const size = 28;

/**
 * A place to draw on. `changed` gets what was drawn as the digits of MNIST are: uint8[28 * 28], 255 for ink, scaled to 20 pixels at
 * the most, with its centre of mass in the middle; null when there is nothing.
 */
export function makePad(canvas: HTMLCanvasElement, changed: (pixels: Uint8Array | null) => void): { clear(): void } {
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  let from: readonly [number, number] | null = null;
  const clear = (): void => {
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    changed(null);
  };
  const place = (event: PointerEvent): readonly [number, number] => [
    (event.offsetX * canvas.width) / canvas.clientWidth,
    (event.offsetY * canvas.height) / canvas.clientHeight,
  ];
  const stroke = (to: readonly [number, number]): void => {
    context.strokeStyle = "#111";
    context.lineWidth = canvas.width / 13;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...from!);
    context.lineTo(...to);
    context.stroke();
    from = to;
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    from = place(event);
    stroke(from);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (from !== null) stroke(place(event));
  });
  const end = (): void => {
    if (from === null) return;
    from = null;
    changed(normalise(canvas));
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  clear();
  return { clear };
}

function inkOf(context: CanvasRenderingContext2D, width: number, height: number): Uint8Array {
  const { data } = context.getImageData(0, 0, width, height);
  return Uint8Array.from({ length: width * height }, (_, i) => 255 - data[4 * i]);
}

function normalise(canvas: HTMLCanvasElement): Uint8Array | null {
  const { width, height } = canvas;
  const ink = inkOf(canvas.getContext("2d")!, width, height);
  let [x0, y0, x1, y1] = [width, height, -1, -1];
  ink.forEach((v, i) => {
    if (v < 128) return;
    const [x, y] = [i % width, Math.floor(i / width)];
    [x0, x1, y0, y1] = [Math.min(x0, x), Math.max(x1, x), Math.min(y0, y), Math.max(y1, y)];
  });
  if (x1 < 0) return null;
  const scale = inner / Math.max(x1 - x0 + 1, y1 - y0 + 1);
  // Once in the middle of its box, to find its centre of mass; then with that in the middle.
  const draw = (cx: number, cy: number): Uint8Array => {
    const small = Object.assign(document.createElement("canvas"), { width: size, height: size });
    const context = small.getContext("2d")!;
    context.fillStyle = "#fff";
    context.fillRect(0, 0, size, size);
    context.imageSmoothingQuality = "high";
    context.drawImage(canvas, size / 2 - cx * scale, size / 2 - cy * scale, width * scale, height * scale);
    return inkOf(context, size, size);
  };
  const [mx, my] = [(x0 + x1 + 1) / 2, (y0 + y1 + 1) / 2];
  const first = draw(mx, my);
  const mass = first.reduce((a, b) => a + b, 0);
  const centre = (coordinate: (i: number) => number): number =>
    first.reduce((sum, v, i) => sum + v * (coordinate(i) + 0.5), 0) / mass - size / 2;
  return draw(mx + centre((i) => i % size) / scale, my + centre((i) => Math.floor(i / size)) / scale);
}
