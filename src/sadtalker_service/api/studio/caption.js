// The line below the video: what to do next, the progress, then what was made.

import { bytes, duration, progressInWords } from "./words.js";

const ids = ["caption", "state", "cancel", "progress", "outcome", "download", "warnings", "announcer"];

export class Caption {
  constructor() {
    this.parts = Object.fromEntries(ids.map((id) => [id, document.getElementById(id)]));
    this.hasVideo = false;
  }

  /** Set the state (`idle`, `busy`, `ready`, `failed`) and its line. Screen readers announce each new state. */
  say(state, text, { aloud = true } = {}) {
    const { caption, state: line, cancel, progress, outcome, announcer } = this.parts;
    if (aloud && (caption.dataset.state !== state || state !== "busy")) announcer.textContent = text;
    caption.dataset.state = state;
    line.textContent = text;
    cancel.hidden = state !== "busy";
    progress.hidden = state !== "busy";
    outcome.hidden = !this.hasVideo;
    if (state === "busy") return;
    cancel.disabled = false; // for the next request
    progress.value = 0;
  }

  /** Hide what can be done with a video that is no longer shown. */
  forgetVideo() {
    this.hasVideo = false;
    this.parts.outcome.hidden = true;
  }

  /** Show the progress of a session. */
  going(record) {
    const { cancel, progress } = this.parts;
    this.say("busy", progressInWords(record));
    cancel.disabled = false;
    const percent = record.progress?.percent ?? 0;
    progress.value = percent;
    progress.textContent = `${percent} %`;
  }

  /** Show what was made: the size of a finished session's video, and how long it took. */
  ready({ performance, video, links }) {
    const size = video ? `${video.width} × ${video.height}, ${bytes(video.size_bytes)}` : "";
    const made = `Made in ${duration(performance.seconds.total_time)}`;
    this.offer([made, size].filter(Boolean).join(" · "), links.download);
    this.parts.announcer.textContent = `The video is ready. ${size}`;
  }

  /** Offer a video at `address` for download, described by `text`. */
  offer(text, address) {
    this.hasVideo = true;
    this.say("ready", text, { aloud: false });
    this.parts.download.href = address;
  }

  /** Show the warnings of a session. */
  warn(texts) {
    const { warnings } = this.parts;
    warnings.hidden = !texts.length;
    warnings.replaceChildren(...texts.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  }
}
