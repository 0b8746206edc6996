// What becomes of a live session that is recorded: a video to download.

const ASK_MS = 500;
const place = document.getElementById("recording");
const [text, link] = place.children;
let asked = 0; // number of the session whose recording is shown

export function hideRecording() {
  asked += 1;
  place.hidden = true;
  link.hidden = true;
}

/** The recording has stopped before the session. */
export function tellStopped({ reason, seconds }) {
  say(reason === "length" ? `The recording is full after ${Math.round(seconds)} s. The session goes on.` : "The recording has stopped: it cannot be written.");
}

/** Wait for the video of an ended session, and show its link. `path` is the session's status. */
export async function offerRecording(client, path) {
  const mine = (asked += 1);
  say("Making the video ...");
  try {
    for (;;) {
      const { recording, links } = await client.json(path);
      if (mine !== asked) return;
      if (recording.status === "ready") {
        Object.assign(link, { href: await client.mediaUrl(links.recording), download: "live.mp4", hidden: false });
        say(`The video of ${Math.round(recording.seconds)} s is ready.`);
        return;
      }
      // `recording` shortly after the connection was lost
      if (!["recording", "stopped", "saving"].includes(recording.status)) {
        say(recording.message);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, ASK_MS));
    }
  } catch (error) {
    if (mine === asked) say(error.message);
  }
}

function say(words) {
  text.textContent = words;
  place.hidden = false;
}
