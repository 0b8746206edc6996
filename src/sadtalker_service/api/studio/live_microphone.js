// The microphone as PCM16 at 24 kHz, and its loudness.

const RATE = 24000;
const LOUDEST = 0.25; // root mean square that counts as 1

/** Whether this page may use the microphone: only on localhost and over https. */
export const hasMicrophone = Boolean(navigator.mediaDevices?.getUserMedia && window.AudioWorkletNode);

/** Open the microphone. `onPiece(pcm, level)` gets an ArrayBuffer of PCM16 and the loudness 0..1, every 40 ms.
 * Returns a function that closes it. Rejects if the user refuses. */
export async function openMicrophone(onPiece) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, channelCount: 1 } });
  const context = new AudioContext({ sampleRate: RATE });
  await context.audioWorklet.addModule("/studio/live_worklet.js");
  const node = new AudioWorkletNode(context, "pieces", { numberOfOutputs: 0 });
  node.port.onmessage = ({ data }) => onPiece(pcm16(data), Math.min(1, loudness(data) / LOUDEST));
  context.createMediaStreamSource(stream).connect(node);
  return () => {
    node.port.onmessage = null;
    stream.getTracks().forEach((track) => track.stop());
    context.close();
  };
}

function loudness(samples) {
  return Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length);
}

function pcm16(samples) {
  const view = new DataView(new ArrayBuffer(2 * samples.length));
  samples.forEach((value, at) => view.setInt16(2 * at, Math.round(32767 * Math.max(-1, Math.min(1, value))), true));
  return view.buffer;
}
