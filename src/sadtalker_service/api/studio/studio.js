// The page: a portrait and a recording go in, a video comes out.

import { Caption } from "./caption.js";
import { Client, pause } from "./client.js";
import { copy, shellCommands } from "./command.js";
import { offerEnhancers } from "./engine.js";
import { complain, forgive, options } from "./fields.js";
import { watchHealth } from "./health.js";
import { keepInput, keepOptions, keptInput, restoreOptions } from "./keep.js";
import { askForKey } from "./key.js";
import { Player } from "./player.js";
import { PortraitView } from "./portrait.js";
import { canRecord, Recorder } from "./recorder.js";
import { Shelf } from "./shelf.js";
import { Waveform } from "./waveform.js";
import { clock } from "./words.js";

const CANCELLED = "Cancelled. Nothing was kept.";
const LOOK_MS = 300; // between two looks at an avatar in preparation
const NO_SOUND = /^(image|text|font)\/|^application\/(pdf|zip|json|msword)/;
const NO_PICTURE = /^(audio|text|font)\/|^application\//;
const SOUND = /\.(wav|mp3|m4a|aac|ogg|oga|opus|flac|webm|mp4|mov|mkv|amr|aiff?|wma)$/i;

const part = (id) => document.getElementById(id);
const form = part("request");
const video = part("video");
const client = new Client(askForKey);
const player = new Player(video, client);
const caption = new Caption();
const portraitView = new PortraitView(part("portrait"));
const waveform = new Waveform(part("wave"));
const recorder = new Recorder((level) => waveform.push(level));
const shelf = new Shelf(client, { onChoose: chooseAvatar, onRemove: forgetAvatar, onProblem: (e) => complain(e.message) });

/** What the viewer has put in: the file, or what the service knows of it. */
let portrait = null;
let speech = null;
/** The request that is followed, and what ends following it. */
let work = null;

// ---- portrait

/** Show the picture at once, and have it prepared while the viewer looks for a recording. */
async function takePortrait(file, { restored = false, face = 0 } = {}) {
  forgive("image_file");
  if (NO_PICTURE.test(file.type)) return complain(`${file.name} is no picture. Choose a photo of a face.`, "image_file");
  const taken = (portrait = { file, name: file.name, imageId: null, mode: null });
  showFaces([], 0);
  offerFace(face);
  remark([]);
  if (!restored) leaveVideo();
  if (!restored) keepInput("portrait", { file });
  refresh();
  describe("portrait", `${file.name}`);
  const shown = await portraitView.show(file);
  if (taken !== portrait) return;
  part("portrait").setAttribute("aria-label", `Portrait ${file.name}`);
  const unseen = file.type.startsWith("video/")
    ? `The best frame of ${file.name} becomes the portrait.`
    : `This browser cannot show ${file.name}; the service may well read it.`;
  shade(shown ? null : unseen);
  prepare(taken).catch(() => {}); // told beside the field already
}

/** The portrait's id, after an upload for the mode and the face that are chosen; its faces are shown when they
 * were found. */
function prepare(taken) {
  const mode = form.elements.preprocess_mode.value;
  const face = form.elements.face_index.value || "0";
  if (taken.mode !== mode || taken.face !== face) {
    Object.assign(taken, { mode, face });
    taken.upload = upload(taken, mode, face).catch((error) => {
      taken.mode = null; // another try is another upload
      if (taken === portrait) complain(error.message, error.param, "image_file");
      throw error;
    });
  }
  return taken.upload;
}

async function upload(taken, mode, face) {
  if (taken.file) {
    const body = new FormData();
    body.set("image_file", taken.file, taken.file.name);
    body.set("preprocess_mode", mode);
    if (face !== "0") body.set("face_index", face);
    if (taken === portrait) describe("portrait", `${taken.name} · uploading`);
    taken.imageId = (await client.json("/api/avatar/upload", { method: "POST", body })).image_id;
    refresh();
    follow(taken, mode, face).catch((error) => taken === portrait && complain(error.message, error.param, "image_file"));
  }
  return taken.imageId;
}

/** Look at the preparation until it has ended. */
async function follow(taken, mode, face) {
  for (;;) {
    const query = `preprocess_mode=${mode}&face_index=${face}`;
    const status = await client.json(`/api/avatar/status/${taken.imageId}?${query}`);
    if (taken !== portrait || taken.mode !== mode || taken.face !== face) return;
    if (status.status === "failed") {
      taken.mode = null;
      portraitView.mark([]);
      describe("portrait", `${taken.name} · ${status.width} × ${status.height}`);
      complain(status.error.message, status.error.param, "image_file");
      return;
    }
    const ready = status.status === "ready";
    if (status.face) showFaces(status.faces, status.face_index);
    remark(status.warnings);
    const state = status.face ? "face found" : ready ? "ready" : "looking for the face";
    describe("portrait", `${taken.name} · ${status.width} × ${status.height} · ${state}`);
    if (ready) return void shelf.refresh();
    await pause(LOOK_MS);
  }
}

/** Show which faces there are and which one speaks; where there are several, they can be chosen from. */
function showFaces(boxes, chosen) {
  portraitView.mark(boxes, chosen);
  const choice = part("face_index");
  const labels = boxes.map((_, face) => (face ? `Face ${face}` : "Face 0, the largest"));
  choice.replaceChildren(...labels.map((label, face) => new Option(label, face, false, face === chosen)));
  part("faces").hidden = boxes.length < 2;
}

/** Choose a face of which no box is known (yet). */
function offerFace(face) {
  if (face) part("face_index").replaceChildren(new Option(`Face ${face}`, face, false, true));
}

/** A face was chosen: in the list, or by a click on it. */
function chooseFace() {
  const face = Number(part("face_index").value);
  portraitView.mark(portraitView.boxes, face);
  if (portrait?.file) keepInput("portrait", { file: portrait.file, face });
  if (portrait) prepare(portrait).catch(() => {});
  refresh();
}

function chooseFaceAt(event) {
  const face = portraitView.faceAt(event.offsetX, event.offsetY);
  if (work || face < 0 || portraitView.boxes.length < 2) return;
  part("face_index").value = face;
  chooseFace();
}

/** What was guessed or left out when the portrait was prepared. */
function remark(texts) {
  const list = part("portrait-remarks");
  list.hidden = !texts.length;
  list.replaceChildren(...texts.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
}

/** Take a portrait that was uploaded before. */
async function chooseAvatar(avatar, picture, { restored = false } = {}) {
  if (work && !restored) return;
  forgive("image_file");
  const day = new Date(avatar.uploaded_at).toLocaleDateString();
  const taken = (portrait = { file: null, name: `Portrait of ${day}`, imageId: avatar.image_id, mode: null });
  if (!restored) form.elements.preprocess_mode.value = avatar.preprocess_mode;
  showFaces([], 0);
  remark([]);
  offerFace(avatar.face_index ?? 0);
  if (!restored) leaveVideo();
  if (!restored) keepInput("portrait", { avatar });
  refresh();
  describe("portrait", `${taken.name} · ${avatar.width} × ${avatar.height} · uploaded before`);
  part("portrait").setAttribute("aria-label", "Close-up of a portrait uploaded before");
  if (picture) await portraitView.show(picture);
  else portraitView.clear();
  shade(picture ? null : "There is no preview of this portrait.");
  if (!restored) part("generate").scrollIntoView({ block: "nearest" });
}

function forgetAvatar(avatar) {
  if (portrait?.imageId !== avatar.image_id) return;
  portrait = null;
  keepInput("portrait", null);
  portraitView.clear();
  showFaces([], 0);
  remark([]);
  leaveVideo();
  describe("portrait", "JPEG, PNG, WebP, HEIC, AVIF, or a video");
  refresh();
}

// ---- speech

async function takeSpeech(file, { restored = false } = {}) {
  forgive("audio_file");
  if (NO_SOUND.test(file.type)) {
    return complain(`${file.name} has no sound. Choose a recording of speech.`, "audio_file");
  }
  const taken = (speech = { file, name: file.name, seconds: null });
  if (!restored) leaveVideo();
  if (!restored) keepInput("speech", { file });
  refresh();
  describe("speech", file.name);
  const seconds = await waveform.show(file);
  if (taken !== speech) return;
  taken.seconds = seconds;
  const length = seconds === null ? "" : ` · ${clock(seconds)}`;
  describe("speech", `${file.name}${length}`);
  part("clock").textContent = seconds === null ? "" : clock(seconds);
  part("wave").setAttribute("aria-label", `Loudness of ${file.name}${length}`);
}

async function record() {
  const button = part("record");
  try {
    if (recorder.running) {
      button.textContent = "Record";
      button.classList.remove("on");
      await takeSpeech(await recorder.stop());
      return;
    }
    forgive("audio_file");
    await recorder.start();
    waveform.clear();
    part("strip-hint").hidden = true;
    describe("speech", "Recording");
    button.textContent = "Stop";
    button.classList.add("on");
  } catch (error) {
    complain(`The microphone cannot be used: ${error.message}.`, "audio_file");
  }
}

/** Play the recording, or stop playing it. */
const listening = new Audio();
function listen() {
  if (!listening.paused) return listening.pause();
  URL.revokeObjectURL(listening.src);
  listening.src = URL.createObjectURL(speech.file);
  listening.play().catch(() => complain("This browser cannot play the recording.", "audio_file"));
}

// ---- request

async function generate() {
  forgive();
  if (recorder.running) await record(); // that was the last word
  if (!speech) complain("Choose or record what shall be said.", "audio_file");
  if (!portrait) complain("Choose a portrait first.", "image_file");
  if (!speech || !portrait || work) return;
  const mine = (work = { stop: new AbortController(), links: null });
  busy(true);
  caption.warn([]);
  caption.say("busy", "Sending picture and sound");
  lookAtFilm();
  try {
    const fields = options(form);
    const body = new FormData();
    body.set("image_id", await prepare(portrait).catch(() => Promise.reject(null)));
    body.set("audio_file", speech.file, speech.name);
    for (const [name, value] of Object.entries(fields)) body.set(name, value);
    const lane = new FormData(form).get("lane");
    const answer = await client.json(`/api/${lane}/generate`, { method: "POST", body });
    if (mine.stop.signal.aborted) await client.fetch(answer.links.cancel, { method: "DELETE" }).catch(() => {});
    mine.stop.signal.throwIfAborted();
    history.replaceState(null, "", `#/${lane}/${answer.session_id}`);
    await attend(mine, answer, speech.seconds);
  } catch (error) {
    if (mine.stop.signal.aborted) caption.say("idle", CANCELLED);
    else failed(error);
  } finally {
    if (work === mine) work = null;
    busy(Boolean(work));
  }
}

/** Follow a session to its end. `seconds`: how long its video will be, if that is known. */
async function attend(mine, session, seconds) {
  const { signal } = mine.stop;
  mine.links = session.links;
  player.clear();
  video.hidden = true;
  caption.forgetVideo();
  for await (const record of client.events(session.links.events, signal)) {
    caption.warn(record.warnings);
    if (record.status === "queued" || record.status === "generating") {
      caption.going(record);
      mark((record.progress?.percent ?? 0) / 100);
      if (record.status === "generating" && !player.watching) player.watch(session.links.stream, seconds);
      continue;
    }
    await ended(record);
    return;
  }
}

async function ended(record) {
  caption.warn(record.warnings);
  if (record.status !== "ready") {
    player.clear();
    video.hidden = true;
    caption.forgetVideo();
    mark(0);
    if (record.status === "cancelled") caption.say("idle", CANCELLED);
    else failed(record.error);
    return;
  }
  mark(1);
  caption.ready(record);
  part("download").download = `sadtalker_${record.lane}_${record.session_id.slice(0, 8)}.mp4`;
  player.finish(record.download_url).catch((error) => player.stop.signal.aborted || complain(error.message));
}

/** A link cannot show an API key: it is given an address that needs none. */
async function download(event) {
  const link = event.currentTarget;
  if (!client.key || link.protocol === "blob:") return;
  event.preventDefault();
  try {
    link.href = await client.mediaUrl(link.href);
    link.click();
  } catch (error) {
    complain(error.message);
  }
}

/** Say why there is no video: beside the field, where it is about one. `null`: told already. */
function failed(error) {
  if (!error) return caption.say("failed", "No video: the reason is beside the field.");
  const about = { unreadable_audio: "audio_file", empty_audio: "audio_file", no_face_found: "image_file",
    face_too_small: "image_file", mouth_outside_picture: "image_file", unreadable_image: "image_file" };
  const placed = complain(error.message, error.param, about[error.code]);
  caption.say("failed", placed ? "No video: the reason is beside the field." : `No video. ${error.message}`);
}

async function cancel() {
  const { links, stop } = work ?? {};
  part("film").focus({ preventScroll: true }); // a button that is off cannot keep the focus
  part("cancel").disabled = true;
  if (!links) return stop?.abort(); // nothing was asked for yet
  try {
    await client.fetch(links.cancel, { method: "DELETE" });
  } catch (error) {
    if (error.code !== "already_ended") complain(error.message);
  }
}

/** A session in the page's address is shown again: after a reload, or to somebody else. */
async function resume() {
  const [, lane, name] = /^#\/(standard|vip)\/([\w-]+)$/.exec(location.hash) ?? [];
  if (!name) return;
  const mine = (work = { stop: new AbortController(), links: null });
  busy(true);
  try {
    const record = await client.json(`/api/${lane}/status/${name}`);
    if (["queued", "generating"].includes(record.status)) await attend(mine, record, null);
    else await ended(record);
  } catch (error) {
    if (!mine.stop.signal.aborted) caption.say("idle", error.message);
  } finally {
    if (work === mine) work = null;
    busy(Boolean(work));
  }
}

// ---- what is shown

/** The video that was made is not what the next request will make. */
function leaveVideo() {
  if (work) return;
  player.clear();
  video.hidden = true;
  mark(0);
  caption.forgetVideo();
  caption.warn([]);
  caption.say("idle", nextStep(), { aloud: false });
}

function nextStep() {
  if (portrait && speech) return "Ready to generate.";
  if (portrait) return "Now the recording.";
  return speech ? "Now the portrait." : "The picture and the sound go in above; the video appears in their place.";
}

function mark(made) {
  const playing = !video.hidden && video.duration > 0 && video.currentTime > 0;
  const whole = Number.isFinite(video.duration) ? video.duration : speech?.seconds;
  waveform.mark(made ?? waveform.made, playing && whole ? video.currentTime / whole : null);
}

/** Whoever has pressed the button wants to see what comes of it; and a button that is off cannot have the focus. */
function lookAtFilm() {
  const film = part("film");
  film.focus({ preventScroll: true });
  const { top, bottom } = film.getBoundingClientRect();
  if (top < 0 || bottom > window.innerHeight) film.scrollIntoView({ block: "start" });
}

/** The picture and the sound that this tab had before it was loaded again. */
async function restoreInputs() {
  const [picture, sound] = await Promise.all([keptInput("portrait"), keptInput("speech")]);
  if (sound?.file && !speech) takeSpeech(sound.file, { restored: true });
  if (picture?.file && !portrait) takePortrait(picture.file, { restored: true, face: picture.face });
  if (!location.hash && (portrait || speech)) caption.say("idle", nextStep(), { aloud: false });
  if (!picture?.avatar || portrait) return;
  try {
    const preview = await client.fetch(`/api/avatar/${picture.avatar.image_id}/preview?face_index=${picture.avatar.face_index ?? 0}`);
    if (!portrait) chooseAvatar(picture.avatar, await preview.blob(), { restored: true });
  } catch {
    keepInput("portrait", null); // it was removed
  }
}

function busy(is) {
  part("generate").disabled = is;
  part("generate").textContent = is ? "Generating" : "Generate";
  for (const id of ["image_file", "audio_file", "record"]) part(id).disabled = is;
}

function describe(track, text) {
  part(`${track}-what`).textContent = text;
}

function shade(text) {
  part("shade").hidden = text === null;
  part("shade").textContent = text ?? "";
}

/** All that follows from what was put in. */
function refresh() {
  part("stage").classList.toggle("filled", Boolean(portrait) || !video.hidden);
  part("strip-hint").hidden = Boolean(speech);
  part("listen").hidden = !speech;
  part("expression-shown").textContent = Number(form.elements.expression_scale.value).toFixed(1);
  part("command").textContent = shellCommands({
    service: location.origin,
    lane: new FormData(form).get("lane"),
    mode: form.elements.preprocess_mode.value,
    portrait: portrait ?? { file: true, name: "portrait.jpg" },
    speech: speech ?? { name: "speech.wav" },
    fields: options(form),
    keyed: Boolean(client.key),
  });
}

// ---- events of the page

function take(files) {
  if (work) return;
  for (const file of files) {
    const isSound = /^(audio|video)\//.test(file.type) || SOUND.test(file.name);
    (isSound ? takeSpeech : takePortrait)(file);
  }
}

function listenTo() {
  client.addEventListener("key", refresh);
  part("image_file").addEventListener("change", (event) => event.target.files[0] && takePortrait(event.target.files[0]));
  part("audio_file").addEventListener("change", (event) => event.target.files[0] && takeSpeech(event.target.files[0]));
  for (const input of [part("image_file"), part("audio_file")]) {
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return; // it would send the form
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
  part("portrait").addEventListener("click", chooseFaceAt);
  part("preprocess_mode").addEventListener("change", () => portrait && prepare(portrait).catch(() => {}));
  part("record").addEventListener("click", record);
  part("listen").addEventListener("click", listen);
  listening.addEventListener("play", () => (part("listen").textContent = "Stop"));
  listening.addEventListener("pause", () => (part("listen").textContent = "Listen"));
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
listenTo();
part("record").hidden = !canRecord;
refresh();
watchHealth();
offerEnhancers(client, part("enhancer"), refresh);
resume();
restoreInputs();
shelf.refresh().catch(() => {}); // the line at the top says what is wrong
