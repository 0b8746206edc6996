/** Mouth shape -> its share. Shares sum to 1. */
export type Shapes = Readonly<Record<string, number>>;

/** The mouth at a moment. */
export interface Cue {
  /** Seconds. */
  at: number;
  shapes: Shapes;
}

/** The answer of `POST /api/speech/timeline`. */
export interface Timeline {
  /** Seconds. */
  duration: number;
  /** In the order of time. Between two cues the shares change linearly. */
  cues: readonly Cue[];
  /** Seconds at which a blink begins. It takes 0.28 s. */
  blinks: readonly number[];
  /** What was left out or guessed. */
  warnings?: readonly string[];
}

export interface Connection {
  /** Address of the service without a slash at its end. By default the origin of the page. */
  url?: string;
  /** API key, if the service asks for one. */
  key?: string;
  signal?: AbortSignal;
}

/** The service refused a request. `message` says why. */
export class RefusedError extends Error {
  readonly code: string;
  readonly param: string | null;
  readonly retryable: boolean;
  readonly status: number;
}

/** The timeline of driven audio: a file of at most two minutes. Equal seeds give equal blinks. */
export function fetchTimeline(audio: Blob, options?: Connection & { seed?: number }): Promise<Timeline>;

/** The mouth at a time of the timeline, seconds. */
export function shapesAt(timeline: Pick<Timeline, "cues">, seconds: number): Shapes;

/** How far the eyes are closed at a time of the timeline, 0 to 1. */
export function closureAt(timeline: Pick<Timeline, "blinks">, seconds: number): number;

/** A face in a canvas. It blinks from the beginning, and speaks while the audio plays. */
export class SadTalkerAvatar {
  private constructor();

  /** Load the mouth shapes of an avatar, and show it. Sets the size of the canvas in pixels. */
  static load(
    canvas: HTMLCanvasElement,
    imageId: string,
    options?: Connection & { faceIndex?: number },
  ): Promise<SadTalkerAvatar>;

  /** Names of the mouth shapes. */
  readonly shapes: string[];

  /** Follow an element that plays the audio of the timeline. */
  speak(audio: HTMLMediaElement, timeline: Timeline): void;

  /** Stop following. The face comes to rest and goes on to blink. */
  silence(): void;

  /** Stop drawing, for good. */
  close(): void;
}
