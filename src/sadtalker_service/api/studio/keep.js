// What survives a reload of this tab: the options, and the picture and sound that were chosen.

const OPTIONS = "sadtalker-options";
const TAB = "sadtalker-tab";
const DATABASE = "sadtalker-studio";
const SHELF = "inputs";
const DAY_MS = 86_400_000;

/** Options are kept for this browser; those of a fieldset by the value that is checked. */
export function keepOptions(form) {
  const names = [...form.elements].filter((element) => element.name).map((element) => element.name);
  const data = new FormData(form);
  const values = Object.fromEntries(names.map((name) => [name, data.get(name)]));
  attempt(() => localStorage.setItem(OPTIONS, JSON.stringify(values)));
}

/** Set the form as it was left; values that it does not offer (any more) change nothing. */
export function restoreOptions(form) {
  const values = attempt(() => JSON.parse(localStorage.getItem(OPTIONS))) ?? {};
  for (const [name, value] of Object.entries(values)) {
    const field = form.elements[name];
    if (!field || typeof value !== "string") continue;
    const offered = field instanceof RadioNodeList ? [...field] : field.options ? [...field.options] : null;
    if (!offered || offered.some((choice) => choice.value === value)) field.value = value;
  }
}

/** Keep an input of this tab, `portrait` or `speech`; null forgets it. Files of other days are removed. */
export async function keepInput(kind, value) {
  try {
    const shelf = await opened("readwrite");
    await done(value ? shelf.put({ value, at: Date.now() }, `${tab()} ${kind}`) : shelf.delete(`${tab()} ${kind}`));
  } catch (error) {
    console.info("What was chosen will not survive a reload.", error); // private windows, full disks
  }
}

/** What was kept of an input of this tab, or null. */
export async function keptInput(kind) {
  try {
    const shelf = await opened("readwrite");
    for (const key of await done(shelf.getAllKeys())) {
      const { at } = await done(shelf.get(key));
      if (Date.now() - at > DAY_MS) await done(shelf.delete(key));
    }
    return (await done(shelf.get(`${tab()} ${kind}`)))?.value ?? null;
  } catch {
    return null;
  }
}

/** A name for this tab, as long as it is open: two tabs have different portraits. */
function tab() {
  const name = sessionStorage.getItem(TAB) ?? `${Date.now()}-${Math.random()}`;
  sessionStorage.setItem(TAB, name);
  return name;
}

async function opened(mode) {
  const request = indexedDB.open(DATABASE, 1);
  request.addEventListener("upgradeneeded", () => request.result.createObjectStore(SHELF));
  const database = await done(request);
  return database.transaction(SHELF, mode).objectStore(SHELF);
}

function done(request) {
  return new Promise((resolve, reject) => {
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(request.error));
  });
}

function attempt(act) {
  try {
    return act();
  } catch {
    return null; // storage is switched off
  }
}
