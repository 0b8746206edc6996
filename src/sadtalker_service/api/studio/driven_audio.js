// The driven audio: a file, or a recording from the microphone.

import { describe, leaveVideo, refresh } from "./display.js";
import { complain, forgive } from "./fields.js";
import { notSound } from "./file_kind.js";
import { keepInput } from "./keep.js";
import { chosen, form, part, speechFrom, waveform } from "./page.js";
import { Recorder } from "./recorder.js";
import { play, stop } from "./sound.js";
import { clock } from "./words.js";

export const recorder = new Recorder((level) => waveform.push(level));

export async function takeAudio(file, { restored = false } = {}) {
  if (!restored) useRecording();
  forgive("audio_file");
  if (await notSound(file)) {
    return complain(`${file.name} has no audio. Choose an audio or video file with speech.`, "audio_file");
  }
  stop();
  const taken = (chosen.audio = { file, name: file.name, seconds: null });
  if (!restored) leaveVideo();
  if (!restored) keepInput("audio", { file });
  refresh();
  describe("audio", file.name);
  await showAudio(taken);
}

/** Switch to the recording as the speech. */
function useRecording() {
  form.elements.speech_from.value = "recording";
  form.dispatchEvent(new Event("input"));
}

/** Show the waveform of the audio, if it is the speech. */
export async function showAudio(taken) {
  if (speechFrom() !== "recording" || taken !== chosen.audio) return;
  const seconds = await waveform.show(taken.file);
  if (taken !== chosen.audio) return;
  taken.seconds = seconds;
  describe("audio", `${taken.name}${seconds === null ? "" : ` · ${clock(seconds)}`}`);
  refresh();
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
    stop();
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
  if (stop(part("listen"))) return;
  play(chosen.audio.file, part("listen")).catch(() => complain("This browser cannot play the audio.", "audio_file"));
}
