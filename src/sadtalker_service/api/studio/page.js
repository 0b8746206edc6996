// The page's elements and components, and what the user has chosen. Shared by the modules of the studio.

import { Caption } from "./caption.js";
import { Client } from "./client.js";
import { ImageView } from "./image_view.js";
import { askForKey } from "./key.js";
import { Player } from "./player.js";
import { Waveform } from "./waveform.js";

export const part = (id) => document.getElementById(id);
export const form = part("request");
export const video = part("video");
export const client = new Client(askForKey);
export const player = new Player(video, client);
export const caption = new Caption();
export const imageView = new ImageView(part("image"));
export const waveform = new Waveform(part("wave"));

export const chosen = {
  /** The source image: its file, or the id under which the service has it. */
  image: null,
  /** The driven audio. */
  audio: null,
  /** The request in progress: `stop` ends it here, `links` are those of its session. */
  work: null,
};
