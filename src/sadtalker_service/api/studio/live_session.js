// One live session: its WebSocket, its events.

const KEEP_ALIVE_MS = 30_000;

/** Fires `state` (`connecting`, `connected`, `closed`), `piece`, `started`, `ended`, `recording` and `problem`. */
export class LiveSession extends EventTarget {
  /** Claim a slot and connect. Rejects with the service's reason. */
  static async start(client, body) {
    const headers = { "Content-Type": "application/json" };
    const response = await client.fetch("/api/live", { method: "POST", headers, body: JSON.stringify(body) });
    const { links, recording } = await response.json();
    return new LiveSession(links.relay ?? links.websocket, recording ? links.status : null);
  }

  /** `recorded`: where to ask for the recording after the end, or null. */
  constructor(path, recorded = null) {
    super();
    this.recorded = recorded;
    const address = new URL(path, location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(address);
    this.socket.binaryType = "arraybuffer";
    this.socket.addEventListener("message", ({ data }) => this.take(data));
    this.socket.addEventListener("close", () => this.over({}));
    this.timer = setInterval(() => document.hidden || this.send({ type: "session.keep_alive" }), KEEP_ALIVE_MS);
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** PCM16 at 24 kHz. */
  sendSound(pcm) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(pcm);
  }

  close() {
    this.send({ type: "session.close" });
    setTimeout(() => this.socket.close(), 1000);
  }

  take(data) {
    if (data instanceof ArrayBuffer) {
      this.fire("piece", data);
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "session.state_updated") {
      if (message.state === "closed") this.over(message);
      else this.fire("state", message);
    }
    if (message.type === "session.recording_updated") this.fire("recording", message);
    if (message.type === "agent.speak_started") this.fire("started", message);
    if (message.type === "agent.speak_ended") this.fire("ended", message);
    if (message.type === "error") this.fire("problem", message.error);
  }

  over(message) {
    if (this.isOver) return;
    this.isOver = true;
    clearInterval(this.timer);
    this.fire("state", { ...message, state: "closed" });
  }

  fire(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
