// Plays a video while it is still being made, then the finished file.

import { pieces } from "./client.js";

const START_SECONDS = 0.4; // buffered before the first frame is shown
const DOUBT_SECONDS = 0.5; // frames come in batches, so the pace of the first moments is unreliable
const KEEP_SECONDS = 30; // already played, but kept when the browser's buffer is full

/** Controls one `<video>` element. */
export class Player {
  constructor(video, client) {
    this.video = video;
    this.client = client;
    this.clear();
  }

  /** Reset the element. */
  clear() {
    this.stop?.abort();
    this.stop = new AbortController();
    this.watching = null;
    this.release();
    this.video.removeAttribute("src");
    this.video.load();
  }

  /** Play the live stream at `path`. `seconds` is its length, if known. */
  watch(path, seconds) {
    const { signal } = this.stop;
    const shown = mediaSource() ? this.feed(path, seconds, signal) : this.plain(path, signal);
    this.watching = shown.then(
      () => true,
      (error) => {
        if (!signal.aborted) console.info("The live stream cannot be shown. The finished video will be.", error);
        return false;
      },
    );
  }

  /** Show the finished file at `path` once the live stream has been played to its end, or was paused. */
  async finish(path) {
    const { signal } = this.stop;
    const watched = this.watching !== null && (await Promise.race([this.seen(signal), this.failed()]));
    const url = await this.client.mediaUrl(path, signal);
    if (signal.aborted) return;
    const at = watched && !this.video.ended ? this.video.currentTime : 0;
    this.release();
    if (url.startsWith("blob:")) this.url = url;
    this.video.src = url;
    this.video.currentTime = at;
    if (!watched) play(this.video);
  }

  /** Play a video from a blob. Return its address. */
  open(blob) {
    this.url = URL.createObjectURL(blob);
    this.video.src = this.url;
    play(this.video);
    return this.url;
  }

  /** Pass fragments from the response to the buffer of a media source. */
  async feed(path, seconds, signal) {
    const Source = mediaSource();
    const source = new Source();
    this.video.disableRemotePlayback = true; // required by a managed media source
    this.url = URL.createObjectURL(source);
    this.video.src = this.url;
    await once(source, "sourceopen", signal);
    const response = await this.client.fetch(path, { signal });
    const starter = new Starter(this.video, seconds, signal);
    let head = new Uint8Array(0);
    let buffer = null;
    try {
      for await (const piece of pieces(response.body)) {
        let data = piece;
        if (!buffer) {
          head = joined(head, piece);
          const codecs = codecsOf(head);
          if (!codecs) continue;
          buffer = source.addSourceBuffer(`video/mp4; codecs="${codecs}"`);
          data = head;
        }
        await this.append(buffer, data, signal);
        if (seconds > end(buffer)) source.duration = seconds;
        starter.more(end(buffer));
      }
      if (!buffer) throw new Error("the stream was empty");
      if (source.readyState === "open") source.endOfStream();
    } finally {
      starter.all();
    }
  }

  async append(buffer, data, signal) {
    for (;;) {
      try {
        buffer.appendBuffer(data);
        await once(buffer, "updateend", signal);
        return;
      } catch (error) {
        if (error.name !== "QuotaExceededError") throw error;
        await once(this.video, "timeupdate", signal); // the buffer is full: remove what was played some time ago
        const before = this.video.currentTime - KEEP_SECONDS;
        if (before <= 0) continue;
        buffer.remove(0, before);
        await once(buffer, "updateend", signal);
      }
    }
  }

  /** For browsers without media sources: the element reads the stream itself. */
  async plain(path, signal) {
    if (this.client.key) throw new Error("a media element cannot send an API key");
    this.video.src = path;
    play(this.video);
    await once(this.video, "ended", signal);
  }

  /** Resolve to true once the live stream has been played to its end, or was paused. */
  seen(signal) {
    const { video } = this;
    return new Promise((resolve) => {
      const settled = new AbortController();
      const look = () => {
        const stopped = video.paused && video.currentTime > 0 && !video.dataset.waiting;
        if (!(signal.aborted || video.ended || stopped)) return;
        settled.abort();
        resolve(true);
      };
      for (const name of ["ended", "pause"]) video.addEventListener(name, look, { signal: settled.signal });
      signal.addEventListener("abort", look, { signal: settled.signal });
      look();
    });
  }

  /** Resolve to false once the live stream fails; never settle if it does not. */
  failed() {
    return new Promise((resolve) => this.watching.then((well) => well || resolve(false)));
  }

  release() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
  }
}

/** Decides when to start playing: at once if frames arrive faster than they are shown, else with a head start.
 *
 * A video of D seconds that is rendered at x times real time, x < 1, plays without a halt once (1 - x) D seconds are
 * buffered.
 */
class Starter {
  constructor(video, seconds, signal) {
    this.video = video;
    this.seconds = seconds;
    this.signal = signal;
    this.begin = null;
    this.hold();
    video.addEventListener("waiting", () => this.complete || this.hold(), { signal });
  }

  /** Pause until enough is buffered. */
  hold() {
    this.held = true;
    this.video.dataset.waiting = "yes";
    if (!this.video.paused) this.video.pause();
  }

  more(buffered) {
    const now = performance.now() / 1000;
    this.begin ??= { now, buffered };
    const pace = (buffered - this.begin.buffered) / (now - this.begin.now + DOUBT_SECONDS);
    const ahead = buffered - this.video.currentTime;
    const missing = this.seconds ? (this.seconds - buffered) * (1 - Math.min(1, pace)) : 0;
    if (this.held && ahead >= START_SECONDS + missing) this.go();
  }

  /** The stream is complete. */
  all() {
    this.complete = true;
    if (this.held) this.go();
  }

  go() {
    this.held = false;
    delete this.video.dataset.waiting;
    if (!this.signal.aborted) play(this.video);
  }
}

/** Play, muted if the browser requires a click before sound. */
function play(video) {
  video.play().catch((error) => {
    if (error.name !== "NotAllowedError") return; // interrupted by another source
    video.muted = true;
    video.play().catch(() => {}); // the user can start it with the controls
  });
}

function mediaSource() {
  return window.MediaSource ?? window.ManagedMediaSource;
}

/** Return the end of the buffered video, seconds. */
function end(buffer) {
  return buffer.buffered.length ? buffer.buffered.end(buffer.buffered.length - 1) : 0;
}

/** Resolve with the event `name`; reject if the target reports an error or `signal` is aborted. */
function once(target, name, signal) {
  return new Promise((resolve, reject) => {
    const settled = new AbortController();
    const listen = (type, act) => target.addEventListener(type, () => (settled.abort(), act()), { signal: settled.signal });
    listen(name, resolve);
    if (name !== "error") listen("error", () => reject(target.error ?? new Error(`${name} did not come`)));
    signal.addEventListener("abort", () => (settled.abort(), reject(signal.reason)), { signal: settled.signal });
  });
}

/** Return the RFC 6381 names of the tracks in the initialisation segment, or null while it is incomplete. */
export function codecsOf(head) {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  for (let at = 0; at + 8 <= head.length; ) {
    const size = view.getUint32(at);
    if (at + size > head.length || size < 8) return null;
    if (fourLetters(head, at + 4) === "moov") return codecsOfTracks(head.subarray(at, at + size));
    at += size;
  }
  return null;
}

function codecsOfTracks(moov) {
  const codecs = [];
  const avc = find(moov, "avcC");
  // after the four letters: the version, then profile, constraints and level, which form the name
  if (avc >= 0) codecs.push("avc1." + [...moov.subarray(avc + 5, avc + 8)].map((b) => b.toString(16).padStart(2, "0")).join(""));
  if (find(moov, "mp4a") >= 0) codecs.push("mp4a.40.2");
  return codecs.join(",");
}

function find(bytes, letters) {
  for (let at = 0; at + 4 <= bytes.length; at++) if (fourLetters(bytes, at) === letters) return at;
  return -1;
}

function fourLetters(bytes, at) {
  return String.fromCharCode(...bytes.subarray(at, at + 4));
}

function joined(first, second) {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
