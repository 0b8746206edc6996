// A talking face in a canvas, drawn by the browser. No dependency. Types: sadtalker-avatar.d.ts.
//
//   import { SadTalkerAvatar, fetchTimeline } from "/studio/sadtalker-avatar.js";
//   const avatar = await SadTalkerAvatar.load(canvas, imageId);
//   avatar.speak(audio, await fetchTimeline(file)); // audio: an <audio> element that plays the same file
//   audio.play();

const CLOSING = 0.085; // seconds of a blink: docs/browser-avatar.md
const HOLD = 0.035;
const REOPENING = 0.16;
const BLINK = CLOSING + HOLD + REOPENING;
const IDLE_GAP = [2.2, 5.2]; // seconds between the blinks of a face that does not speak
const EASE = 0.12; // seconds in which the mouth comes to rest when the audio stops
const RETRIES = 60; // the service draws the shapes soon after the upload; until then it answers 409
const REST = "sil";
const EYES_DIFFER = 18; // sum of R, G and B from which a pixel belongs to the closed eyes

/** The service refused a request. `message` says why. */
export class RefusedError extends Error {
  constructor({ code = "unexpected_answer", message = "", param = null, retryable = false }, status) {
    super(message || `The answer was ${status}.`);
    Object.assign(this, { name: "RefusedError", code, param, retryable, status });
  }
}

/** The timeline of driven audio: mouth shapes and blinks. */
export async function fetchTimeline(audio, { url = "", key = "", seed = 0, signal } = {}) {
  const body = new FormData();
  body.set("audio_file", audio, audio.name ?? "audio");
  body.set("seed", String(seed));
  return (await ask(`${url}/api/speech/timeline`, key, { method: "POST", body, signal })).json();
}

/** Mouth shape -> share at a time of the timeline, seconds. Between two cues the shares change linearly. */
export function shapesAt({ cues }, seconds) {
  const last = lastBefore(cues, seconds, (cue) => cue.at);
  const before = cues[Math.max(last, 0)];
  const after = cues[last + 1];
  if (last < 0 || !after) return before.shapes;
  const part = (seconds - before.at) / (after.at - before.at);
  const shapes = {};
  for (const [name, share] of Object.entries(before.shapes)) shapes[name] = share * (1 - part);
  for (const [name, share] of Object.entries(after.shapes)) shapes[name] = (shapes[name] ?? 0) + share * part;
  return shapes;
}

/** How far the eyes are closed at a time of the timeline, 0 to 1. */
export function closureAt({ blinks }, seconds) {
  const last = lastBefore(blinks, seconds, (begin) => begin);
  return last < 0 ? 0 : blinkShape(seconds - blinks[last]);
}

/** A face in a canvas. It blinks from the beginning, and speaks while the audio plays. */
export class SadTalkerAvatar {
  #canvas;
  #pen;
  #cells;
  #eyes;
  #timeline = null;
  #audio = null;
  #frame = 0;
  #idleBlink = idleBlink(now());
  #shapes = { [REST]: 1 };
  #drawn = "";
  #last = now();

  /** Load the mouth shapes of an avatar, and show it. Waits while the service still draws them. */
  static async load(canvas, imageId, { url = "", key = "", faceIndex = 0, signal } = {}) {
    const path = `${url}/api/avatar/${encodeURIComponent(imageId)}/visemes`;
    const face = faceIndex ? `&face_index=${faceIndex}` : "";
    const places = await (await whenDrawn(`${path}?format=json${face}`, key, signal)).json();
    const sheet = await (await whenDrawn(`${path}?format=png${face}`, key, signal)).blob();
    const cells = await cut(await createImageBitmap(sheet), places);
    const eyes = places.closed_eyes ? await eyesOnly(cells.get(REST), cells.get("closed_eyes")) : null;
    cells.delete("closed_eyes");
    return new SadTalkerAvatar(canvas, cells, eyes);
  }

  /** Use `load`. */
  constructor(canvas, cells, eyes) {
    this.#canvas = canvas;
    this.#cells = cells;
    this.#eyes = eyes;
    const rest = cells.get(REST);
    canvas.width = rest.width;
    canvas.height = rest.height;
    this.#pen = canvas.getContext("2d", { alpha: false });
    this.#next();
  }

  /** Names of the mouth shapes. */
  get shapes() {
    return [...this.#cells.keys()];
  }

  /** Follow an `<audio>` or `<video>` element that plays the audio of the timeline. */
  speak(audio, timeline) {
    this.#audio = audio;
    this.#timeline = timeline;
  }

  /** Stop following. The face comes to rest and goes on to blink. */
  silence() {
    this.#audio = this.#timeline = null;
  }

  /** Stop drawing, for good. */
  close() {
    cancelAnimationFrame(this.#frame);
    for (const cell of [...this.#cells.values(), this.#eyes]) cell?.close();
  }

  #next() {
    this.#frame = requestAnimationFrame(() => {
      this.#draw(now());
      this.#next();
    });
  }

  #draw(at) {
    const audio = this.#audio;
    const speaking = audio && this.#timeline && !audio.paused && !audio.ended;
    let closure;
    if (speaking) {
      this.#shapes = shapesAt(this.#timeline, audio.currentTime);
      closure = closureAt(this.#timeline, audio.currentTime);
      this.#idleBlink = idleBlink(at);
    } else {
      this.#shapes = towardsRest(this.#shapes, Math.min((at - this.#last) / EASE, 1));
      if (at > this.#idleBlink + BLINK) this.#idleBlink = idleBlink(at);
      closure = blinkShape(at - this.#idleBlink);
    }
    this.#last = at;
    this.#show(this.#shapes, closure);
  }

  /** Blend the pictures. The first covers everything; each further one gets its share of all so far. */
  #show(shapes, closure) {
    const known = Object.entries(shapes).filter(([name, share]) => share > 0.004 && this.#cells.has(name));
    if (known.length === 0) known.push([REST, 1]);
    const state = `${known.map(([name, share]) => `${name}${share.toFixed(3)}`)} ${closure.toFixed(3)}`;
    if (state === this.#drawn) return;
    this.#drawn = state;
    let total = 0;
    for (const [name, share] of known) {
      total += share;
      this.#paint(this.#cells.get(name), share / total);
    }
    if (this.#eyes && closure > 0) this.#paint(this.#eyes, closure);
  }

  #paint(picture, alpha) {
    this.#pen.globalAlpha = alpha;
    this.#pen.drawImage(picture, 0, 0, this.#canvas.width, this.#canvas.height);
  }
}

function now() {
  return performance.now() / 1000;
}

function idleBlink(at) {
  return at + IDLE_GAP[0] + Math.random() * (IDLE_GAP[1] - IDLE_GAP[0]);
}

function blinkShape(since) {
  if (since < 0 || since > BLINK) return 0;
  const closing = Math.min(since / CLOSING, 1) ** 1.3;
  return closing - Math.max((since - CLOSING - HOLD) / REOPENING, 0) ** 0.8;
}

function towardsRest(shapes, part) {
  const eased = {};
  for (const [name, share] of Object.entries(shapes)) if (share > 0.004) eased[name] = share * (1 - part);
  eased[REST] = (eased[REST] ?? 0) + part;
  return eased;
}

/** Position of the last of the sorted `values` that is not after `seconds`; -1 if there is none. */
function lastBefore(values, seconds, time) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (time(values[middle]) <= seconds) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Each shape as a picture of its own: scaling a part of the sheet would mix in its neighbours. */
async function cut(sheet, { cell, visemes, closed_eyes: closed }) {
  const places = Object.entries(closed ? { ...visemes, closed_eyes: closed } : visemes);
  const pictures = await Promise.all(places.map(([, { x, y }]) => createImageBitmap(sheet, x, y, cell, cell)));
  sheet.close();
  return new Map(places.map(([name], k) => [name, pictures[k]]));
}

/** The closed eyes, opaque where they differ from the open ones, with a soft edge where nothing differs. */
async function eyesOnly(open, closed) {
  const [before, after] = [pixelsOf(open), pixelsOf(closed)];
  const { width, height } = after;
  let mask = new Float32Array(width * height);
  for (let k = 0; k < mask.length; k++) {
    const differs = [0, 1, 2].reduce((sum, c) => sum + Math.abs(before.data[4 * k + c] - after.data[4 * k + c]), 0);
    mask[k] = differs > EYES_DIFFER ? 1 : 0;
  }
  const reach = Math.max(2, Math.round(width / 64));
  mask = spread(mask, width, height, 2 * reach, Math.max);
  mask = spread(mask, width, height, reach, (sum, value) => sum + value / (2 * reach + 1), 0);
  for (let k = 0; k < mask.length; k++) after.data[4 * k + 3] = Math.round(255 * mask[k]);
  closed.close();
  return createImageBitmap(after);
}

/** `combine` over the neighbours within `reach` pixels, along the rows and then along the columns. */
function spread(values, width, height, reach, combine, begin = 0) {
  for (const [step, size] of [[1, width], [width, height]]) {
    const result = new Float32Array(values.length);
    for (let k = 0; k < values.length; k++) {
      const place = step === 1 ? k % width : Math.floor(k / width);
      let value = begin;
      for (let d = -reach; d <= reach; d++) {
        const inside = Math.min(Math.max(place + d, 0), size - 1) - place;
        value = combine(value, values[k + inside * step]);
      }
      result[k] = value;
    }
    values = result;
  }
  return values;
}

function pixelsOf(picture) {
  const pen = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
  pen.drawImage(picture, 0, 0);
  return pen.getImageData(0, 0, picture.width, picture.height);
}

/** The answer, as soon as the shapes are drawn. */
async function whenDrawn(path, key, signal) {
  for (let left = RETRIES; ; left--) {
    try {
      return await ask(path, key, { signal });
    } catch (error) {
      if (!(error.retryable && error.status === 409) || left === 0) throw error;
      await pause(500, signal);
    }
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}

async function ask(path, key, options) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new RefusedError(problem.error ?? {}, response.status);
}
