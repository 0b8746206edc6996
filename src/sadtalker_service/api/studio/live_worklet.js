// Runs in the audio thread: joins blocks of the microphone to pieces of 40 ms.

const PIECE = 960;

class Pieces extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Float32Array(PIECE);
    this.filled = 0;
  }

  process([[block]]) {
    for (const value of block ?? []) {
      this.piece[this.filled++] = value;
      if (this.filled < PIECE) continue;
      this.port.postMessage(this.piece.slice());
      this.filled = 0;
    }
    return true;
  }
}

registerProcessor("pieces", Pieces);
