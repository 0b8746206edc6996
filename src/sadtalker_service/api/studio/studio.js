// The studio: makes a video from a source image and driven audio. This module connects the page's events.

import { connectBackdrop } from "./backdrop.js";
import { copy } from "./command.js";
import { mark, nextStep, refresh } from "./display.js";
import { listen, listening, record, takeAudio } from "./driven_audio.js";
import { offerEnhancers } from "./engine.js";
import { forgive } from "./fields.js";
import { watchHealth } from "./health.js";
import { keepInput, keepOptions, keptInput, restoreOptions } from "./keep.js";
import { caption, chosen, client, form, part, video, waveform } from "./page.js";
import { canRecord } from "./recorder.js";
import { cancel, download, generate, resume } from "./session.js";
import { chooseAvatar, chooseFace, chooseFaceAt, prepare, shelf, takeImage } from "./source_image.js";

const AUDIO_NAME = /\.(wav|mp3|m4a|aac|ogg|oga|opus|flac|webm|mp4|mov|mkv|amr|aiff?|wma)$/i;

/** Restore the source image and the audio that this tab had before a reload. */
async function restoreInputs() {
  const [image, audio] = await Promise.all([keptInput("image"), keptInput("audio")]);
  if (audio?.file && !chosen.audio) takeAudio(audio.file, { restored: true });
  if (image?.file && !chosen.image) takeImage(image.file, { restored: true, face: image.face });
  if (!location.hash && (chosen.image || chosen.audio)) caption.say("idle", nextStep(), { aloud: false });
  if (!image?.avatar || chosen.image) return;
  try {
    const preview = await client.fetch(`/api/avatar/${image.avatar.image_id}/preview?face_index=${image.avatar.face_index ?? 0}`);
    if (!chosen.image) chooseAvatar(image.avatar, await preview.blob(), { restored: true });
  } catch {
    keepInput("image", null); // it was removed
  }
}

/** Take files that were dropped or pasted. */
function take(files) {
  if (chosen.work) return;
  for (const file of files) {
    const isAudio = /^(audio|video)\//.test(file.type) || AUDIO_NAME.test(file.name);
    (isAudio ? takeAudio : takeImage)(file);
  }
}

function connectEvents() {
  client.addEventListener("key", refresh);
  part("image_file").addEventListener("change", (event) => event.target.files[0] && takeImage(event.target.files[0]));
  part("audio_file").addEventListener("change", (event) => event.target.files[0] && takeAudio(event.target.files[0]));
  for (const input of [part("image_file"), part("audio_file")]) {
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return; // Enter would submit the form
      event.preventDefault();
      input.click();
    });
  }
  form.addEventListener("submit", (event) => (event.preventDefault(), generate()));
  form.addEventListener("input", (event) => {
    if (event.target.name && event.target.closest("[data-field]")) forgive(event.target.name);
    keepOptions(form);
    refresh();
  });
  part("face_index").addEventListener("change", chooseFace);
  part("image").addEventListener("click", chooseFaceAt);
  part("preprocess_mode").addEventListener("change", () => chosen.image && prepare(chosen.image).catch(() => {}));
  part("record").addEventListener("click", record);
  part("listen").addEventListener("click", listen);
  listening.addEventListener("play", () => (part("listen").textContent = "Stop"));
  listening.addEventListener("pause", () => (part("listen").textContent = "Play"));
  part("cancel").addEventListener("click", cancel);
  part("copy").addEventListener("click", () => copy(part("command"), part("copy")));
  part("download").addEventListener("click", download);
  video.addEventListener("loadeddata", () => ((video.hidden = false), refresh()));
  video.addEventListener("timeupdate", () => mark());
  part("wave").addEventListener("click", (event) => {
    if (!video.hidden && video.duration) video.currentTime = (event.offsetX / event.target.clientWidth) * video.duration;
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => waveform.draw());
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
  document.addEventListener("dragover", (event) => (event.preventDefault(), part("film").classList.add("over")));
  document.addEventListener("dragleave", (event) => event.relatedTarget || part("film").classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    part("film").classList.remove("over");
    take(event.dataTransfer.files);
  });
}

restoreOptions(form);
connectBackdrop();
connectEvents();
part("record").hidden = !canRecord;
refresh();
watchHealth();
offerEnhancers(client, part("enhancer"), refresh);
resume();
restoreInputs();
shelf.refresh().catch(() => {}); // the line at the top of the page shows what is wrong
