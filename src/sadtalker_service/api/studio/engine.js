// Limits the form to what the service's engine supports.

import { offerGestures } from "./gestures.js";

const TRY_MS = 3000;

/** Show the engine's enhancers and gestures. Hide the fields if there are none, and until that is known. */
export async function offerFeatures(client, select, onKnown) {
  const field = select.closest("[data-field]");
  field.hidden = true;
  for (;;) {
    const { engine } = await client.json("/").catch(() => ({ engine: null }));
    if (engine) {
      for (const choice of [...select.options]) {
        if (choice.value !== "none" && !engine.enhancers.includes(choice.value)) choice.remove();
      }
      field.hidden = select.options.length < 2;
      offerGestures(engine.gestures);
      onKnown(engine);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, TRY_MS)); // no worker has loaded an engine yet
  }
}
