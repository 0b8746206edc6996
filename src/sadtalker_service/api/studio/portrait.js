// The portrait on its stage, with the face that was found. Painted on a canvas: no address of a picture is needed.

const CORNER = 0.22; // length of a bracket, of the side of the face's box

export class PortraitView {
  constructor(canvas) {
    this.canvas = canvas;
    this.picture = null;
    this.box = null;
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  clear() {
    Object.assign(this, { picture: null, box: null });
    this.draw();
  }

  /** Show the picture in `blob`, upright; false where this browser cannot decode it. */
  async show(blob) {
    this.clear();
    try {
      this.picture = await createImageBitmap(blob);
    } catch {
      return false; // HEIC and TIFF, mostly: the service reads them
    }
    this.draw();
    return true;
  }

  /** Mark the face: x0, y0, x1, y1 in pixels of the picture; null for none. */
  mark(box) {
    this.box = box;
    this.draw();
  }

  draw() {
    const { canvas, picture, box } = this;
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(canvas.clientWidth * scale);
    canvas.height = Math.round(canvas.clientHeight * scale);
    if (!picture || !canvas.width) return;
    const pen = canvas.getContext("2d");
    const fit = Math.min(canvas.width / picture.width, canvas.height / picture.height);
    const left = (canvas.width - fit * picture.width) / 2;
    const top = (canvas.height - fit * picture.height) / 2;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(picture, left, top, fit * picture.width, fit * picture.height);
    if (!box) return;
    const [x0, x1] = [box[0], box[2]].map((x) => left + fit * x);
    const [y0, y1] = [box[1], box[3]].map((y) => top + fit * y);
    pen.strokeStyle = getComputedStyle(canvas).getPropertyValue("--face");
    pen.lineWidth = 2.5 * scale;
    pen.shadowColor = "rgb(0 0 0 / 0.6)";
    pen.shadowBlur = 5 * scale;
    brackets(pen, x0, y0, x1, y1);
  }
}

/** The four corners of a box. */
function brackets(pen, x0, y0, x1, y1) {
  const dx = CORNER * (x1 - x0);
  const dy = CORNER * (y1 - y0);
  pen.beginPath();
  for (const [x, y, sx, sy] of [[x0, y0, 1, 1], [x1, y0, -1, 1], [x1, y1, -1, -1], [x0, y1, 1, -1]]) {
    pen.moveTo(x + sx * dx, y);
    pen.lineTo(x, y);
    pen.lineTo(x, y + sy * dy);
  }
  pen.stroke();
}
