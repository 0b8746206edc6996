// One sound at a time: the recording, a sample of a voice, or the spoken text.

const audio = new Audio();
let button = null;
let label = "";

/** Play `blob`; `by` is the button that stops it again. Pressed while it plays, it only stops.
 * Rejects if this browser cannot play it. */
export async function play(blob, by) {
  stop();
  [button, label] = [by, by.textContent];
  URL.revokeObjectURL(audio.src);
  audio.src = URL.createObjectURL(blob);
  by.textContent = "Stop";
  try {
    await audio.play();
  } catch (error) {
    stop();
    throw error;
  }
}

/** Stop the sound. Return true if it was the one that `by` had started. */
export function stop(by) {
  const mine = button !== null && button === by;
  audio.pause();
  if (button) button.textContent = label;
  button = null;
  return mine;
}

audio.addEventListener("ended", () => stop());
