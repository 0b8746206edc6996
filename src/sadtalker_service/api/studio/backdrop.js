// The controls of the background: as in the source image, a colour, a picture, or transparent.

import { form, part } from "./page.js";

const kind = part("background_kind");
const colour = part("background_colour");
const picture = part("background_picture");
const field = form.elements.background;

/** Return the chosen picture, or null. */
export function backdropFile() {
  return (kind.value === "picture" && picture.files[0]) || null;
}

/** Return why the background is not complete, or an empty text. */
export function missingBackdrop() {
  return kind.value === "picture" && !picture.files[0] ? "Choose a picture for the background." : "";
}

/** Show what was restored, and write every change into the form's field. */
export function connectBackdrop() {
  if (field.value.startsWith("#")) [kind.value, colour.value] = ["colour", field.value];
  else if (field.value) kind.value = field.value; // transparent or still
  show();
  // before the form hears of the change, so that it finds the new value
  for (const control of [kind, colour, picture]) control.addEventListener("input", show);
}

function show() {
  colour.hidden = kind.value !== "colour";
  picture.hidden = kind.value !== "picture";
  field.value = { colour: colour.value, transparent: "transparent", still: "still" }[kind.value] ?? "";
}
