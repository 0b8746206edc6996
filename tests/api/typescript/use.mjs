// node use.mjs URL IMAGE AUDIO: prints the id of the session, and then the size of the video.
import { readFile } from "node:fs/promises";
import { RefusedError, connect, download, ended, generate, upload } from "./built/client.js";

const [url, image, audio] = process.argv.slice(2);
const api = connect(url);
const read = async (path) => new Blob([await readFile(path)]);

try {
  await generate(api, "vip", "a".repeat(64), await read(audio));
} catch (error) {
  if (!(error instanceof RefusedError)) throw error;
  console.log(error.problem.code);
}
const imageId = await upload(api, await read(image));
const sessionId = await generate(api, "vip", imageId, await read(audio));
console.log(sessionId);
const session = await ended(api, "vip", sessionId);
const video = await download(api, "vip", sessionId);
console.log(session.status, video.size);
