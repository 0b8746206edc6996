// The page of the browser avatar: a source image and driven audio, and the face that speaks.

import { Client } from "./client.js";
import { askForKey } from "./key.js";
import { SadTalkerAvatar, fetchTimeline } from "./sadtalker-avatar.js";

const client = new Client(askForKey);
const element = (id) => document.getElementById(id);
const [canvas, audio, state, problem] = ["face", "audio", "state", "problem"].map(element);

let avatar = null;
let timeline = null;

element("image_file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  if (file) attempt("Preparing the avatar", () => upload(file));
});
element("audio_file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  if (file) attempt("Analysing the driven audio", () => hear(file));
});
audio.addEventListener("ended", () => (state.textContent = "The end. Press play to hear it again."));
audio.addEventListener("playing", () => (state.textContent = "Speaking."));

const known = new URLSearchParams(location.search).get("image_id");
if (known) attempt("Loading the avatar", () => show(known));

async function upload(file) {
  const body = new FormData();
  body.set("image_file", file);
  body.set("preprocess_mode", "crop");
  const { image_id: imageId } = await client.json("/api/avatar/upload", { method: "POST", body });
  const path = `/api/avatar/status/${imageId}?preprocess_mode=crop&wait=60`;
  const { status, error } = await client.json(path);
  if (status === "failed") throw new Error(error.message);
  await show(imageId);
}

async function show(imageId) {
  await client.json("/api/avatar?limit=1"); // asks for a key, if one is needed
  const loaded = await SadTalkerAvatar.load(canvas, imageId, { key: client.key });
  avatar?.close();
  avatar = loaded;
  ready();
}

async function hear(file) {
  await client.json("/api/avatar?limit=1");
  timeline = await fetchTimeline(file, { key: client.key });
  URL.revokeObjectURL(audio.src);
  audio.src = URL.createObjectURL(file);
  ready();
}

function ready() {
  if (avatar && timeline) avatar.speak(audio, timeline);
  if (!avatar) state.textContent = "Choose a source image.";
  else state.textContent = timeline ? "Ready. Press play." : "Choose driven audio.";
}

async function attempt(what, work) {
  state.textContent = `${what} ...`;
  problem.textContent = "";
  try {
    await work();
  } catch (error) {
    problem.textContent = error.message;
    ready();
  }
}
