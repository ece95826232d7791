/* Which pixels of a picture are masked, and the same as base64. Nothing here knows of a page. */

const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const textOf = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));

class Mask {
  constructor(width, height, bits = new Uint8Array(width * height)) {
    this.width = width;
    this.height = height;
    this.bits = bits;
  }

  copy() {
    return new Mask(this.width, this.height, this.bits.slice());
  }

  /** Of one bit a pixel, the first one the highest of its byte. */
  static unpack(text, width, height) {
    const bytes = bytesOf(text);
    const bit = (_, k) => (bytes[k >> 3] >> (7 - (k & 7))) & 1;
    return new Mask(width, height, Uint8Array.from({ length: width * height }, bit));
  }

  pack() {
    const bytes = new Uint8Array(Math.ceil(this.bits.length / 8));
    this.bits.forEach((bit, k) => {
      bytes[k >> 3] |= bit << (7 - (k & 7));
    });
    return textOf(bytes);
  }

  get count() {
    return this.bits.reduce((sum, bit) => sum + bit, 0);
  }

  /** Whether a pixel is masked; what lies outside is not. */
  at(x, y) {
    const inside = x >= 0 && y >= 0 && x < this.width && y < this.height;
    return inside && this.bits[y * this.width + x] === 1;
  }

  equals(other) {
    return this.bits.every((bit, k) => bit === other.bits[k]);
  }

  /** Set the pixels of a rectangle, as far as it lies inside. */
  fill({ left, top, width, height }, bit) {
    const right = Math.min(this.width, left + width);
    for (let y = Math.max(0, top); y < Math.min(this.height, top + height); y += 1) {
      const from = Math.max(0, left);
      if (from < right) this.bits.fill(bit, y * this.width + from, y * this.width + right);
    }
  }

  /** Set what a square brush covers on its way from one corner to another. */
  sweep(from, to, size, bit) {
    const steps = Math.max(1, Math.abs(to.x - from.x), Math.abs(to.y - from.y));
    for (let k = 0; k <= steps; k += 1) {
      const left = Math.round(from.x + ((to.x - from.x) * k) / steps);
      const top = Math.round(from.y + ((to.y - from.y) * k) / steps);
      this.fill({ left, top, width: size, height: size }, bit);
    }
  }

  /** The mask of all pixels of which a rule (x, y, width, height) says so. */
  static where(width, height, rule) {
    const bit = (_, k) => Number(rule(k % width, Math.floor(k / width), width, height));
    return new Mask(width, height, Uint8Array.from({ length: width * height }, bit));
  }

  inverted() {
    return Mask.where(this.width, this.height, (x, y) => !this.at(x, y));
  }

  /** Half of the pixels, drawn at random. */
  static half(width, height) {
    const places = Array.from({ length: width * height }, (_, k) => [Math.random(), k]);
    const drawn = places.sort(([a], [b]) => a - b).slice(0, places.length >> 1);
    const mask = new Mask(width, height);
    for (const [, k] of drawn) mask.bits[k] = 1;
    return mask;
  }
}

/** Depth of the frame that the preset Border masks. */
const frame = (width, height) => Math.ceil(Math.min(width, height) / 8);
const within = (k, size, margin) => k >= margin && k < size - margin;
const PRESETS = [
  ['Left half', (x, y, w) => x < w >> 1],
  ['Right half', (x, y, w) => x >= w >> 1],
  ['Top half', (x, y, w, h) => y < h >> 1],
  ['Bottom half', (x, y, w, h) => y >= h >> 1],
  ['Centre', (x, y, w, h) => within(x, w, w >> 2) && within(y, h, h >> 2)],
  ['Random half', null],
  ['Border', (x, y, w, h) => !(within(x, w, frame(w, h)) && within(y, h, frame(w, h)))],
].map(([name, rule]) => [name, (w, h) => (rule ? Mask.where(w, h, rule) : Mask.half(w, h))]);
