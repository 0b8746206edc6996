// The page's elements and components, and what the user has chosen. Shared by the modules of the studio.

import { Caption } from "./caption.js";
import { Client } from "./client.js";
import { ImageView } from "./image_view.js";
import { askForKey } from "./key.js";
import { Player } from "./player.js";
import { Waveform } from "./waveform.js";

export const part = (id) => document.getElementById(id);
export const form = part("request");
export const video = part("video");
export const client = new Client(askForKey);
export const player = new Player(video, client);
export const caption = new Caption();
export const imageView = new ImageView(part("image"));
export const waveform = new Waveform(part("wave"));

export const chosen = {
  /** The source image: its file, or the id under which the service has it; `width` and `height` once known. */
  image: null,
  /** The driven audio: its file, name and seconds (null if this browser cannot decode it). */
  audio: null,
  /** The sound of the text, once it was heard: its `key`, a blob and seconds. */
  spoken: null,
  /** The request in progress: `stop` ends it here, `links` are those of its session. */
  work: null,
  /** Name of the service's engine, once it is known. */
  engine: null,
  /** The finished video on the page: `title`, `address`, and `blob` once it is kept. */
  video: null,
};

/** Return what the face shall say: `{ kind: "text", text, seconds }`, `{ kind: "recording", file, name, seconds }`, or
 * null. `seconds` is null while it is not known. */
export function speech() {
  if (speechFrom() === "recording") return chosen.audio && { kind: "recording", ...chosen.audio };
  const text = part("text").value.trim();
  if (!text) return null;
  return { kind: "text", text, seconds: chosen.spoken?.key === textKey() ? chosen.spoken.seconds : null };
}

/** Where the speech comes from: `text` or `recording`. */
export function speechFrom() {
  return form.elements.speech_from.value;
}

/** Return a name for the text as it is now spoken: another text, voice or speed has another one. */
export function textKey() {
  return JSON.stringify([part("text").value.trim(), form.elements.voice.value, form.elements.rate.value]);
}
