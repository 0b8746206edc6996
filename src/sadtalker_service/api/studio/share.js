// Sharing the finished video: the file where the device can pass it on (phones), else a link to this page.

import { pause } from "./client.js";
import { complain } from "./fields.js";
import { chosen, part } from "./page.js";
import { fileName } from "./words.js";

const COPIED_MS = 2500;

export async function share() {
  const { title, address, blob } = chosen.video;
  const file = blob && new File([blob], fileName(title), { type: "video/mp4" });
  if (file && navigator.canShare?.({ files: [file] })) {
    return navigator.share({ files: [file], title }).catch(() => {}); // closed by the user
  }
  const button = part("share");
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(address);
    button.textContent = "Link copied";
    await pause(COPIED_MS);
    button.textContent = label;
  } catch {
    complain(`Copy this link: ${address}`);
  }
}
