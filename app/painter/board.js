/* The picture, enlarged, and above it the mask as a pattern: two canvases, painted by pointer. */

const WIDEST = 448; // CSS pixels, 16 for each pixel of a digit
const TILE = 8; // of the pattern
const INKS = { ground: 'rgb(11 107 98 / 62%)', hatch: '#d5ebe6', edge: '#fffdf9', around: '#16211f' };

/** Write a picture {width, height, channels, pixels} into a canvas, a dot a pixel. */
function paint(canvas, { width, height, channels, pixels }) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let k = 0; k < width * height; k += 1) {
    for (let c = 0; c < 3; c += 1) image.data[4 * k + c] = pixels[channels * k + (channels > 1 ? c : 0)];
    image.data[4 * k + 3] = 255;
  }
  canvas.getContext('2d').putImageData(image, 0, 0);
}

class Board {
  /** `tool` is {erase, size, rectangle}; `painted` takes the mask after each stroke. */
  constructor(tool, painted) {
    this.tool = tool;
    this.painted = painted;
    this.cursor = { x: 0.5, y: 0.5 }; // in pixels of the picture
    this.shown = false; // whether the brush is
    this.picture = node('canvas', { class: 'md-below' });
    this.layer = node('canvas', { class: 'md-above' });
    this.face = node('div', { class: 'md-board', role: 'application', tabindex: '0' });
    this.face.append(this.picture, this.layer);
    this.box = node('div', { class: 'md-easel' }, this.face);
    new ResizeObserver(() => this.#measure()).observe(this.box);
    this.#listen();
  }

  /** Show another picture and mask; a stroke in hand is dropped. */
  open(picture, mask) {
    this.stroke = null;
    this.size = picture;
    this.mask = mask;
    paint(this.picture, picture);
    this.#measure();
  }

  /** As large as there is room, a whole number of screen pixels a pixel. */
  #measure() {
    const room = Math.min(WIDEST, this.box.clientWidth - 2); // a border of 1
    if (!this.size || room < 1) return;
    const { width, height } = this.size;
    const cell = room / Math.max(width, height);
    this.cell = cell < 1 ? cell : Math.floor(cell);
    this.dots = window.devicePixelRatio || 1;
    this.face.style.width = `${this.cell * width + 2}px`;
    this.face.style.height = `${this.cell * height + 2}px`;
    this.layer.width = Math.round(this.cell * width * this.dots);
    this.layer.height = Math.round(this.cell * height * this.dots);
    this.draw();
  }

  /** What the brush covers when it is at a point. */
  reach({ x, y }) {
    const size = this.tool.rectangle ? 1 : this.tool.size;
    return { x: Math.round(x - size / 2), y: Math.round(y - size / 2), size };
  }

  begin(point) {
    this.stroke = { start: point, last: point, mask: this.mask.copy() };
    this.extend(point);
  }

  /** Go on to a point: the brush sweeps there, or the rectangle is drawn anew. */
  extend(point) {
    const { start, last } = this.stroke;
    const bit = this.tool.erase ? 0 : 1;
    if (this.tool.rectangle) {
      this.stroke.mask = this.mask.copy();
      this.stroke.mask.fill(this.#between(this.reach(start), this.reach(point)), bit);
    } else {
      const to = this.reach(point);
      this.stroke.mask.sweep(this.reach(last), to, to.size, bit);
    }
    this.stroke.last = point;
    this.draw();
  }

  #between(a, b) {
    const inside = (value, size) => Math.max(0, Math.min(size - 1, value));
    const [ax, bx] = [a, b].map(({ x }) => inside(x, this.size.width));
    const [ay, by] = [a, b].map(({ y }) => inside(y, this.size.height));
    const [left, top] = [Math.min(ax, bx), Math.min(ay, by)];
    return { left, top, width: Math.abs(ax - bx) + 1, height: Math.abs(ay - by) + 1 };
  }

  end() {
    if (!this.stroke) return;
    const { mask } = this.stroke;
    this.stroke = null;
    if (mask.equals(this.mask)) return this.draw();
    this.painted(mask);
  }

  drop() {
    this.stroke = null;
    this.draw();
  }

  draw() {
    if (!this.cell) return;
    const pen = this.layer.getContext('2d');
    const mask = this.stroke ? this.stroke.mask : this.mask;
    const { width, height } = this.layer;
    const place = (x, y) => [(x * width) / mask.width, (y * height) / mask.height];
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = this.#pattern(pen);
    const edges = new Path2D();
    mask.bits.forEach((bit, k) => {
      if (!bit) return;
      const [x, y] = [k % mask.width, Math.floor(k / mask.width)];
      const [[left, top], [right, bottom]] = [place(x, y), place(x + 1, y + 1)];
      pen.fillRect(left, top, right - left, bottom - top);
      const edge = (dx, dy, from, to) => {
        if (mask.at(x + dx, y + dy)) return;
        edges.moveTo(...from);
        edges.lineTo(...to);
      };
      edge(-1, 0, [left, top], [left, bottom]);
      edge(1, 0, [right, top], [right, bottom]);
      edge(0, -1, [left, top], [right, top]);
      edge(0, 1, [left, bottom], [right, bottom]);
    });
    this.#line(pen, edges, 1);
    if (this.shown || this.stroke) this.#brush(pen, place);
  }

  #line(pen, path, thick) {
    pen.lineCap = 'square';
    for (const [ink, width] of [[INKS.around, 2 * thick + 1], [INKS.edge, thick]]) {
      pen.strokeStyle = ink;
      pen.lineWidth = width * this.dots;
      pen.stroke(path);
    }
  }

  /** Where the brush would paint; dashed when it erases. */
  #brush(pen, place) {
    const { x, y, size } = this.reach(this.cursor);
    const [left, top] = place(x, y);
    const [right, bottom] = place(x + size, y + size);
    const path = new Path2D();
    path.rect(left, top, right - left, bottom - top);
    pen.setLineDash(this.tool.erase ? [4 * this.dots, 4 * this.dots] : []);
    this.#line(pen, path, 2);
    pen.setLineDash([]);
  }

  #pattern(pen) {
    const size = Math.round(TILE * this.dots);
    const tile = node('canvas', { width: size, height: size });
    const own = tile.getContext('2d');
    own.fillStyle = INKS.ground;
    own.fillRect(0, 0, size, size);
    own.strokeStyle = INKS.hatch;
    own.lineWidth = 1.5 * this.dots;
    for (const shift of [-size, 0, size]) {
      own.moveTo(shift - 2, size + 2);
      own.lineTo(shift + size + 2, -2);
    }
    own.stroke();
    return pen.createPattern(tile, 'repeat');
  }

  /** The point under a pointer, in pixels of the picture. */
  #point({ clientX, clientY }) {
    const { left, top, width, height } = this.layer.getBoundingClientRect();
    return {
      x: ((clientX - left) / width) * this.size.width,
      y: ((clientY - top) / height) * this.size.height,
    };
  }

  #listen() {
    const { face } = this;
    face.addEventListener('pointerdown', (event) => {
      if (event.button || !event.isPrimary || !this.size) return;
      event.preventDefault();
      face.focus({ preventScroll: true });
      face.setPointerCapture(event.pointerId);
      this.#move(event);
      this.begin(this.cursor);
    });
    face.addEventListener('pointermove', (event) => {
      if (!event.isPrimary || !this.size) return;
      const painting = this.stroke && face.hasPointerCapture(event.pointerId);
      const passed = painting ? event.getCoalescedEvents?.() ?? [] : []; // not over plain http
      for (const point of passed) this.extend(this.#point(point));
      this.#move(event);
      if (painting) this.extend(this.cursor);
    });
    face.addEventListener('pointerup', (event) => {
      if (face.hasPointerCapture(event.pointerId)) this.end();
    });
    face.addEventListener('pointercancel', () => this.drop());
    face.addEventListener('pointerleave', () => this.show(face.matches(':focus-visible')));
  }

  #move(event) {
    this.cursor = this.#point(event);
    this.show(event.pointerType !== 'touch');
  }

  /** Show or hide the brush. */
  show(on) {
    this.shown = on;
    this.draw();
  }
}
