// Earlier source images: choose one again, or remove it with its videos.

import { pause } from "./client.js";
import { ImageView } from "./image_view.js";

const PAGE = 12;
const FACE_SIDES = 1.9; // side of a preview, in sides of the face's box
const TRIES = 5; // previews are made after the avatar, so the first request may come too early

export class Shelf {
  /** `onChoose(avatar, preview)` and `onRemove(avatar)` are called with an avatar of the list. */
  constructor(client, { onChoose, onRemove, onProblem }) {
    Object.assign(this, { client, onChoose, onRemove, onProblem });
    this.section = document.getElementById("shelf");
    this.list = document.getElementById("shelf-list");
    this.more = document.getElementById("shelf-more");
    this.more.addEventListener("click", () => this.page(this.cursor));
    this.local = new Map();
  }

  /** Take the preview of an image of this page from its file: the service's own is made a little later.
   * `box` is x0, y0, x1, y1 of the face. */
  async know(imageId, file, box) {
    const [x0, y0, x1, y1] = box;
    const side = FACE_SIDES * Math.max(x1 - x0, y1 - y0);
    const [left, top] = [(x0 + x1 - side) / 2, (y0 + y1 - side) / 2].map(Math.round);
    const whole = await createImageBitmap(file).catch(() => null); // a video, or HEIC
    if (whole) this.local.set(imageId, await createImageBitmap(whole, left, top, Math.round(side), Math.round(side)));
  }

  /** Show the latest avatars. */
  async refresh() {
    const { avatars, next_cursor: cursor } = await this.client.json(`/api/avatar?limit=${PAGE}`);
    this.list.replaceChildren();
    this.add(avatars, cursor);
  }

  async page(cursor) {
    try {
      const answer = await this.client.json(`/api/avatar?limit=${PAGE}&cursor=${encodeURIComponent(cursor)}`);
      this.add(answer.avatars, answer.next_cursor);
    } catch (error) {
      this.onProblem(error);
    }
  }

  /** Add avatars. Each source image is shown once, in the mode of its last upload. */
  add(avatars, cursor) {
    const shown = new Set([...this.list.children].map((item) => item.dataset.image));
    for (const avatar of avatars) {
      if (avatar.status === "failed" || shown.has(avatar.image_id)) continue;
      shown.add(avatar.image_id);
      this.list.append(this.item(avatar));
    }
    this.cursor = cursor;
    this.more.hidden = !cursor;
    this.section.hidden = !this.list.children.length;
  }

  item(avatar) {
    const item = document.createElement("li");
    item.dataset.image = avatar.image_id;
    const uploaded = new Date(avatar.uploaded_at);
    const name = `Source image from ${uploaded.toLocaleString()}, ${avatar.width} by ${avatar.height}`;
    const choose = button("choose", "", `Choose: ${name}`);
    const canvas = document.createElement("canvas");
    const remove = button("remove", "×", `Remove: ${name}`);
    choose.append(canvas);
    item.append(choose, remove);
    const view = new ImageView(canvas);
    const preview = this.preview(avatar, item).then((blob) => blob && view.show(blob).then(() => blob));
    choose.addEventListener("click", async () => this.onChoose(avatar, await preview));
    remove.addEventListener("click", () => this.remove(avatar, item));
    return item;
  }

  /** Return the preview of an avatar (a blob or a bitmap), or null. */
  async preview(avatar, item) {
    if (this.local.has(avatar.image_id)) return this.local.get(avatar.image_id);
    for (let k = 0; k < TRIES; k++) {
      try {
        const response = await this.client.fetch(`/api/avatar/${avatar.image_id}/preview?face_index=${avatar.face_index}`);
        return await response.blob();
      } catch (error) {
        if (error.code !== "not_ready" || !item.isConnected) return null;
        await pause(1000 * (k + 1));
      }
    }
    return null;
  }

  async remove(avatar, item) {
    if (!window.confirm("Remove this source image and all videos made from it?")) return;
    try {
      await this.client.fetch(`/api/avatar/${avatar.image_id}`, { method: "DELETE" });
    } catch (error) {
      if (error.code !== "not_found") return this.onProblem(error);
    }
    const next = item.nextElementSibling ?? item.previousElementSibling;
    item.remove();
    this.section.hidden = !this.list.children.length;
    next?.querySelector("button").focus();
    this.onRemove(avatar);
  }
}

function button(kind, text, label) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = kind;
  made.textContent = text;
  made.setAttribute("aria-label", label);
  return made;
}
