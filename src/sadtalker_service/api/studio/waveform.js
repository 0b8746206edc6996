// The recording as bars: what is made already in colour, with a line where the video plays.

const BINS = 1200;
const BAR = 3; // pixels, and as many between two bars less one
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

  /** Show the sound of `file`; its length in seconds, or null if this browser cannot decode it. */
  async show(file) {
    this.clear();
    let sound;
    try {
      sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
    } catch {
      return null; // the service may well read it
    }
    this.levels = loudness(sound.getChannelData(0));
    this.draw();
    return sound.duration;
  }

  /** One more level, 0..1, of a recording that is being made. */
  push(level) {
    this.levels.push(level);
    this.draw();
  }

  /** `made` and `at` are shares of the whole, 0..1; `at` null: nothing plays. */
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

  /** Loudest of what bar `k` of `count` stands for; the latest levels while there are fewer than bars. */
  level(k, count) {
    const { levels } = this;
    if (levels.length < BINS) return levels[Math.max(0, levels.length - count) + k] ?? 0;
    return Math.max(...levels.slice(Math.floor((k * BINS) / count), Math.ceil(((k + 1) * BINS) / count)));
  }
}

/** Root mean square of each of `BINS` pieces, 1 for the loudest; the square root makes quiet speech visible. */
function loudness(samples) {
  const size = samples.length / BINS;
  const levels = Array.from({ length: BINS }, (_, k) => {
    const piece = samples.subarray(Math.floor(k * size), Math.max(Math.floor(k * size) + 1, Math.floor((k + 1) * size)));
    return Math.sqrt(piece.reduce((sum, value) => sum + value * value, 0) / Math.max(1, piece.length));
  });
  const most = levels.reduce((a, b) => Math.max(a, b), 1e-6);
  return levels.map((level) => Math.sqrt(level / most));
}
