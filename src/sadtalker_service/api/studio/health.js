// Whether the service takes work, at the top of the page.

const PERIOD_MS = 15_000;
const WORDS = { ready: "Ready", degraded: "Slower than usual", not_ready: "Not ready" };

/** Look now, and again while the page is looked at. */
export function watchHealth() {
  look();
  setInterval(() => document.hidden || look(), PERIOD_MS);
}

async function look() {
  try {
    const { status, checks } = await (await fetch("/readyz")).json();
    const wrong = Object.entries(checks).find(([, check]) => !check.ok);
    say(status, wrong ? `${WORDS[status]}: ${inWords(...wrong)}` : WORDS[status]);
  } catch {
    say("away", "The service does not answer");
  }
}

function inWords(name, { detail }) {
  return name.replaceAll("_", " ") + (detail ? `, ${detail}` : " does not answer");
}

function say(state, text) {
  document.getElementById("health").dataset.state = state;
  document.getElementById("health-text").textContent = text;
}
