// The live page: choose a face, start, talk or type.

import { Client } from "./client.js";
import { askForKey } from "./key.js";
import { hasMicrophone, openMicrophone } from "./live_microphone.js";
import { LivePlayer } from "./live_player.js";
import { hideRecording, offerRecording, tellStopped } from "./live_recording.js";
import { LiveSession } from "./live_session.js";

const MOST_FACES = 6;
const LEVEL_MS = 200;
const ENDS = {
  idle: "It ended because nothing was said for a while. Press Start to go on.",
  time_limit: "It was as long as a session may be. Press Start to go on.",
  worker_lost: "The service lost this session. Press Start to go on.",
  worker_stopped: "The service is restarting. Press Start in a moment.",
  avatar_deleted: "The face was deleted.",
  failed: "Drawing failed. Press Start to try again.",
  lost: "The connection was lost. Press Start to go on.",
};

const client = new Client(askForKey);
const element = (id) => document.getElementById(id);
const video = element("video");
const player = new LivePlayer(video);

let imageId = new URLSearchParams(location.search).get("image_id");
const uploaded = new Map(); // image_id -> URL of the file
let session = null;
let closeMicrophone = null;
let asked = false; // whether the user ended the session

element("image_file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  if (file) attempt("Preparing the face", () => upload(file));
});
element("start").addEventListener("click", () => attempt("Starting", start));
element("end").addEventListener("click", () => ((asked = true), session?.close()));
element("interrupt").addEventListener("click", () => session?.send({ type: "agent.interrupt" }));
element("say-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = element("text").value.trim();
  if (text) session?.send({ type: "agent.say", text, voice: element("voice").value });
});
element("microphone").addEventListener("change", ({ target }) => attempt("", () => useMicrophone(target.value)));
addEventListener("pagehide", () => session?.close());

const [early] = element("image_file").files; // chosen before this script was there
attempt("", async () => {
  await Promise.all([showFaces(), showVoices()]);
  if (early) await upload(early);
  else if (imageId) await choose(imageId);
});

async function showFaces() {
  const { avatars } = await client.json(`/api/avatar?limit=${4 * MOST_FACES}`);
  const ids = [...new Set(avatars.filter((one) => one.status === "ready").map((one) => one.image_id))];
  element("known").replaceChildren();
  for (const [at, id] of ids.slice(0, MOST_FACES).entries()) addFace(id, at + 1);
}

function addFace(id, number) {
  const label = document.createElement("label");
  const radio = Object.assign(document.createElement("input"), { type: "radio", name: "face", value: id });
  const picture = Object.assign(document.createElement("img"), { alt: "" });
  radio.setAttribute("aria-label", `Face ${number}`);
  showPreview(picture, id);
  radio.checked = id === imageId;
  radio.addEventListener("change", () => attempt("", () => choose(id)));
  label.append(radio, picture);
  element("known").append(label);
}

/** Show a face: its preview, or the picture that was just uploaded, whose preview takes a little longer. */
async function showPreview(picture, id) {
  picture.hidden = true;
  picture.onload = () => (picture.hidden = false);
  picture.src = uploaded.get(id) ?? (await client.mediaUrl(`/api/avatar/${id}/preview`));
}

async function showVoices() {
  const { voices, default: usual } = await client.json("/api/voices");
  const options = voices.map(({ id, name, language_name: language }) => new Option(`${name}, ${language}`, id));
  element("voice").replaceChildren(...options);
  if (usual) element("voice").value = usual;
  element("say-form").dataset.voices = voices.length;
}

async function upload(file) {
  const body = new FormData();
  body.set("image_file", file);
  body.set("preprocess_mode", "crop");
  const { image_id: id } = await client.json("/api/avatar/upload", { method: "POST", body });
  const { status, error } = await client.json(`/api/avatar/status/${id}?preprocess_mode=crop&wait=60`);
  if (status === "failed") throw new Error(error.message);
  imageId = id;
  uploaded.set(id, URL.createObjectURL(file));
  await showFaces();
  await choose(id);
}

async function choose(id) {
  imageId = id;
  showPreview(element("poster"), id);
  element("empty").hidden = true;
  element("start").disabled = false;
  if (session) session.close();
  show("off", "Ready to start");
}

async function start() {
  asked = false;
  hideRecording();
  const record = element("record").checked;
  const opened = await LiveSession.start(client, { image_id: imageId, preprocess_mode: "crop", record });
  session = opened;
  opened.addEventListener("state", ({ detail }) => opened === session && follow(detail));
  opened.addEventListener("piece", ({ detail }) => opened === session && player.append(detail));
  opened.addEventListener("problem", ({ detail }) => (element("problem").textContent = detail.message));
  opened.addEventListener("recording", ({ detail }) => opened === session && tellStopped(detail));
  opened.addEventListener("started", ({ detail }) => spoken(detail));
  opened.addEventListener("ended", () => opened === session && show("live", "Live"));
  show("busy", "Starting ...");
  arrange(true);
}

function follow(message) {
  if (message.state === "connecting") show("busy", "Starting ...");
  if (message.state === "connected") {
    video.hidden = false;
    player.open(message.media_type).then(
      () => show("live", "Live"),
      (error) => ((element("problem").textContent = error.message), session?.close()),
    );
  }
  if (message.state === "closed") finish(message.reason ?? "lost");
}

function spoken({ latency_ms: latency }) {
  show("speaks", "Speaking");
  const seconds = latency / 1000 + player.behind;
  element("latency").textContent = `${seconds.toFixed(1)} s behind the voice`;
}

function finish(reason) {
  const { recorded } = session;
  session = null;
  if (recorded) offerRecording(client, recorded);
  useMicrophone("off");
  document.querySelector('[name="use"][value="off"]').checked = true;
  player.close();
  video.hidden = true;
  arrange(false);
  show("off", "Ended");
  if (!asked) element("problem").textContent = ENDS[reason] ?? "";
}

function arrange(isLive) {
  element("start").hidden = isLive;
  element("record").disabled = isLive;
  for (const id of ["end", "interrupt"]) element(id).hidden = !isLive;
  element("say-form").hidden = !isLive || element("say-form").dataset.voices === "0";
  element("microphone").hidden = !isLive || !hasMicrophone;
}

async function useMicrophone(use) {
  closeMicrophone?.();
  closeMicrophone = null;
  element("level").value = 0;
  if (use !== "speak") session?.send({ type: "agent.speak_end" });
  if (use !== "listen") session?.send({ type: "agent.stop_listening" });
  if (use === "off" || !session) return;
  let told = 0;
  const close = await openMicrophone((pcm, level) => {
    element("level").value = level;
    if (use === "speak") session?.sendSound(pcm);
    else if (performance.now() - told > LEVEL_MS) {
      told = performance.now();
      session?.send({ type: "agent.start_listening", level });
    }
  }).catch((error) => {
    document.querySelector('[name="use"][value="off"]').checked = true;
    throw new Error(error.name === "NotAllowedError" ? "The microphone is blocked. Allow it for this page." : `The microphone does not work: ${error.message}`);
  });
  if (session) closeMicrophone = close;
  else close();
}

function show(state, text) {
  element("state").dataset.state = state;
  element("state").textContent = text;
  if (state !== "speaks" && state !== "live") element("latency").textContent = "";
}

async function attempt(what, work) {
  if (what) show("busy", `${what} ...`);
  element("problem").textContent = "";
  try {
    await work();
  } catch (error) {
    element("problem").textContent = error.message;
    if (!session) show("off", imageId ? "Ready to start" : "Not started");
  }
}
