// Updates the page after each change.

import { backdropFile } from "./backdrop.js";
import { shellCommands } from "./command.js";
import { options } from "./fields.js";
import { noteHeight } from "./height_note.js";
import { caption, chosen, client, form, part, player, speech, speechFrom, video, waveform } from "./page.js";
import { clock } from "./words.js";

const listeners = [];

/** Call `act` after each refresh. */
export function onRefresh(act) {
  listeners.push(act);
}

/** Hide the finished video: the next request will make a different one. */
export function leaveVideo() {
  if (chosen.work) return;
  player.clear();
  video.hidden = true;
  chosen.video = null;
  mark(0);
  caption.forgetVideo();
  caption.warn([]);
  caption.say("idle", nextStep(), { aloud: false });
}

export function nextStep() {
  const said = speech();
  const missing = speechFrom() === "text" ? "write what the face shall say" : "choose or record the speech";
  if (chosen.image && said) return "Ready to generate.";
  if (chosen.image) return `Next, ${missing}.`;
  if (said) return "Next, choose the source image.";
  return `Choose a source image, and ${missing}. The video appears here.`;
}

/** Show which part of the video is finished (0..1; unchanged if undefined), and where it plays. */
export function mark(made) {
  const playing = !video.hidden && video.duration > 0 && video.currentTime > 0;
  const whole = Number.isFinite(video.duration) ? video.duration : speech()?.seconds;
  waveform.mark(made ?? waveform.made, playing && whole ? video.currentTime / whole : null);
}

/** Scroll to the video and move the focus there, because the disabled button cannot keep it. */
export function lookAtFilm() {
  const film = part("film");
  film.focus({ preventScroll: true });
  const { top, bottom } = film.getBoundingClientRect();
  const covered = part("generate").closest(".submit").getBoundingClientRect().top; // it sticks to the window's end
  const end = film.getBoundingClientRect().right > part("panel").getBoundingClientRect().left ? covered : window.innerHeight;
  if (top < 0 || bottom > end) film.scrollIntoView({ block: "start" });
}

export function busy(is) {
  part("generate").disabled = is;
  part("generate").textContent = is ? "Generating" : "Generate";
  for (const id of ["image_file", "audio_file", "record", "example", "example-audio"]) part(id).disabled = is;
}

/** Describe an input: `kind` is `image` or `audio`. */
export function describe(kind, text) {
  part(`${kind}-what`).textContent = text;
}

/** Say `text` to screen readers. */
export function announce(text) {
  part("announcer").textContent = text;
}

/** Show `text` in place of the source image; null removes it. */
export function shade(text) {
  part("shade").hidden = text === null;
  part("shade").textContent = text ?? "";
}

/** Update everything that depends on the inputs and options. */
export function refresh() {
  const said = speech();
  part("stage").classList.toggle("filled", Boolean(chosen.image) || !video.hidden);
  showSpeech(said);
  part("expression-shown").textContent = Number(form.elements.expression_scale.value).toFixed(1);
  part("rate-shown").textContent = `${Number(form.elements.rate.value).toFixed(2).replace(/0$/, "")}×`;
  part("style-field").hidden = form.elements.still.value === "true";
  noteHeight();
  if (part("caption").dataset.state === "idle" && !chosen.work) caption.say("idle", nextStep(), { aloud: false });
  part("command").textContent = shellCommands({
    service: location.origin,
    lane: form.elements.lane.value,
    mode: form.elements.preprocess_mode.value,
    image: chosen.image ?? { file: true, name: "face.jpg" },
    audio: chosen.audio ?? { name: "speech.wav" },
    spoken: speechFrom() === "text" ? spokenFields() : null,
    fields: options(form),
    backdrop: backdropFile()?.name,
    keyed: Boolean(client.key),
  });
  listeners.forEach((act) => act());
}

/** Return the fields of a request that say what is spoken by which voice. */
export function spokenFields() {
  const { voice, rate } = form.elements;
  return { text: part("text").value.trim(), voice: voice.value, ...(rate.value === "1" ? {} : { rate: rate.value }) };
}

/** Show the panel of the text or of the recording, and the strip of its sound. */
function showSpeech(said) {
  const recording = speechFrom() === "recording";
  part("from-text").hidden = recording;
  part("from-recording").hidden = !recording;
  part("transcript-field").hidden = !recording || form.elements.captions.value === "none";
  part("listen").hidden = !chosen.audio;
  const count = part("text").value.length;
  part("text-count").textContent = count > 200 ? `${count.toLocaleString()} of 5,000 characters` : "";
  const seconds = said?.seconds ?? null;
  part("clock").textContent = seconds === null ? "" : clock(seconds);
  const drawn = recording ? Boolean(said) : seconds !== null;
  part("strip-hint").hidden = drawn || waveform.levels.length > 0;
  part("strip-words").textContent = said ? "Listen to the text, and see it here" : "Drop an audio file, or click to choose one";
  const name = recording ? said?.name : "the text";
  part("wave").setAttribute("aria-label", drawn ? `Loudness of ${name}${seconds === null ? "" : ` · ${clock(seconds)}`}` : "No speech yet");
}
