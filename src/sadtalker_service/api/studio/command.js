// The request of the page as shell commands.

import { pause } from "./client.js";

const WIDTH = 44; // columns, unless a word is longer
const COPIED_MS = 1500;

/** Return the request as commands for a shell with curl and jq. They can be pasted as they are. */
export function shellCommands({ service, lane, mode, image, audio, spoken, fields, backdrop, keyed }) {
  const curl = ["curl -sS", ...(keyed ? [`-H "Authorization: Bearer $API_KEY"`] : [])];
  const options = Object.entries(fields).map(([name, value]) => `-F ${quoted(`${name}=${value}`)}`);
  const asMode = mode === "full" ? [] : [`-F preprocess_mode=${mode}`];
  const ofFace = "face_index" in fields ? [`-F face_index=${fields.face_index}`] : [];
  const upload = [...curl, `-F ${attached("image_file", image.name)}`, ...asMode, ...ofFace,
    "$service/api/avatar/upload", "| jq -r .image_id)"];
  // a text may begin with @ or <, which -F would take for the name of a file
  const said = spoken
    ? Object.entries(spoken).map(([name, value]) => `--form-string ${quoted(`${name}=${value}`)}`)
    : [`-F ${attached("audio_file", audio.name)}`];
  const generate = [...curl, "-F image_id=$image", ...said, ...options,
    ...(backdrop ? [`-F ${attached("background_file", backdrop)}`] : []), `$service/api/${lane}/generate`, "| jq -r .session_id)"];
  return [
    `service=${service}`,
    image.file ? wrapped(["image=$(" + upload[0], ...upload.slice(1)]) : `image=${image.imageId}`,
    wrapped(["session=$(" + generate[0], ...generate.slice(1)]),
    // a transparent video has no stream; the download waits for the video
    fields.background === "transparent"
      ? wrapped([...curl, "-f --output talking.webm", `"$service/api/${lane}/download/$session?wait=60"`])
      : wrapped([...curl, "--output talking.mp4", `$service/api/${lane}/stream/$session`]),
  ].join("\n");
}

/** Copy the text of `element`; `button` shows that it was copied. */
export async function copy(element, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(element.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(element); // without access to the clipboard, the text is only selected
    button.textContent = "Press Ctrl+C";
  }
  await pause(COPIED_MS);
  button.textContent = before;
}

/** Break words into lines that the shell reads as one command. */
function wrapped(words) {
  const lines = [words[0]];
  for (const word of words.slice(1)) {
    if (lines.at(-1).length + word.length + 1 <= WIDTH) lines[lines.length - 1] += ` ${word}`;
    else lines.push(`  ${word}`);
  }
  return lines.join(" \\\n");
}

/** Return a file as a form field for curl, quoted if its name needs it. */
function attached(field, name) {
  if (/^[\w.-]+$/.test(name)) return `${field}=@${name}`;
  return quoted(`${field}=@"${name.replace(/[\\"]/g, "\\$&")}"`);
}

function quoted(word) {
  return /^[\w.=@-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
