// Numbers and stages as text.

const STAGES = {
  decode: "Reading the source image and the audio",
  face_detection: "Detecting the face",
  "3dmm_coeffs": "Measuring the head",
  face_crop: "Cropping the face",
  face_mesh: "Preparing the face",
  background: "Preparing the background",
  gestures: "Preparing gestures",
  visemes: "Drawing mouth shapes",
  speech_features: "Analysing the speech",
  reference_motion: "Reading the reference video",
  voice: "Speaking the text",
  alignment: "Finding the words",
  drive: "Planning the motion",
  set_up: "Getting ready to draw",
  render: "Drawing the video",
  finish: "Finishing the file",
};

/** Return the name of a stage for users. */
export function stageInWords(stage) {
  const plain = stage.replace(/_\d+$/, ""); // a number at the end is the size of the video
  return STAGES[plain] ?? stage.replaceAll("_", " ");
}

/** `3.2 s`, `75 ms`, `2 min 5 s`. */
export function duration(seconds) {
  if (seconds < 0.0995) return `${Math.max(1, Math.round(1000 * seconds))} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 99.5) return `${Math.round(seconds)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** `1:05`. */
export function clock(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** `1.2 MB`. */
export function bytes(count) {
  if (count < 1e6) return `${Math.max(1, Math.round(count / 1e3))} kB`;
  return `${(count / 1e6).toFixed(1)} MB`;
}

/** Return a name for the file of a video: `hello-and-welcome.mp4`. */
export function fileName(title, suffix = "mp4") {
  const plain = title.normalize("NFKD").replace(/\.\w{2,4}$/, "").replace(/[^\p{Letter}\p{Number}]+/gu, "-");
  return `${plain.replace(/^-|-$/g, "").toLowerCase().slice(0, 40).replace(/-$/, "") || "video"}.${suffix}`;
}

/** Return the progress of a session in one line. */
export function progressInWords(record) {
  const { status, queue_position: place, estimated_seconds: estimate, progress } = record;
  if (status === "queued") {
    const wait = estimate ? `, ready in about ${duration(estimate)}` : "";
    return place > 1 ? `Waiting, number ${place} in the queue${wait}` : `Next in the queue${wait}`;
  }
  if (!progress) return "Starting";
  const parts = [stageInWords(progress.stage)];
  if (progress.frame) parts.push(`${Math.round(progress.percent)} %`);
  if (progress.eta_seconds) parts.push(`${duration(progress.eta_seconds)} left`);
  return parts.join(" · ");
}
