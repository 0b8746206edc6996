// Captions over the video on the page, where the video has words with times.

import { client, part, video } from "./page.js";

let track = null;

/** Offer the captions at `path`; null: the video has none. */
export async function offerCaptions(path) {
  const button = part("subtitles");
  track?.remove();
  if (track) URL.revokeObjectURL(track.src);
  track = null;
  button.hidden = true;
  if (!path) return;
  const answer = await client.fetch(path).catch(() => null); // the video is there without them, too
  if (!answer) return;
  const address = URL.createObjectURL(await answer.blob());
  track = Object.assign(document.createElement("track"), { kind: "captions", label: "Captions", src: address });
  video.append(track);
  track.track.mode = button.getAttribute("aria-pressed") === "true" ? "showing" : "hidden";
  button.hidden = false;
}

/** Switch the captions on or off. */
export function switchCaptions() {
  const button = part("subtitles");
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(on));
  if (track) track.track.mode = on ? "showing" : "hidden";
}
