// Records speech with the microphone.

const LEVEL_MS = 60;
const LOUDEST = 0.35; // root mean square that fills the height

/** Whether this page may use the microphone: only on localhost and over https. */
export const canRecord = Boolean(navigator.mediaDevices?.getUserMedia && window.MediaRecorder);

export class Recorder {
  /** `onLevel(level)` is called several times a second with the loudness, 0..1. */
  constructor(onLevel) {
    this.onLevel = onLevel;
    this.running = null;
  }

  /** Start recording. Rejects if the microphone is refused or missing. */
  async start() {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    const recorder = new MediaRecorder(stream);
    const parts = [];
    recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
    recorder.start();
    this.running = { stream, recorder, parts, ...this.meter(stream) };
  }

  /** Stop, and return the recording as a file. */
  async stop() {
    const { stream, recorder, parts, context, timer } = this.running;
    this.running = null;
    clearInterval(timer);
    const stopped = new Promise((resolve) => recorder.addEventListener("stop", resolve, { once: true }));
    recorder.stop();
    await stopped;
    stream.getTracks().forEach((track) => track.stop());
    await context.close();
    const type = recorder.mimeType.split(";")[0] || "audio/webm";
    const ending = type.split("/")[1];
    return new File(parts, `recording.${ending}`, { type });
  }

  meter(stream) {
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, value) => sum + value * value, 0) / samples.length;
      this.onLevel(Math.min(1, Math.sqrt(power) / LOUDEST));
    }, LEVEL_MS);
    return { context, timer };
  }
}
