// The portrait on its stage, with the face that was found. Painted on a canvas: no address of a picture is needed.

const CORNER = 0.22; // length of a bracket, of the side of the face's box

export class PortraitView {
  constructor(canvas) {
    this.canvas = canvas;
    this.picture = null;
    this.boxes = [];
    this.chosen = 0;
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  clear() {
    this.picture = null;
    this.mark([]);
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

  /** Mark the faces: of each x0, y0, x1, y1 in pixels of the picture, and which of them is chosen. */
  mark(boxes, chosen = 0) {
    Object.assign(this, { boxes, chosen });
    this.canvas.classList.toggle("several", boxes.length > 1);
    this.draw();
  }

  /** The number of the face at a place of the canvas in CSS pixels, -1 where there is none. */
  faceAt(x, y) {
    if (!this.picture) return -1;
    const scale = window.devicePixelRatio || 1;
    const { fit, left, top } = this.place();
    const [u, v] = [(x * scale - left) / fit, (y * scale - top) / fit];
    return this.boxes.findIndex(([x0, y0, x1, y1]) => u >= x0 && u <= x1 && v >= y0 && v <= y1);
  }

  /** Where the picture is on the canvas, in pixels of the canvas. */
  place() {
    const { canvas, picture } = this;
    const fit = Math.min(canvas.width / picture.width, canvas.height / picture.height);
    return { fit, left: (canvas.width - fit * picture.width) / 2, top: (canvas.height - fit * picture.height) / 2 };
  }

  draw() {
    const { canvas, picture } = this;
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(canvas.clientWidth * scale);
    canvas.height = Math.round(canvas.clientHeight * scale);
    if (!picture || !canvas.width) return;
    const pen = canvas.getContext("2d");
    const { fit, left, top } = this.place();
    pen.imageSmoothingQuality = "high";
    pen.drawImage(picture, left, top, fit * picture.width, fit * picture.height);
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
