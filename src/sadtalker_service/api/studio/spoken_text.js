// The text that a voice speaks: its voice and speed, a sample of the voice, and how the text sounds.

import { refresh } from "./display.js";
import { complain, forgive } from "./fields.js";
import { keptOption, keepText } from "./keep.js";
import { chosen, client, form, part, speech, speechFrom, textKey, waveform } from "./page.js";
import { play, stop } from "./sound.js";

const ROBOTIC = "Robotic voices";
const GENDERS = { female: "woman", male: "man" };

/** Fill the list of voices. Without any voice, only recordings are offered. */
export async function offerVoices() {
  const { default: first, voices } = await client.json("/api/voices");
  const groups = new Map();
  for (const voice of voices) {
    const name = voice.source === "kokoro" ? voice.language_name : ROBOTIC;
    groups.set(name, [...(groups.get(name) ?? []), voice]);
  }
  const select = part("voice");
  select.replaceChildren(...[...groups].map(([name, members]) => group(name, members)));
  const kept = keptOption("voice");
  select.value = voices.some(({ id }) => id === kept) ? kept : first;
  if (voices.length) return refresh();
  form.elements.speech_from.value = "recording";
  part("speech-title").nextElementSibling.hidden = true;
  refresh();
}

function group(name, voices) {
  const made = document.createElement("optgroup");
  made.label = name;
  made.append(...voices.map(({ id, name: own, gender }) => new Option(GENDERS[gender] ? `${own}, ${GENDERS[gender]}` : own, id)));
  return made;
}

/** Play a sample of the chosen voice, or stop it. */
export async function hearVoice() {
  const button = part("hear-voice");
  if (stop(button)) return;
  forgive("voice");
  await attempt(button, "voice", async () => {
    const answer = await client.fetch(`/api/voices/${encodeURIComponent(part("voice").value)}/sample`);
    return answer.blob();
  });
}

/** Play the text, or stop it. Its waveform takes the place of the recording's. */
export async function hearText() {
  const button = part("hear-text");
  if (stop(button)) return;
  if (!speech()) return complain("Write what the face shall say.", "text");
  forgive("text");
  await attempt(button, "text", speakText);
}

/** Return the sound of the text, from the service if it was not heard before. Throws `Refusal`. */
export async function speakText() {
  const key = textKey();
  if (chosen.spoken?.key !== key) {
    const body = { input: part("text").value.trim(), voice: part("voice").value, speed: Number(part("rate").value) };
    const headers = { "Content-Type": "application/json" };
    const answer = await client.fetch("/v1/audio/speech", { method: "POST", headers, body: JSON.stringify(body) });
    const blob = await answer.blob();
    if (key !== textKey() || speechFrom() !== "text") return blob;
    chosen.spoken = { key, blob, seconds: await waveform.show(blob) };
    refresh();
  }
  return chosen.spoken.blob;
}

/** Show the waveform of the text if it is known; else clear it. */
export function showText() {
  keepText("text", part("text").value);
  if (speechFrom() !== "text") return;
  if (chosen.spoken?.key === textKey()) waveform.show(chosen.spoken.blob);
  else waveform.clear();
}

async function attempt(button, field, fetchSound) {
  const label = button.textContent;
  button.disabled = true;
  button.textContent = "Loading";
  try {
    const blob = await fetchSound();
    button.textContent = label;
    await play(blob, button);
  } catch (error) {
    complain(error.message, { input: "text", speed: "rate" }[error.param] ?? error.param, field);
    button.textContent = label;
  } finally {
    button.disabled = false;
  }
}
