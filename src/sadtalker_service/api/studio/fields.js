// The fields of the form, and the error messages beside them.

/** Options and the defaults of the service. */
const DEFAULTS = {
  preprocess_mode: "full",
  face_index: "0",
  still: "false",
  captions: "none",
  expression_scale: "1",
  pose_style: "0",
  seed: "",
  gestures: "",
  enhancer: "gfpgan",
  background: "",
  aspect_ratio: "none",
};

/** Always sent: only an explicit height gets a warning if the video is lower. */
const ALWAYS_SENT = ["quality"];

/** Return the options as fields of the API, without those that have their default value. */
export function options(form) {
  const data = new FormData(form);
  const given = [...ALWAYS_SENT, ...Object.keys(DEFAULTS)].map((name) => [name, String(data.get(name) ?? "").trim()]);
  return Object.fromEntries(given.filter(([name, value]) => value !== "" && value !== DEFAULTS[name]));
}

/** Show `message` beside the field that the API calls `param`, else beside `otherwise`, else under the button.
 * Return true if there was such a field. */
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

/** Whether all numbers are in their range; else the first one that is not has a message. */
export function numbersAreRight(form) {
  const wrong = [...form.querySelectorAll("input[type=number]")].find((input) => !input.checkValidity());
  if (!wrong) return true;
  const range = wrong.max ? ` between ${wrong.min} and ${wrong.max}` : "";
  complain(`This must be a whole number${range}.`, wrong.name);
  return false;
}

/** Remove the message beside the field `param`, or all messages without `param`. */
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
  return [...(place?.querySelectorAll("input, select, textarea") ?? [])];
}
