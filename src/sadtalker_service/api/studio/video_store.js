// Videos that were made in this browser. They outlive their sessions, which the service forgets after a while.

import { done, opened } from "./database.js";

const TABLE = "videos";
const MOST = 24;
const MOST_BYTES = 300e6;
const UNFINISHED_MS = 86_400_000;

/** Note that the session `id` was requested here: only such videos are kept. */
export async function expectVideo(id) {
  await put(id, { id, at: Date.now(), file: null }).catch(() => {}); // private windows
}

/** Whether the session was requested here and its video is not kept yet. */
export async function isExpected(id) {
  const found = await get(id).catch(() => null);
  return Boolean(found) && !found.file;
}

/** Keep a video: `{ id, at, title, seconds, file, poster }`. The oldest are removed when there are too many. */
export async function keepVideo(video) {
  for (;;) {
    const others = (await keptVideos()).filter(({ id }) => id !== video.id);
    const bytes = others.reduce((sum, { file }) => sum + file.size, video.file.size);
    const full = others.length >= MOST || bytes > MOST_BYTES;
    if (!full || !others.length) {
      try {
        return await put(video.id, video);
      } catch (error) {
        if (error?.name !== "QuotaExceededError" || !others.length) throw error;
      }
    }
    await removeVideo(others.at(-1).id);
  }
}

/** Return the kept videos, the latest first. */
export async function keptVideos() {
  const table = await opened(TABLE, "readwrite");
  const all = await done(table.getAll());
  for (const { id, at, file } of all) if (!file && Date.now() - at > UNFINISHED_MS) table.delete(id);
  return all.filter(({ file }) => file).sort((a, b) => b.at - a.at);
}

export async function removeVideo(id) {
  await done((await opened(TABLE, "readwrite")).delete(id));
}

async function get(id) {
  return done((await opened(TABLE, "readonly")).get(id));
}

async function put(id, value) {
  await done((await opened(TABLE, "readwrite")).put(value, id));
}
