// Draws the source image and its faces on a canvas, so that the image needs no URL.

const CORNER = 0.22; // length of a bracket, as a share of the side of the face's box

export class ImageView {
  constructor(canvas) {
    this.canvas = canvas;
    this.bitmap = null;
    this.boxes = [];
    this.chosen = 0;
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  clear() {
    this.bitmap = null;
    this.mark([]);
  }

  /** Show the image in `blob` (or a bitmap), upright. Resolves to false if this browser cannot decode it. */
  async show(blob) {
    this.clear();
    try {
      this.bitmap = await createImageBitmap(blob);
    } catch {
      return false; // usually HEIC or TIFF, which the service can read
    }
    this.draw();
    return true;
  }

  /** Mark the faces: boxes of x0, y0, x1, y1 in pixels of the image, and the index of the chosen one. */
  mark(boxes, chosen = 0) {
    Object.assign(this, { boxes, chosen });
    this.canvas.classList.toggle("several", boxes.length > 1);
    this.draw();
  }

  /** Return the index of the face at a point of the canvas in CSS pixels, or -1. */
  faceAt(x, y) {
    if (!this.bitmap) return -1;
    const scale = window.devicePixelRatio || 1;
    const { fit, left, top } = this.place();
    const [u, v] = [(x * scale - left) / fit, (y * scale - top) / fit];
    return this.boxes.findIndex(([x0, y0, x1, y1]) => u >= x0 && u <= x1 && v >= y0 && v <= y1);
  }

  /** Return the position and scale of the image on the canvas, in pixels of the canvas. */
  place() {
    const { canvas, bitmap } = this;
    const fit = Math.min(canvas.width / bitmap.width, canvas.height / bitmap.height);
    return { fit, left: (canvas.width - fit * bitmap.width) / 2, top: (canvas.height - fit * bitmap.height) / 2 };
  }

  draw() {
    const { canvas, bitmap } = this;
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(canvas.clientWidth * scale);
    canvas.height = Math.round(canvas.clientHeight * scale);
    if (!bitmap || !canvas.width) return;
    const pen = canvas.getContext("2d");
    const { fit, left, top } = this.place();
    pen.imageSmoothingQuality = "high";
    pen.drawImage(bitmap, left, top, fit * bitmap.width, fit * bitmap.height);
    pen.strokeStyle = getComputedStyle(canvas).getPropertyValue("--face");
    pen.shadowColor = "rgb(0 0 0 / 0.6)";
    pen.shadowBlur = 5 * scale;
    this.boxes.forEach((box, face) => {
      const [x0, y0, x1, y1] = box.map((value, k) => (k % 2 ? top : left) + fit * value);
      pen.lineWidth = (face === this.chosen ? 2.5 : 1) * scale;
      if (face === this.chosen) brackets(pen, x0, y0, x1, y1);
      else pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
    });
  }
}

/** Draw the four corners of a box. */
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
