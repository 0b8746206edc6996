// One request for a video: sent, followed to its end, cancelled, or resumed after a reload.

import { backdropFile, missingBackdrop } from "./backdrop.js";
import { busy, lookAtFilm, mark } from "./display.js";
import { record, recorder } from "./driven_audio.js";
import { complain, forgive, options } from "./fields.js";
import { caption, chosen, client, form, part, player, video } from "./page.js";
import { prepare } from "./source_image.js";

const SUFFIXES = { "video/webm": "webm", "video/quicktime": "mov" };
const CANCELLED = "Cancelled. Nothing was kept.";
const BESIDE_THE_FIELD = "No video was made. See the message beside the field.";

export async function generate() {
  forgive();
  if (recorder.running) await record(); // stops the recording
  const { image, audio } = chosen;
  if (!audio) complain("Choose or record the driven audio.", "audio_file");
  if (!image) complain("Choose a source image.", "image_file");
  if (missingBackdrop()) complain(missingBackdrop(), "background");
  if (!audio || !image || missingBackdrop() || chosen.work) return;
  const mine = (chosen.work = { stop: new AbortController(), links: null });
  busy(true);
  caption.warn([]);
  caption.say("busy", "Uploading the source image and the audio");
  lookAtFilm();
  try {
    const fields = options(form);
    const body = new FormData();
    body.set("image_id", await prepare(image).catch(() => Promise.reject(null)));
    body.set("audio_file", audio.file, audio.name);
    for (const [name, value] of Object.entries(fields)) body.set(name, value);
    if (backdropFile()) body.set("background_file", backdropFile());
    const lane = new FormData(form).get("lane");
    const answer = await client.json(`/api/${lane}/generate`, { method: "POST", body });
    if (mine.stop.signal.aborted) await client.fetch(answer.links.cancel, { method: "DELETE" }).catch(() => {});
    mine.stop.signal.throwIfAborted();
    history.replaceState(null, "", `#/${lane}/${answer.session_id}`);
    await attend(mine, answer, audio.seconds);
  } catch (error) {
    if (mine.stop.signal.aborted) caption.say("idle", CANCELLED);
    else failed(error);
  } finally {
    if (chosen.work === mine) chosen.work = null;
    busy(Boolean(chosen.work));
  }
}

/** Follow a session to its end. `seconds` is the length of its video, if known. */
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
  caption.ready(record);
  part("download").download = `sadtalker_${record.lane}_${record.session_id.slice(0, 8)}.${SUFFIXES[record.video?.media_type] ?? "mp4"}`;
  player.finish(record.download_url).catch((error) => player.stop.signal.aborted || complain(error.message));
}

/** Download the video. A link cannot send an API key, so it gets an address that needs none. */
export async function download(event) {
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

/** Show why there is no video, beside the field if the error is about one. `null`: it is already shown. */
function failed(error) {
  if (!error) return caption.say("failed", BESIDE_THE_FIELD);
  const about = { unreadable_audio: "audio_file", empty_audio: "audio_file", no_face_found: "image_file",
    face_too_small: "image_file", mouth_outside_picture: "image_file", unreadable_image: "image_file" };
  const placed = complain(error.message, error.param, about[error.code]);
  caption.say("failed", placed ? BESIDE_THE_FIELD : `No video was made. ${error.message}`);
}

export async function cancel() {
  const { links, stop } = chosen.work ?? {};
  part("film").focus({ preventScroll: true }); // a disabled button cannot keep the focus
  part("cancel").disabled = true;
  if (!links) return stop?.abort(); // nothing was sent yet
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
