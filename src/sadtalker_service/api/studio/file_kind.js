// What a file is, from its type and its first bytes: names and types can be wrong or missing.

const NO_AUDIO = /^(image|text|font)\/|^application\/(pdf|zip|json|msword)/;
const NO_IMAGE = /^(audio|text|font)\/|^application\//;
const PICTURES = ["\xff\xd8\xff", "\x89PNG", "GIF8", "BM", "II*\0", "MM\0*", "%PDF"];
const PICTURE_BRANDS = ["heic", "heix", "heim", "mif1", "avif", "avis"];

/** Whether `file` certainly has no sound: a picture or a document. */
export async function notSound(file) {
  return NO_AUDIO.test(file.type) || isPicture(await head(file));
}

/** Whether `file` certainly is no picture and no video. */
export function notPicture(file) {
  return NO_IMAGE.test(file.type);
}

function isPicture(start) {
  if (PICTURES.some((sign) => start.startsWith(sign))) return true;
  if (start.startsWith("RIFF")) return start.slice(8, 12) === "WEBP";
  return start.slice(4, 8) === "ftyp" && PICTURE_BRANDS.includes(start.slice(8, 12));
}

async function head(file) {
  const bytes = new Uint8Array(await file.slice(0, 12).arrayBuffer());
  return String.fromCharCode(...bytes);
}
