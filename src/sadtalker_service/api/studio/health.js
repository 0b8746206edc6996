// The health of the service, at the top of the page.

const PERIOD_MS = 15_000;
const WORDS = { ready: "Ready", degraded: "Slower than usual", not_ready: "Not ready" };

/** Check the health now, and repeatedly while the page is visible. */
export function watchHealth() {
  check();
  setInterval(() => document.hidden || check(), PERIOD_MS);
}

async function check() {
  try {
    const { status, checks } = await (await fetch("/readyz")).json();
    const wrong = Object.entries(checks).find(([, { ok }]) => !ok);
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
