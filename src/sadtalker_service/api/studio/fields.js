// The fields of the form, and what is wrong with them, said beside them.

/** Options, and what the service takes where they are not given. */
const DEFAULTS = {
  preprocess_mode: "full",
  face_index: "0",
  still: "false",
  expression_scale: "1",
  pose_style: "0",
  seed: "0",
  gestures: "",
  enhancer: "gfpgan",
};

/** Always said: who asks for a height is told where it cannot be had. */
const SAID = ["quality"];

/** What the options say, as fields of the API, without those that say what is taken anyway. */
export function options(form) {
  const data = new FormData(form);
  const given = [...SAID, ...Object.keys(DEFAULTS)].map((name) => [name, String(data.get(name) ?? "").trim()]);
  return Object.fromEntries(given.filter(([name, value]) => value !== "" && value !== DEFAULTS[name]));
}

/** Say `message` beside the field that the API calls `param`; else beside `otherwise`, else under the button.
 * Whether there was such a field. */
export function complain(message, param, otherwise) {
  const place = fieldOf(param) ?? fieldOf(otherwise);
  const words = place?.querySelector(".problem") ?? document.getElementById("request-problem");
  words.textContent = message;
  place?.classList.add("wrong");
  place?.closest("details")?.setAttribute("open", "");
  controlsOf(place).forEach((control) => control.setAttribute("aria-invalid", "true"));
  controlsOf(place)[0]?.focus();
  return Boolean(place);
}

/** Take back what was said beside the field `param`; without it, everywhere. */
export function forgive(param) {
  const places = param ? [fieldOf(param)] : [...document.querySelectorAll("[data-field]")];
  for (const place of places) {
    place.classList.remove("wrong");
    place.querySelector(".problem").textContent = "";
    controlsOf(place).forEach((control) => control.removeAttribute("aria-invalid"));
  }
  document.getElementById("request-problem").textContent = "";
}

function fieldOf(param) {
  return param ? document.querySelector(`[data-field~="${CSS.escape(param)}"]`) : null;
}

function controlsOf(place) {
  return [...(place?.querySelectorAll("input, select") ?? [])];
}
