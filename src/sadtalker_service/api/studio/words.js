// Numbers and stages in words.

const STAGES = {
  decode: "Reading picture and sound",
  face_detection: "Looking for the face",
  "3dmm_coeffs": "Measuring the head",
  face_crop: "Cutting out the face",
  face_mesh: "Building the mesh",
  background: "Preparing the background",
  gestures: "Preparing gestures",
  visemes: "Drawing mouth shapes",
  speech_features: "Listening to the speech",
  reference_motion: "Following the reference video",
  drive: "Planning the motion",
  set_up: "Setting up the picture",
  render: "Drawing",
  finish: "Finishing the file",
};

/** A stage of the service, for people. */
export function stageInWords(stage) {
  const plain = stage.replace(/_\d+$/, ""); // of a stage that depends on the size of the video
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

/** `7.2×`, in digits that mean something. */
export function times(ratio) {
  return `${ratio >= 100 ? Math.round(ratio) : ratio.toFixed(1)}×`;
}

/** `1.2 MB`. */
export function bytes(count) {
  if (count < 1e6) return `${Math.max(1, Math.round(count / 1e3))} kB`;
  return `${(count / 1e6).toFixed(1)} MB`;
}

/** How far a session is, in one line. */
export function progressInWords(record) {
  const { status, queue_position: place, estimated_seconds: estimate, progress } = record;
  if (status === "queued") {
    const wait = estimate ? `, ready in about ${duration(estimate)}` : "";
    return place > 1 ? `Waiting, number ${place} in the queue${wait}` : `Next in the queue${wait}`;
  }
  if (!progress) return "Starting";
  const parts = [stageInWords(progress.stage)];
  if (progress.frame) parts[0] += ` frame ${progress.frame} of ${progress.total}`;
  if (progress.frame && progress.fps) parts.push(`${Math.round(progress.fps)} frames a second`);
  if (progress.eta_seconds) parts.push(`${duration(progress.eta_seconds)} left`);
  return parts.join(" · ");
}
