// The text below the video: its progress, then how long it took.

import { bytes, duration, progressInWords, times } from "./words.js";

const ids = ["caption", "state", "cancel", "progress", "figures", "figure-time", "figure-pace", "figure-saved",
  "download", "warnings", "announcer"];

export class Caption {
  constructor() {
    this.parts = Object.fromEntries(ids.map((id) => [id, document.getElementById(id)]));
    this.hasVideo = false;
  }

  /** Set the state (`idle`, `busy`, `ready`, `failed`) and its line. Screen readers announce each new state. */
  say(state, text, { aloud = true } = {}) {
    const { caption, state: line, cancel, progress, figures, download, announcer } = this.parts;
    if (aloud && (caption.dataset.state !== state || state !== "busy")) announcer.textContent = text;
    caption.dataset.state = state;
    line.textContent = text;
    cancel.hidden = state !== "busy";
    progress.hidden = state !== "busy";
    figures.hidden = download.hidden = !this.hasVideo;
    if (state === "busy") return;
    cancel.disabled = false; // for the next request
    progress.value = 0;
  }

  /** Hide the figures and the download of a video that is no longer shown. */
  forgetVideo() {
    this.hasVideo = false;
    this.parts.figures.hidden = this.parts.download.hidden = true;
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

  /** Show the figures of a finished session. */
  ready({ performance, video, links }) {
    const { download } = this.parts;
    this.hasVideo = true;
    const size = video ? `${video.width} × ${video.height}, ${bytes(video.size_bytes)}` : "";
    this.say("ready", size, { aloud: false });
    this.parts.announcer.textContent = `The video is ready. ${size}`;
    const { seconds, real_time_factor: pace } = performance;
    this.parts["figure-time"].textContent = duration(seconds.total_time);
    this.parts["figure-pace"].textContent = pace ? times(pace) : "–";
    const saved = seconds.estimated_without_cache - seconds.total_time;
    this.parts["figure-saved"].textContent = saved > 0.0005 ? duration(saved) : "0 s";
    download.href = links.download;
  }

  /** Show the warnings of a session. */
  warn(texts) {
    const { warnings } = this.parts;
    warnings.hidden = !texts.length;
    warnings.replaceChildren(...texts.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  }
}
