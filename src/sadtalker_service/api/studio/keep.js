// Keeps the options, the texts, the source image and the audio across a reload of this tab.

import { done, opened } from "./database.js";

const OPTIONS = "sadtalker-options";
const TAB = "sadtalker-tab";
const INPUTS = "inputs";
const DAY_MS = 86_400_000;

/** Keep the options in this browser; for radio buttons, the checked value. */
export function keepOptions(form) {
  const names = [...form.elements].filter((element) => element.name).map((element) => element.name);
  const data = new FormData(form);
  const values = Object.fromEntries(names.map((name) => [name, data.get(name)]));
  attempt(() => localStorage.setItem(OPTIONS, JSON.stringify(values)));
}

/** Restore the kept options. Values that the form does not offer (any more) are ignored. */
export function restoreOptions(form) {
  const values = attempt(() => JSON.parse(localStorage.getItem(OPTIONS))) ?? {};
  for (const [name, value] of Object.entries(values)) {
    const field = form.elements[name];
    if (!field || typeof value !== "string") continue;
    const offered = field instanceof RadioNodeList ? [...field] : field.options ? [...field.options] : null;
    if (!offered || offered.some((choice) => choice.value === value)) field.value = value;
  }
}

/** Return the kept value of one option, or null. */
export function keptOption(name) {
  return attempt(() => JSON.parse(localStorage.getItem(OPTIONS))[name]) ?? null;
}

/** Keep a text of this tab. */
export function keepText(name, text) {
  attempt(() => sessionStorage.setItem(`sadtalker-${name}`, text));
}

/** Return a kept text of this tab; empty if there is none. */
export function keptText(name) {
  return attempt(() => sessionStorage.getItem(`sadtalker-${name}`)) ?? "";
}

/** Keep an input of this tab, `image` or `audio`; null removes it. */
export async function keepInput(kind, value) {
  try {
    const table = await opened(INPUTS, "readwrite");
    await done(value ? table.put({ value, at: Date.now() }, `${tab()} ${kind}`) : table.delete(`${tab()} ${kind}`));
  } catch (error) {
    console.info("The chosen files will not survive a reload.", error); // private windows, full disks
  }
}

/** Return the kept input of this tab, or null. Inputs older than a day are removed. */
export async function keptInput(kind) {
  try {
    const table = await opened(INPUTS, "readwrite");
    for (const key of await done(table.getAllKeys())) {
      const { at } = await done(table.get(key));
      if (Date.now() - at > DAY_MS) await done(table.delete(key));
    }
    return (await done(table.get(`${tab()} ${kind}`)))?.value ?? null;
  } catch {
    return null;
  }
}

/** Return a name for this tab, because each tab keeps its own inputs. */
function tab() {
  const name = sessionStorage.getItem(TAB) ?? `${Date.now()}-${Math.random()}`;
  sessionStorage.setItem(TAB, name);
  return name;
}

function attempt(act) {
  try {
    return act();
  } catch {
    return null; // storage is switched off
  }
}
