// Updates the page after each change.

import { backdropFile } from "./backdrop.js";
import { shellCommands } from "./command.js";
import { options } from "./fields.js";
import { caption, chosen, client, form, part, player, video, waveform } from "./page.js";

/** Hide the finished video: the next request will make a different one. */
export function leaveVideo() {
  if (chosen.work) return;
  player.clear();
  video.hidden = true;
  mark(0);
  caption.forgetVideo();
  caption.warn([]);
  caption.say("idle", nextStep(), { aloud: false });
}

export function nextStep() {
  if (chosen.image && chosen.audio) return "Ready to generate.";
  if (chosen.image) return "Next, choose the driven audio.";
  if (chosen.audio) return "Next, choose the source image.";
  return "Choose a source image and driven audio. The video appears in their place.";
}

/** Show which part of the video is finished (0..1; unchanged if undefined), and where it plays. */
export function mark(made) {
  const playing = !video.hidden && video.duration > 0 && video.currentTime > 0;
  const whole = Number.isFinite(video.duration) ? video.duration : chosen.audio?.seconds;
  waveform.mark(made ?? waveform.made, playing && whole ? video.currentTime / whole : null);
}

/** Scroll to the video and move the focus there, because the disabled button cannot keep it. */
export function lookAtFilm() {
  const film = part("film");
  film.focus({ preventScroll: true });
  const { top, bottom } = film.getBoundingClientRect();
  if (top < 0 || bottom > window.innerHeight) film.scrollIntoView({ block: "start" });
}

export function busy(is) {
  part("generate").disabled = is;
  part("generate").textContent = is ? "Generating" : "Generate";
  for (const id of ["image_file", "audio_file", "record"]) part(id).disabled = is;
}

/** Describe an input: `kind` is `image` or `audio`. */
export function describe(kind, text) {
  part(`${kind}-what`).textContent = text;
}

/** Show `text` in place of the source image; null removes it. */
export function shade(text) {
  part("shade").hidden = text === null;
  part("shade").textContent = text ?? "";
}

/** Update everything that depends on the inputs and options. */
export function refresh() {
  part("stage").classList.toggle("filled", Boolean(chosen.image) || !video.hidden);
  part("strip-hint").hidden = Boolean(chosen.audio);
  part("listen").hidden = !chosen.audio;
  part("expression-shown").textContent = Number(form.elements.expression_scale.value).toFixed(1);
  part("command").textContent = shellCommands({
    service: location.origin,
    lane: new FormData(form).get("lane"),
    mode: form.elements.preprocess_mode.value,
    image: chosen.image ?? { file: true, name: "face.jpg" },
    audio: chosen.audio ?? { name: "speech.wav" },
    fields: options(form),
    backdrop: backdropFile()?.name,
    keyed: Boolean(client.key),
  });
}
