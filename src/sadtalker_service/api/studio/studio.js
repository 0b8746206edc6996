// The studio: makes a video from a source image and a text or driven audio. This module connects the page's events.

import { connectBackdrop } from "./backdrop.js";
import { copy } from "./command.js";
import { leaveVideo, mark, onRefresh, refresh } from "./display.js";
import { listen, record, showAudio, takeAudio } from "./driven_audio.js";
import { offerFeatures } from "./engine.js";
import { hearExample, tryExample } from "./example.js";
import { complain, forgive } from "./fields.js";
import { showGestures } from "./gestures.js";
import { watchHealth } from "./health.js";
import { keepInput, keepOptions, keepText, keptInput, keptText, restoreOptions } from "./keep.js";
import { chosen, client, form, part, speech, speechFrom, video, waveform } from "./page.js";
import { PosePreview } from "./pose_preview.js";
import { canRecord } from "./recorder.js";
import { cancel, download, generate, resume, showKept } from "./session.js";
import { share } from "./share.js";
import { stop } from "./sound.js";
import { chooseAvatar, chooseFace, chooseFaceAt, prepare, shelf, takeImage } from "./source_image.js";
import { hearText, hearVoice, offerVoices, showText } from "./spoken_text.js";
import { switchCaptions } from "./subtitles.js";
import { listVideos } from "./videos.js";

const AUDIO_NAME = /\.(wav|mp3|m4a|aac|ogg|oga|opus|flac|webm|mp4|mov|mkv|amr|aiff?|wma)$/i;

/** Restore the source image and the audio that this tab had before a reload. */
async function restoreInputs() {
  const [image, audio] = await Promise.all([keptInput("image"), keptInput("audio")]);
  if (audio?.file && !chosen.audio) takeAudio(audio.file, { restored: true });
  if (image?.file && !chosen.image) takeImage(image.file, { restored: true, face: Number(keptText("face")) });
  refresh();
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

/** Another source of the speech: show its sound. */
function switchSpeech() {
  stop();
  if (chosen.video) leaveVideo();
  if (speechFrom() === "text") showText();
  else if (chosen.audio) showAudio(chosen.audio);
  else waveform.clear();
  refresh();
}

function stepPose(by) {
  const field = part("pose_style");
  field.value = (Number(field.value) + by + 46) % 46;
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

function connectForm() {
  form.addEventListener("submit", (event) => (event.preventDefault(), generate()));
  form.addEventListener("input", (event) => {
    const { name, id } = event.target;
    if ((name || id) && event.target.closest?.("[data-field]")) forgive(name || id);
    keepOptions(form);
    refresh();
  });
  for (const radio of form.elements.speech_from) radio.addEventListener("change", switchSpeech);
  for (const id of ["text", "voice", "rate"]) part(id).addEventListener("input", () => (stop(), showText(), refresh()));
  part("transcript").addEventListener("input", () => keepText("transcript", part("transcript").value));
  part("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) generate();
  });
  part("face_index").addEventListener("change", chooseFace);
  part("preprocess_mode").addEventListener("change", () => chosen.image && prepare(chosen.image).catch(() => {}));
}

function connectFiles() {
  part("image_file").addEventListener("change", (event) => event.target.files[0] && takeImage(event.target.files[0]));
  part("audio_file").addEventListener("change", (event) => event.target.files[0] && takeAudio(event.target.files[0]));
  for (const input of [part("image_file"), part("audio_file")]) {
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return; // Enter would submit the form
      event.preventDefault();
      input.click();
    });
  }
  part("strip-hint").addEventListener("click", (event) => {
    if (speechFrom() !== "text" || !speech()) return; // the label opens the file chooser
    event.preventDefault();
    hearText();
  });
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
  document.addEventListener("dragover", (event) => (event.preventDefault(), part("film").classList.add("over")));
  document.addEventListener("dragleave", (event) => event.relatedTarget || part("film").classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    part("film").classList.remove("over");
    take(event.dataTransfer.files);
  });
}

function connectButtons() {
  const actions = { record, listen, cancel, share, download, subtitles: switchCaptions, "hear-voice": hearVoice,
    "hear-text": hearText, "pose-before": () => stepPose(-1), "pose-next": () => stepPose(1), image: chooseFaceAt };
  for (const [id, act] of Object.entries(actions)) part(id).addEventListener("click", act);
  part("example").addEventListener("click", () => tryExample().catch((error) => complain(error.message, "image_file")));
  part("example-audio").addEventListener("click", () => hearExample().catch((error) => complain(error.message, "audio_file")));
  part("copy").addEventListener("click", () => copy(part("command"), part("copy")));
  part("wave").addEventListener("click", (event) => {
    if (!video.hidden && video.duration) video.currentTime = (event.offsetX / event.target.clientWidth) * video.duration;
  });
}

function connectVideo() {
  video.addEventListener("loadeddata", () => ((video.hidden = false), refresh()));
  video.addEventListener("durationchange", showGestures);
  video.addEventListener("timeupdate", () => mark());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => waveform.draw());
}

/** Show only what the engine and the browser offer. */
function offer() {
  part("record").hidden = !canRecord;
  offerVoices().catch((error) => complain(error.message, "voice"));
  offerFeatures(client, part("enhancer"), ({ name }) => {
    chosen.engine = name;
    part("pose-preview").hidden = name !== "mesh"; // the movements of other engines are not known here
    part("style-field").classList.toggle("plain-number", name !== "mesh");
    refresh();
  });
  new PosePreview(part("pose-preview"), () => Number(part("pose_style").value));
}

restoreOptions(form);
connectBackdrop();
part("text").value = keptText("text");
part("transcript").value = keptText("transcript");
for (const connect of [connectForm, connectFiles, connectButtons, connectVideo]) connect();
client.addEventListener("key", refresh);
onRefresh(showGestures);
refresh();
watchHealth();
offer();
resume();
restoreInputs();
listVideos(showKept);
shelf.refresh().catch(() => {}); // the line at the top of the page shows what is wrong
