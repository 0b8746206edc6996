// The driven audio: a file, or a recording from the microphone.

import { describe, leaveVideo, refresh } from "./display.js";
import { complain, forgive } from "./fields.js";
import { keepInput } from "./keep.js";
import { chosen, part, waveform } from "./page.js";
import { Recorder } from "./recorder.js";
import { clock } from "./words.js";

const NO_AUDIO = /^(image|text|font)\/|^application\/(pdf|zip|json|msword)/;

export const recorder = new Recorder((level) => waveform.push(level));
/** Plays the chosen audio. */
export const listening = new Audio();

export async function takeAudio(file, { restored = false } = {}) {
  forgive("audio_file");
  if (NO_AUDIO.test(file.type)) {
    return complain(`${file.name} has no audio. Choose an audio or video file with speech.`, "audio_file");
  }
  const taken = (chosen.audio = { file, name: file.name, seconds: null });
  if (!restored) leaveVideo();
  if (!restored) keepInput("audio", { file });
  refresh();
  describe("audio", file.name);
  const seconds = await waveform.show(file);
  if (taken !== chosen.audio) return;
  taken.seconds = seconds;
  const length = seconds === null ? "" : ` · ${clock(seconds)}`;
  describe("audio", `${file.name}${length}`);
  part("clock").textContent = seconds === null ? "" : clock(seconds);
  part("wave").setAttribute("aria-label", `Loudness of ${file.name}${length}`);
}

/** Start recording, or stop and take the recording as driven audio. */
export async function record() {
  const button = part("record");
  try {
    if (recorder.running) {
      button.textContent = "Record";
      button.classList.remove("on");
      await takeAudio(await recorder.stop());
      return;
    }
    forgive("audio_file");
    await recorder.start();
    waveform.clear();
    part("strip-hint").hidden = true;
    describe("audio", "Recording");
    button.textContent = "Stop";
    button.classList.add("on");
  } catch (error) {
    complain(`The microphone cannot be used: ${error.message}.`, "audio_file");
  }
}

/** Play the chosen audio, or stop playing it. */
export function listen() {
  if (!listening.paused) return listening.pause();
  URL.revokeObjectURL(listening.src);
  listening.src = URL.createObjectURL(chosen.audio.file);
  listening.play().catch(() => complain("This browser cannot play the audio.", "audio_file"));
}
