// How a page uses the browser avatar, type-checked against its declarations.
import { RefusedError, SadTalkerAvatar, closureAt, fetchTimeline, shapesAt, type Timeline } from "./sadtalker-avatar.js";

export async function speak(canvas: HTMLCanvasElement, audio: HTMLAudioElement, imageId: string): Promise<Timeline> {
  const avatar = await SadTalkerAvatar.load(canvas, imageId, { url: "http://127.0.0.1:8000", faceIndex: 1 });
  try {
    const sound = await (await fetch(audio.src)).blob();
    const timeline = await fetchTimeline(sound, { key: "k", seed: 3, signal: AbortSignal.timeout(1000) });
    avatar.speak(audio, timeline);
    const open: number = (shapesAt(timeline, 0.5)["aa"] ?? 0) * (1 - closureAt(timeline, 0.5));
    return open > 2 ? { ...timeline, blinks: [] } : timeline;
  } catch (error) {
    if (error instanceof RefusedError && error.retryable) avatar.silence();
    avatar.close();
    throw error;
  }
}
