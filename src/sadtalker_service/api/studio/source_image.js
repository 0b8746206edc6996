// The source image: chosen, uploaded, prepared; its faces and warnings; the list of earlier ones.

import { pause } from "./client.js";
import { describe, leaveVideo, refresh, shade } from "./display.js";
import { complain, forgive } from "./fields.js";
import { notPicture } from "./file_kind.js";
import { keepInput, keepText } from "./keep.js";
import { chosen, client, form, imageView, part } from "./page.js";
import { Shelf } from "./shelf.js";

const POLL_MS = 300; // between two status requests while an avatar is prepared

export const shelf = new Shelf(client, { onChoose: chooseAvatar, onRemove: forgetAvatar, onProblem: (e) => complain(e.message) });

/** Show the image at once, and let the service prepare it while the user chooses the audio. */
export async function takeImage(file, { restored = false, face = 0 } = {}) {
  forgive("image_file");
  if (notPicture(file)) {
    return complain(`${file.name} is not an image. Choose an image or a video of a face.`, "image_file");
  }
  const taken = (chosen.image = { file, name: file.name, imageId: null, mode: null });
  showFaces([], 0);
  offerFace(face);
  remark([]);
  if (!restored) leaveVideo();
  if (!restored) {
    keepText("face", "0");
    keepInput("image", { file });
  }
  refresh();
  describe("image", `${file.name}`);
  const shown = await imageView.show(file);
  if (taken !== chosen.image) return;
  part("image").setAttribute("aria-label", `Source image ${file.name}`);
  const unseen = file.type.startsWith("video/")
    ? `The best frame of ${file.name} is used as the source image.`
    : `This browser cannot show ${file.name}, but the service may be able to read it.`;
  shade(shown ? null : unseen);
  prepare(taken).catch(() => {}); // the error is already shown beside the field
}

/** Upload the image for the chosen mode and face, and resolve to its id. Its faces are shown once they are
 * detected. */
export function prepare(taken) {
  const mode = form.elements.preprocess_mode.value;
  const face = form.elements.face_index.value || "0";
  if (taken.mode !== mode || taken.face !== face) {
    Object.assign(taken, { mode, face });
    taken.upload = upload(taken, mode, face).catch((error) => {
      taken.mode = null; // the next attempt uploads again
      if (taken === chosen.image) complain(error.message, error.param, "image_file");
      throw error;
    });
  }
  return taken.upload;
}

async function upload(taken, mode, face) {
  if (taken.file) {
    const body = new FormData();
    body.set("image_file", taken.file, taken.file.name);
    body.set("preprocess_mode", mode);
    if (face !== "0") body.set("face_index", face);
    if (taken === chosen.image) describe("image", `${taken.name} · uploading`);
    taken.imageId = (await client.json("/api/avatar/upload", { method: "POST", body })).image_id;
    refresh();
    follow(taken, mode, face).catch((error) => taken === chosen.image && complain(error.message, error.param, "image_file"));
  }
  return taken.imageId;
}

/** Poll the preparation until it ends. */
async function follow(taken, mode, face) {
  for (;;) {
    const query = `preprocess_mode=${mode}&face_index=${face}`;
    const status = await client.json(`/api/avatar/status/${taken.imageId}?${query}`);
    if (taken !== chosen.image || taken.mode !== mode || taken.face !== face) return;
    if (status.status === "failed") {
      taken.mode = null;
      imageView.mark([]);
      describe("image", `${taken.name} · ${status.width} × ${status.height}`);
      complain(status.error.message, status.error.param, "image_file");
      return;
    }
    const ready = status.status === "ready";
    if (status.face) showFaces(status.faces, status.face_index);
    remark(status.warnings);
    const state = status.face ? "face found" : ready ? "ready" : "detecting the face";
    describe("image", `${taken.name} · ${status.width} × ${status.height} · ${state}`);
    Object.assign(taken, { width: status.width, height: status.height });
    refresh();
    if (!ready) {
      await pause(POLL_MS);
      continue;
    }
    if (taken.file && status.face) await shelf.know(taken.imageId, taken.file, status.face.box);
    return void shelf.refresh();
  }
}

/** Mark the faces and the one that speaks; several faces can be chosen from a list. */
function showFaces(boxes, face) {
  imageView.mark(boxes, face);
  const labels = boxes.map((_, k) => (k ? `Face ${k}` : "Face 0, the largest"));
  part("face_index").replaceChildren(...labels.map((label, k) => new Option(label, k, false, k === face)));
  part("faces").hidden = boxes.length < 2;
}

/** Choose a face whose box is not known (yet). */
function offerFace(face) {
  if (face) part("face_index").replaceChildren(new Option(`Face ${face}`, face, false, true));
}

/** Prepare the face that was chosen from the list or by a click. */
export function chooseFace() {
  const face = Number(part("face_index").value);
  const image = chosen.image;
  imageView.mark(imageView.boxes, face);
  if (image?.file) keepText("face", String(face)); // at once: a page that is left may not complete more
  if (image) prepare(image).catch(() => {});
  refresh();
}

export function chooseFaceAt(event) {
  const face = imageView.faceAt(event.offsetX, event.offsetY);
  if (chosen.work || face < 0 || imageView.boxes.length < 2) return;
  part("face_index").value = face;
  chooseFace();
}

/** Show the warnings of the preparation. */
function remark(texts) {
  const list = part("image-remarks");
  list.hidden = !texts.length;
  list.replaceChildren(...texts.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
}

/** Choose a source image that was uploaded earlier. */
export async function chooseAvatar(avatar, preview, { restored = false } = {}) {
  if (chosen.work && !restored) return;
  forgive("image_file");
  const day = new Date(avatar.uploaded_at).toLocaleDateString();
  const taken = (chosen.image = { file: null, name: `Source image from ${day}`, imageId: avatar.image_id, mode: null,
    width: avatar.width, height: avatar.height });
  if (!restored) form.elements.preprocess_mode.value = avatar.preprocess_mode;
  showFaces([], 0);
  remark([]);
  offerFace(avatar.face_index ?? 0);
  if (!restored) leaveVideo();
  if (!restored) keepInput("image", { avatar });
  refresh();
  describe("image", `${taken.name} · ${avatar.width} × ${avatar.height} · uploaded earlier`);
  part("image").setAttribute("aria-label", "Close-up of an earlier source image");
  if (preview) await imageView.show(preview);
  else imageView.clear();
  shade(preview ? null : "There is no preview of this source image.");
  if (!restored) part("generate").scrollIntoView({ block: "nearest" });
}

function forgetAvatar(avatar) {
  if (chosen.image?.imageId !== avatar.image_id) return;
  chosen.image = null;
  keepInput("image", null);
  imageView.clear();
  showFaces([], 0);
  remark([]);
  leaveVideo();
  describe("image", "JPEG, PNG, WebP, HEIC, AVIF, or a video");
  refresh();
}
