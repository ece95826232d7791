/* How the tokens of images look: where each lies, its colour, its name. Positions run through the
   copies, in each row by row, in each pixel channel by channel. */

const CHANNELS = ['red', 'green', 'blue'];
const bytesOfHex = (text) => text.match(/../g).map((pair) => parseInt(pair, 16));

class Looks {
  constructor({ shape, palette, before, copies = 1 }) {
    [this.height, this.width, this.channels] = shape;
    this.palette = palette;
    this.copies = copies;
    this.columns = before ? copies : Math.ceil(Math.sqrt(copies)); // of copies side by side
    this.rows = Math.ceil(copies / this.columns);
  }

  /** Pixels of one copy, and of all. */
  get size() {
    return this.width * this.height;
  }

  get pixels() {
    return this.size * this.copies;
  }

  inside(row, column) {
    return row >= 0 && row < this.height && column >= 0 && column < this.width;
  }

  place(pixel) {
    const inside = pixel % this.size;
    return {
      copy: Math.floor(pixel / this.size),
      row: Math.floor(inside / this.width),
      column: inside % this.width,
    };
  }

  /** Where a pixel lies on the sheet of all copies, in pixels: x and y without gaps. */
  onSheet(pixel) {
    const { copy, row, column } = this.place(pixel);
    return {
      x: (copy % this.columns) * this.width + column,
      y: Math.floor(copy / this.columns) * this.height + row,
    };
  }

  /** The pixel at a place on that sheet, or the nearest in a copy that is there. */
  fromSheet(x, y) {
    const column = Math.max(0, Math.min(this.columns * this.width - 1, x));
    const line = Math.max(0, Math.min(this.rows * this.height - 1, y));
    const copy = Math.floor(line / this.height) * this.columns + Math.floor(column / this.width);
    const inside = (line % this.height) * this.width + (column % this.width);
    return Math.min(copy, this.copies - 1) * this.size + inside;
  }

  /** "Image 2, row 5, column 7, red", counted from 1. */
  where(pixel, channel) {
    const { copy, row, column } = this.place(pixel);
    const image = this.copies > 1 ? `Image ${copy + 1}, row` : 'Row';
    const part = this.channels > 1 ? `, ${CHANNELS[channel]}` : '';
    return `${image} ${row + 1}, column ${column + 1}${part}`;
  }

  /** A token's name: its value, or the colour of the palette that it stands for. */
  name(token) {
    return this.palette ? `#${this.palette[token]}` : String(token);
  }

  /** One copy of some tokens, null for a mask, as what the painter takes. */
  picture(tokens, copy) {
    const { width, height, size } = this;
    const channels = this.palette ? 3 : this.channels;
    const mask = new Uint8Array(size);
    const pixels = new Uint8Array(size * channels);
    for (let k = 0; k < size; k += 1) {
      const first = (copy * size + k) * this.channels;
      const own = tokens.slice(first, first + this.channels);
      if (own.includes(null)) mask[k] = 1;
      else pixels.set(this.palette ? bytesOfHex(this.palette[own[0]]) : own, k * channels);
    }
    return { width, height, channels, pixels, mask };
  }

  /** The colour of one token by itself: in one channel, with nothing in the others. */
  shade(token, channel) {
    if (this.channels === 1) return this.colour([token]);
    return this.colour(CHANNELS.map((_, k) => (k === channel ? token : 0)));
  }

  /** The colour of a pixel, all of whose tokens are known. */
  colour(tokens) {
    if (this.palette) return `#${this.palette[tokens[0]]}`;
    const [red, green, blue] = tokens.length === 1 ? [tokens[0], tokens[0], tokens[0]] : tokens;
    return `rgb(${red},${green},${blue})`;
  }
}
