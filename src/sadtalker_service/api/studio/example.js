// An example to try: a portrait, a text and a recording.

import { takeAudio } from "./driven_audio.js";
import { part, speech } from "./page.js";
import { takeImage } from "./source_image.js";

const PORTRAIT = "/studio/example/portrait.jpg";
const RECORDING = "/studio/example/speech.mp3";
const TEXT = "Hello, and welcome. I am a photograph that has learned to speak. What shall I say for you?";

/** Choose the example portrait, and the example text where nothing is chosen to be said. */
export async function tryExample() {
  if (!speech()) {
    part("text").value = TEXT;
    part("text").dispatchEvent(new Event("input", { bubbles: true }));
  }
  await takeImage(await fetched(PORTRAIT, "Example.jpg", "image/jpeg"));
  part("generate").focus({ preventScroll: true });
}

/** Choose the example recording. */
export async function hearExample() {
  await takeAudio(await fetched(RECORDING, "Example.mp3", "audio/mpeg"));
}

async function fetched(path, name, type) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error("The example is missing on this service.");
  return new File([await answer.blob()], name, { type });
}
