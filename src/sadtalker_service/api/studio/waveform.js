// Draws the driven audio as bars. The rendered part is coloured, and a line shows where the video plays.

const BINS = 1200;
const BAR = 3; // pixels
const GAP = 2;
const RATE = 16000;

export class Waveform {
  constructor(canvas) {
    this.canvas = canvas;
    this.clear();
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  clear() {
    this.levels = [];
    this.made = 0;
    this.at = null;
    this.draw();
  }

  /** Show the audio of `file`. Resolves to its seconds, or null if this browser cannot decode it. */
  async show(file) {
    this.clear();
    let decoded;
    try {
      decoded = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
    } catch {
      return null; // the service may be able to read it
    }
    this.levels = loudness(decoded.getChannelData(0));
    this.draw();
    return decoded.duration;
  }

  /** Add a level, 0..1, while recording. */
  push(level) {
    this.levels.push(level);
    this.draw();
  }

  /** Set the rendered share `made` and the position `at`, both 0..1; null if nothing plays. */
  mark(made, at) {
    if (made === this.made && at === this.at) return;
    Object.assign(this, { made, at });
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const scale = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const colours = getComputedStyle(canvas);
    const count = Math.max(1, Math.floor((width + GAP) / (BAR + GAP)));
    for (let k = 0; k < count; k++) {
      const level = this.level(k, count);
      const tall = Math.max(2, level * (height - 4));
      const done = (k + 1) / count <= this.made;
      pen.fillStyle = colours.getPropertyValue(done ? "--made" : this.levels.length ? "--unmade" : "--silent");
      pen.fillRect(k * (BAR + GAP), (height - tall) / 2, BAR, tall);
    }
    if (this.at !== null) {
      pen.fillStyle = colours.getPropertyValue("--playhead");
      pen.fillRect(Math.min(width - 2, this.at * width), 0, 2, height);
    }
  }

  /** Return the loudest level of bar `k` of `count`. While recording, the bars show the latest levels. */
  level(k, count) {
    const { levels } = this;
    if (levels.length < BINS) return levels[Math.max(0, levels.length - count) + k] ?? 0;
    return Math.max(...levels.slice(Math.floor((k * BINS) / count), Math.ceil(((k + 1) * BINS) / count)));
  }
}

/** Return the square root of the RMS of each of `BINS` pieces, 1 for the loudest. The root makes quiet speech visible. */
function loudness(samples) {
  const size = samples.length / BINS;
  const levels = Array.from({ length: BINS }, (_, k) => {
    const piece = samples.subarray(Math.floor(k * size), Math.max(Math.floor(k * size) + 1, Math.floor((k + 1) * size)));
    return Math.sqrt(piece.reduce((sum, value) => sum + value * value, 0) / Math.max(1, piece.length));
  });
  const most = levels.reduce((a, b) => Math.max(a, b), 1e-6);
  return levels.map((level) => Math.sqrt(level / most));
}
