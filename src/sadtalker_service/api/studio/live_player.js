// Plays a live stream of fragmented mp4 close to its end, so that little is between the service and the eye.

const AIM_SECONDS = 0.16; // buffered ahead of what is shown
const FAST_SECONDS = 0.35; // above this the playback runs a little faster
const JUMP_SECONDS = 1; // above this it jumps
const KEEP_SECONDS = 10; // of what was played

/** Controls one `<video>` element. Begin with `open`, then give it every piece. */
export class LivePlayer {
  constructor(video) {
    this.video = video;
    this.waiting = [];
    this.buffer = null;
    video.addEventListener("waiting", () => this.catchUp());
  }

  /** A stream begins. `mediaType` is that of the service. Throws if the browser cannot play it. */
  async open(mediaType) {
    this.close();
    const Source = window.ManagedMediaSource ?? window.MediaSource;
    if (!Source?.isTypeSupported(mediaType)) throw new Error("This browser cannot play the live video. Update it, or use another one.");
    const source = new Source();
    this.video.disableRemotePlayback = true; // required by a managed media source
    this.url = URL.createObjectURL(source);
    this.video.src = this.url;
    await new Promise((resolve) => source.addEventListener("sourceopen", resolve, { once: true }));
    this.buffer = source.addSourceBuffer(mediaType);
    this.buffer.addEventListener("updateend", () => this.next());
    this.next();
  }

  /** The next piece of the stream. */
  append(piece) {
    this.waiting.push(piece);
    this.next();
  }

  /** Seconds between what is shown and the newest picture. */
  get behind() {
    const { buffered, currentTime } = this.video;
    return buffered.length ? buffered.end(buffered.length - 1) - currentTime : 0;
  }

  /** End the stream, and show nothing. */
  close() {
    this.waiting = [];
    this.buffer = null;
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
    this.video.removeAttribute("src");
    this.video.load();
  }

  next() {
    if (!this.buffer || this.buffer.updating) return;
    this.catchUp();
    const past = this.video.currentTime - KEEP_SECONDS;
    const begin = this.buffer.buffered.length ? this.buffer.buffered.start(0) : past;
    if (past - begin > KEEP_SECONDS) this.buffer.remove(begin, past);
    else if (this.waiting.length) this.buffer.appendBuffer(joined(this.waiting.splice(0)));
  }

  catchUp() {
    const { video, behind } = this;
    if (behind < AIM_SECONDS) return;
    if (video.paused) video.play().catch(() => {}); // a browser that refuses sound shows its own button
    if (behind > JUMP_SECONDS) video.currentTime += behind - AIM_SECONDS;
    video.playbackRate = behind > FAST_SECONDS ? 1.1 : 1;
  }
}

function joined(pieces) {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(new Uint8Array(piece), at);
    at += piece.byteLength;
  }
  return whole;
}
