// Gestures on the waveform: added by a chip, moved by dragging or with the arrow keys, removed with Delete.

import { refresh } from "./display.js";
import { complain, forgive } from "./fields.js";
import { keepOptions } from "./keep.js";
import { chosen, form, part, speech, speechFrom, video } from "./page.js";
import { speakText } from "./spoken_text.js";

const STEP = 0.1; // seconds, with an arrow key; ten times that with Shift
const SPACING = 1.5; // seconds between two gestures that are added one after the other
const MOST = 500;
const KINDS = {
  hello: { label: "Hello", icon: "M5 13c0-5 3-8 6-8s6 3 6 8M8 9v1M14 9v1M8 14c2 2 4 2 6 0" },
  nod_yes: { label: "Nod", icon: "M11 3v16M6 14l5 5 5-5" },
  nod_no: { label: "Shake head", icon: "M3 11h16M7 7l-4 4 4 4M15 7l4 4-4 4" },
  smile: { label: "Smile", icon: "M4 10c2 8 12 8 14 0M8 6v1M14 6v1" },
  blink: { label: "Blink", icon: "M3 10c4 5 12 5 16 0M6 13l-1 3M11 14v3M16 13l1 3" },
};

const bar = part("gesture-bar");
const layer = part("markers");
const field = part("gestures");
/** The gesture whose marker has the focus, or was used last. */
let picked = null;

/** Offer the gestures of the engine. */
export function offerGestures(names) {
  bar.dataset.offered = names.length;
  part("gesture-chips").replaceChildren(...names.map(chip));
  showGestures();
}

/** Draw the markers of the field's gestures. */
export function showGestures() {
  const seconds = length();
  bar.hidden = !Number(bar.dataset.offered) || !speech();
  layer.replaceChildren(...(seconds ? read().map((gesture, k) => marker(gesture, k, seconds)) : []));
  tell();
}

function read() {
  return field.value.split(",").filter(Boolean).map((entry) => {
    const [name, at] = entry.split("@");
    return { name, at: Number(at) };
  });
}

function write(gestures) {
  field.value = gestures.map(({ name, at }) => `${name}@${Number(at.toFixed(2))}`).join(",");
  forgive("gestures");
  keepOptions(form);
  refresh();
}

/** Return the seconds of the waveform, or null. */
function length() {
  return speech()?.seconds ?? (Number.isFinite(video.duration) && chosen.video ? video.duration : null);
}

function chip(name) {
  const made = document.createElement("button");
  made.type = "button";
  made.append(icon(name), label(name));
  made.setAttribute("aria-label", `Add ${label(name)}`);
  made.addEventListener("click", () => add(name, made));
  return made;
}

async function add(name, by) {
  if (!speech()) return complain("Choose or write the speech first.", "gestures");
  if (!length() && speechFrom() === "text") {
    by.disabled = true; // the sound says where the gesture can be
    await speakText().catch((error) => complain(error.message, "text"));
    by.disabled = false;
  }
  const seconds = length();
  if (!seconds) return complain("This browser cannot read the audio, so gestures cannot be placed on it.", "gestures");
  const gestures = read();
  if (gestures.length >= MOST) return complain(`At most ${MOST} gestures are possible.`, "gestures");
  picked = gestures.length;
  write([...gestures, { name, at: freeTime(gestures, seconds) }]);
  layer.children[picked]?.focus();
}

/** Return where the video stands, else a time after the last gesture. */
function freeTime(gestures, seconds) {
  if (!video.hidden && video.currentTime > 0 && !video.ended) return Math.min(video.currentTime, seconds);
  const last = Math.max(-1, ...gestures.map(({ at }) => at));
  const next = last + SPACING;
  return next < seconds ? next : seconds / 2;
}

function marker({ name, at }, k, seconds) {
  const made = document.createElement("div");
  made.className = "marker";
  made.tabIndex = 0;
  made.append(icon(name));
  made.style.left = `${(100 * Math.min(at, seconds)) / seconds}%`;
  const facts = { role: "slider", "aria-label": label(name), "aria-valuemin": 0, "aria-valuemax": seconds.toFixed(1),
    "aria-valuenow": at.toFixed(1), "aria-valuetext": `at ${at.toFixed(1)} seconds` };
  for (const [key, value] of Object.entries(facts)) made.setAttribute(key, value);
  made.addEventListener("focus", () => ((picked = k), tell()));
  made.addEventListener("keydown", (event) => press(event, k, seconds));
  made.addEventListener("pointerdown", (event) => drag(event, k, seconds));
  return made;
}

function press(event, k, seconds) {
  if (event.key === "Delete" || event.key === "Backspace") {
    event.preventDefault();
    return remove(k);
  }
  const ways = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 };
  if (!(event.key in ways)) return;
  event.preventDefault();
  move(k, read()[k].at + ways[event.key] * STEP * (event.shiftKey ? 10 : 1), seconds);
}

function move(k, at, seconds) {
  const gestures = read();
  gestures[k].at = Math.max(0, Math.min(seconds, at));
  write(gestures);
  layer.children[k]?.focus();
}

function drag(event, k, seconds) {
  const made = event.currentTarget;
  made.setPointerCapture(event.pointerId);
  const { left, width } = layer.getBoundingClientRect();
  const time = ({ clientX }) => Math.max(0, Math.min(1, (clientX - left) / width)) * seconds;
  const follow = (moved) => (made.style.left = `${(100 * time(moved)) / seconds}%`);
  made.addEventListener("pointermove", follow);
  made.addEventListener("pointerup", (end) => {
    made.removeEventListener("pointermove", follow);
    if (Math.abs(end.clientX - event.clientX) > 2) move(k, time(end), seconds);
  }, { once: true });
}

function remove(k) {
  write(read().filter((_, other) => other !== k));
  picked = null;
  (layer.children[Math.max(0, k - 1)] ?? part("gesture-chips").firstElementChild).focus();
}

/** Say where the picked gesture is, with a button that removes it. */
function tell() {
  const tip = part("gesture-tip");
  const gesture = length() ? read()[picked] : null;
  if (!gesture) return tip.replaceChildren();
  const button = Object.assign(document.createElement("button"), { type: "button", className: "link", textContent: "Remove" });
  button.addEventListener("click", () => remove(picked));
  tip.replaceChildren(`${label(gesture.name)} at ${gesture.at.toFixed(1)} s `, button);
}

function label(name) {
  return KINDS[name]?.label ?? name.replaceAll("_", " ");
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 22 22");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", KINDS[name]?.icon ?? "M11 4v14M4 11h14");
  svg.append(path);
  return svg;
}
