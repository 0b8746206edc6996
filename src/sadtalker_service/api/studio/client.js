// HTTP client of the service: API keys, readable errors, server-sent events.

const KEY_NAME = "sadtalker-api-key";
const PAUSE_MS = 1000;

/** An error response. `message` is a readable sentence from the service. */
export class Refusal extends Error {
  constructor({ code, message, param = null, retryable = false }, status = 0) {
    super(message);
    Object.assign(this, { name: "Refusal", code, param, retryable, status });
  }
}

/** Sends requests. A new API key fires the event `key`. */
export class Client extends EventTarget {
  /** `askForKey(message)` shows the field for an API key and resolves to the key that was entered. */
  constructor(askForKey) {
    super();
    this.askForKey = askForKey;
    this.key = sessionStorage.getItem(KEY_NAME) ?? "";
    this.asking = null;
  }

  /** Send a request and return its successful response. Throws `Refusal`. Asks for a key if one is needed. */
  async fetch(path, { headers = {}, ...options } = {}) {
    for (;;) {
      const shown = this.key;
      const proof = shown ? { Authorization: `Bearer ${shown}` } : {};
      const response = await answer(path, { ...options, headers: { ...headers, ...proof } });
      if (response.ok) return response;
      const refusal = await refusalOf(response);
      if (refusal.status !== 401) throw refusal;
      if (shown === this.key) await this.newKey(shown ? refusal.message : "This service requires an API key.");
    }
  }

  /** Send a request and return the JSON of its response. */
  async json(path, options = {}) {
    const response = await this.fetch(path, { ...options, headers: { Accept: "application/json" } });
    return response.json();
  }

  /** Return a URL of `path` for a media element, which cannot send an API key. */
  async mediaUrl(path, signal) {
    if (!this.key) return path;
    const response = await this.fetch(path, { signal });
    return URL.createObjectURL(await response.blob());
  }

  /** Yield the records of an event stream. Reconnects with the last id if the connection breaks. */
  async *events(path, signal) {
    let last = "";
    for (;;) {
      try {
        const response = await this.fetch(path, { signal, headers: last ? { "Last-Event-ID": last } : {} });
        for await (const { id, data } of parsedEvents(response.body)) {
          if (id) last = id;
          yield JSON.parse(data);
        }
      } catch (error) {
        if (signal.aborted || !(error instanceof TypeError || error.retryable)) throw error;
      }
      await pause(PAUSE_MS, signal);
    }
  }

  /** Ask for a key once for all requests that wait for it. */
  async newKey(message) {
    this.asking ??= this.askForKey(message).finally(() => (this.asking = null));
    this.key = await this.asking;
    sessionStorage.setItem(KEY_NAME, this.key);
    this.dispatchEvent(new Event("key"));
  }
}

/** Resolve after `milliseconds`; reject when `signal` is aborted. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}

/** Yield the chunks of a response's body. */
export async function* pieces(body) {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {}); // already at its end, or broken
  }
}

async function answer(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    const message = "The service does not answer. Is it running?";
    throw new Refusal({ code: "unreachable", message, retryable: true });
  }
}

async function refusalOf(response) {
  const text = await response.text();
  try {
    return new Refusal(JSON.parse(text).error, response.status);
  } catch {
    // not from the service but from a proxy in between
    const message = `The server answered ${response.status} ${response.statusText}.`;
    return new Refusal({ code: "unexpected_answer", message, retryable: response.status >= 500 }, response.status);
  }
}

async function* parsedEvents(body) {
  const decoder = new TextDecoder();
  let text = "";
  for await (const piece of pieces(body)) {
    text += decoder.decode(piece, { stream: true });
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = { id: "", data: "" };
      for (const line of block.split("\n")) {
        const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
        if (name in fields) fields[name] += value;
      }
      if (fields.data) yield fields;
    }
  }
}
