// Says before the request when a video will be lower than asked for: an image is never enlarged.

import { chosen, form, part } from "./page.js";

const LINES = { low: 480, medium: 720, high: 1080 };
const CROPPED = 512; // side of a cropped video of the mesh engine
const WIDEST = 1920;

export function noteHeight() {
  const { image } = chosen;
  const wanted = LINES[form.elements.quality.value];
  const mode = form.elements.preprocess_mode.value;
  part("height-note").textContent = image?.height ? note(image, wanted, mode) : "";
}

function note({ width, height }, wanted, mode) {
  const whole = mode === "full" || mode === "extfull";
  if (!whole && chosen.engine !== "mesh") return ""; // other engines have sizes of their own
  const most = whole ? Math.floor(height * Math.min(1, WIDEST / width)) : CROPPED;
  if (most >= wanted) return "";
  if (!whole) return `A close-up or a square video is ${most} pixels high.`;
  return `This image gives ${most} pixels: a video is never larger than its image.`;
}
