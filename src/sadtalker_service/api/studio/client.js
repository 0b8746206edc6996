// Talks to the service: API keys, errors in words, server-sent events.

const KEY_NAME = "sadtalker-api-key";
const PAUSE_MS = 1000;

/** An answer that is no success. `message` is one readable sentence, as the service wrote it. */
export class Refusal extends Error {
  constructor({ code, message, param = null, retryable = false }, status = 0) {
    super(message);
    Object.assign(this, { name: "Refusal", code, param, retryable, status });
  }
}

/** Tells of a new key by the event `key`. */
export class Client extends EventTarget {
  /** `askForKey(message)` shows the field for an API key; its promise holds the key that was entered. */
  constructor(askForKey) {
    super();
    this.askForKey = askForKey;
    this.key = sessionStorage.getItem(KEY_NAME) ?? "";
    this.asking = null;
  }

  /** The response to a request, always a success. Throws `Refusal`. Waits for a key where one is needed. */
  async fetch(path, { headers = {}, ...options } = {}) {
    for (;;) {
      const shown = this.key;
      const proof = shown ? { Authorization: `Bearer ${shown}` } : {};
      const response = await answer(path, { ...options, headers: { ...headers, ...proof } });
      if (response.ok) return response;
      const refusal = await refusalOf(response);
      if (refusal.status !== 401) throw refusal;
      if (shown === this.key) await this.newKey(shown ? refusal.message : "This service asks for an API key.");
    }
  }

  /** The JSON that is answered. */
  async json(path, options = {}) {
    const response = await this.fetch(path, { ...options, headers: { Accept: "application/json" } });
    return response.json();
  }

  /** A URL under which a media element finds what `path` holds: elements cannot show a key. */
  async mediaUrl(path, signal) {
    if (!this.key) return path;
    const response = await this.fetch(path, { signal });
    return URL.createObjectURL(await response.blob());
  }

  /** The records of an event stream. Comes back with the last id when the connection breaks. */
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

  /** One field for all requests that wait for it. */
  async newKey(message) {
    this.asking ??= this.askForKey(message).finally(() => (this.asking = null));
    this.key = await this.asking;
    sessionStorage.setItem(KEY_NAME, this.key);
    this.dispatchEvent(new Event("key"));
  }
}

/** Resolves after `milliseconds`; rejects when `signal` is aborted. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}

/** The pieces of a response's body. */
export async function* pieces(body) {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {}); // it is broken or read to its end: there is nothing left to cancel
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
    // not the service: something between it and this page
    const message = `The answer was ${response.status} ${response.statusText}.`;
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
