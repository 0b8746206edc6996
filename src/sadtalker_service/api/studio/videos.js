// The list of videos that were made in this browser: play, download, delete.

import { announce } from "./display.js";
import { chosen, part } from "./page.js";
import { isExpected, keepVideo, keptVideos, removeVideo } from "./video_store.js";
import { clock, fileName } from "./words.js";

const SIDE = 240; // pixels of a poster
let onPlay = () => {};
let shown = []; // addresses of posters and files

/** `play(video)` is called with a kept video of the list. */
export async function listVideos(play = onPlay) {
  onPlay = play;
  const videos = await keptVideos().catch(() => []); // without storage there is no list
  shown.forEach((address) => URL.revokeObjectURL(address));
  shown = [];
  part("videos").hidden = !videos.length;
  part("videos-list").replaceChildren(...videos.map(item));
}

/** Keep the finished video of a session that was requested here. */
export async function addVideo({ id, title, seconds, file }) {
  if (!(await isExpected(id))) return;
  const poster = await posterOf(file).catch(() => null);
  await keepVideo({ id, at: Date.now(), title, seconds, file, poster }).catch((error) => {
    console.info("The video cannot be kept in this browser.", error);
  });
  await listVideos();
}

function item(video) {
  const { title, seconds, at, poster, file } = video;
  const made = document.createElement("li");
  const open = element("button", "poster", { type: "button" });
  open.setAttribute("aria-label", `Play: ${title}`);
  if (poster) open.append(element("img", "", { src: address(poster), alt: "" }));
  open.append(element("span", "length", { textContent: clock(seconds) }));
  open.addEventListener("click", () => chosen.work || onPlay(video));
  const download = element("a", "", { textContent: "Download", href: address(file), download: fileName(title) });
  download.setAttribute("aria-label", `Download: ${title}`);
  const remove = element("button", "", { type: "button", textContent: "Delete" });
  remove.setAttribute("aria-label", `Delete: ${title}`);
  remove.addEventListener("click", () => forget(video, made));
  const acts = element("div", "acts");
  acts.append(download, remove);
  made.append(open, element("p", "title", { textContent: title }), element("p", "when", { textContent: when(at) }), acts);
  return made;
}

async function forget(video, made) {
  if (!window.confirm(`Delete the video "${video.title}" from this browser?`)) return;
  await removeVideo(video.id);
  const next = made.nextElementSibling ?? made.previousElementSibling;
  made.remove();
  part("videos").hidden = !part("videos-list").children.length;
  (next?.querySelector("button") ?? part("film")).focus();
  announce("The video is deleted.");
}

/** Return a small square picture of the video, a little after its beginning. */
async function posterOf(file) {
  const video = document.createElement("video");
  Object.assign(video, { muted: true, preload: "auto", src: URL.createObjectURL(file) });
  try {
    await heard(video, "loadeddata");
    video.currentTime = Math.min(0.6, video.duration / 3);
    await heard(video, "seeked");
    const canvas = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
    const side = Math.min(video.videoWidth, video.videoHeight);
    const [left, top] = [(video.videoWidth - side) / 2, (video.videoHeight - side) / 2];
    canvas.getContext("2d").drawImage(video, left, top, side, side, 0, 0, SIDE, SIDE);
    return await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.8));
  } finally {
    URL.revokeObjectURL(video.src);
    video.removeAttribute("src");
    video.load();
  }
}

function heard(target, name) {
  return new Promise((resolve, reject) => {
    target.addEventListener(name, resolve, { once: true });
    target.addEventListener("error", reject, { once: true });
  });
}

function address(blob) {
  shown.push(URL.createObjectURL(blob));
  return shown.at(-1);
}

function when(at) {
  const day = new Date(at);
  const time = day.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (day.toDateString() === new Date().toDateString()) return `Today, ${time}`;
  return `${day.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
}

function element(tag, kind, properties = {}) {
  return Object.assign(document.createElement(tag), kind ? { className: kind } : {}, properties);
}
