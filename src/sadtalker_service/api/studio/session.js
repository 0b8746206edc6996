// One request for a video: sent, followed to its end, cancelled, or resumed after a reload.

import { backdropFile, missingBackdrop } from "./backdrop.js";
import { busy, lookAtFilm, mark, refresh, spokenFields } from "./display.js";
import { record, recorder } from "./driven_audio.js";
import { complain, forgive, numbersAreRight, options } from "./fields.js";
import { caption, chosen, client, form, part, player, speech, speechFrom, video } from "./page.js";
import { stop } from "./sound.js";
import { prepare } from "./source_image.js";
import { offerCaptions } from "./subtitles.js";
import { expectVideo } from "./video_store.js";
import { addVideo } from "./videos.js";
import { bytes, fileName } from "./words.js";

const SUFFIXES = { "video/webm": "webm", "video/quicktime": "mov" };
const CANCELLED = "Cancelled. Nothing was kept.";
const BESIDE_THE_FIELD = "No video was made. See the message beside the field.";
const TITLE = 80; // characters
const NO_SPEECH = { text: ["Write what the face shall say.", "text"], recording: ["Choose or record the speech.", "audio_file"] };

export async function generate() {
  forgive();
  if (recorder.running) await record(); // stops the recording
  const { image } = chosen;
  const said = speech();
  if (!said) complain(...NO_SPEECH[speechFrom()]);
  if (!image) complain("Choose a source image.", "image_file");
  if (missingBackdrop()) complain(missingBackdrop(), "background");
  if (!said || !image || missingBackdrop() || chosen.work) return;
  if (!numbersAreRight(form)) return caption.say("failed", BESIDE_THE_FIELD);
  const mine = (chosen.work = { stop: new AbortController(), links: null });
  stop();
  busy(true);
  caption.warn([]);
  caption.say("busy", said.kind === "text" ? "Sending the source image and the text" : "Uploading the source image and the audio");
  lookAtFilm();
  try {
    const body = await requestBody(image, said);
    const lane = form.elements.lane.value;
    const answer = await client.json(`/api/${lane}/generate`, { method: "POST", body });
    if (mine.stop.signal.aborted) await client.fetch(answer.links.cancel, { method: "DELETE" }).catch(() => {});
    mine.stop.signal.throwIfAborted();
    history.replaceState(null, "", `#/${lane}/${answer.session_id}`);
    await expectVideo(answer.session_id);
    await attend(mine, answer, said.seconds);
  } catch (error) {
    if (mine.stop.signal.aborted) caption.say("idle", CANCELLED);
    else failed(error);
  } finally {
    if (chosen.work === mine) chosen.work = null;
    busy(Boolean(chosen.work));
  }
}

async function requestBody(image, said) {
  const body = new FormData();
  body.set("image_id", await prepare(image).catch(() => Promise.reject(null)));
  if (said.kind === "text") {
    for (const [name, value] of Object.entries(spokenFields())) body.set(name, value);
  } else {
    body.set("audio_file", said.file, said.name);
  }
  for (const [name, value] of Object.entries(options(form))) body.set(name, value);
  if (backdropFile()) body.set("background_file", backdropFile());
  const transcript = part("transcript").value.trim();
  if (said.kind === "recording" && body.has("captions") && transcript) body.set("transcript", transcript);
  body.set("user_data", titleOf(said)); // comes back with the session, also after a reload
  return body;
}

function titleOf(said) {
  const whole = said.kind === "text" ? said.text.replace(/<[^>]*>/g, " ").replace(/\s+/g, " ").trim() : said.name;
  return whole.length > TITLE ? `${whole.slice(0, TITLE - 1).trimEnd()}…` : whole;
}

/** Follow a session to its end. `seconds` is the length of its video, if known. */
async function attend(mine, session, seconds) {
  const { signal } = mine.stop;
  mine.links = session.links;
  player.clear();
  offerCaptions(null);
  video.hidden = true;
  chosen.video = null;
  caption.forgetVideo();
  for await (const record of client.events(session.links.events, signal)) {
    caption.warn(record.warnings);
    if (record.status === "queued" || record.status === "generating") {
      caption.going(record);
      mark((record.progress?.percent ?? 0) / 100);
      const { stream } = session.links; // a transparent video has none
      if (record.status === "generating" && stream && !player.watching) player.watch(stream, seconds);
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
  const title = record.user_data || "Video";
  const shown = (chosen.video = { title, address: `${location.origin}/#/${record.lane}/${record.session_id}`, blob: null });
  part("share").hidden = false;
  caption.ready(record);
  part("download").download = fileName(title, SUFFIXES[record.video?.media_type]);
  const without = record.warnings.some((warning) => warning.startsWith("captions were not applied"));
  const captioned = record.settings.voice || (["track", "burned"].includes(record.settings.captions) && !without);
  offerCaptions(captioned ? record.links.captions : null);
  player.finish(record.download_url).catch((error) => player.stop.signal.aborted || complain(error.message));
  keep(record, shown).catch((error) => console.info("The video is not in the list.", error));
}

/** Keep a copy of the video in this browser. */
async function keep(record, shown) {
  const file = await (await client.fetch(record.download_url)).blob();
  shown.blob = file;
  await addVideo({ id: record.session_id, title: shown.title, seconds: record.video?.seconds ?? 0, file });
}

/** Show a video that this browser has kept. */
export function showKept({ title, seconds, file }) {
  player.clear();
  offerCaptions(null);
  chosen.video = { title, address: "", blob: file };
  caption.warn([]);
  part("share").hidden = !navigator.canShare?.({ files: [new File([file], "video.mp4", { type: "video/mp4" })] });
  const address = player.open(file);
  caption.offer(`${title} · ${bytes(file.size)}`, address);
  part("download").download = fileName(title);
  history.replaceState(null, "", location.pathname);
  mark(0);
  lookAtFilm();
  refresh();
}

/** Download the video. From the service, a link could not send an API key, and the file would be named after its
 * session. */
export async function download(event) {
  const link = event.currentTarget;
  if (link.protocol === "blob:") return;
  event.preventDefault();
  try {
    const file = chosen.video.blob ?? (await (await client.fetch(link.href)).blob());
    link.href = URL.createObjectURL(file);
    link.click();
  } catch (error) {
    complain(error.message);
  }
}

/** Show why there is no video, beside the field if the error is about one. `null`: it is already shown. */
function failed(error) {
  if (!error) return caption.say("failed", BESIDE_THE_FIELD);
  const about = { unreadable_audio: "audio_file", empty_audio: "audio_file", no_face_found: "image_file",
    face_too_small: "image_file", mouth_outside_picture: "image_file", unreadable_image: "image_file" };
  const placed = complain(error.message, error.param, about[error.code]);
  caption.say("failed", placed ? BESIDE_THE_FIELD : `No video was made. ${error.message}`);
}

export async function cancel() {
  const { links, stop: end } = chosen.work ?? {};
  part("film").focus({ preventScroll: true }); // a disabled button cannot keep the focus
  part("cancel").disabled = true;
  if (!links) return end?.abort(); // nothing was sent yet
  try {
    await client.fetch(links.cancel, { method: "DELETE" });
  } catch (error) {
    if (error.code !== "already_ended") complain(error.message);
  }
}

/** Show the session in the page's address: after a reload, or opened from a link. */
export async function resume() {
  const [, lane, name] = /^#\/(standard|vip)\/([\w-]+)$/.exec(location.hash) ?? [];
  if (!name) return;
  const mine = (chosen.work = { stop: new AbortController(), links: null });
  busy(true);
  try {
    const record = await client.json(`/api/${lane}/status/${name}`);
    if (["queued", "generating"].includes(record.status)) await attend(mine, record, null);
    else await ended(record);
  } catch (error) {
    if (!mine.stop.signal.aborted) caption.say("idle", error.message);
  } finally {
    if (chosen.work === mine) chosen.work = null;
    busy(Boolean(chosen.work));
  }
}
