/* The pixels of images, enlarged and crisp. A mask is a pattern that no pixel has; a pixel of which
   just some channels are known shows each channel as a stripe of its own. */

const GAP = 8; // between images
const TALLEST = [320, 560]; // CSS pixels: as much as the window leaves, within these
const AROUND = 540; // what stands above and below the images
const LEVELS = 64; // of a colour scale

class PixelView {
  constructor(box, card) {
    this.card = card;
    this.canvas = node('canvas', { 'aria-hidden': 'true' });
    this.pen = this.canvas.getContext('2d');
    this.spot = node('span', { class: 'md-spot', hidden: '' });
    // Two, that take turns: a screen reader tells of an element only when the focus comes to it.
    this.cursors = [0, 1].map((k) =>
      node('span', {
        class: 'md-cursor',
        role: 'button',
        tabindex: k ? '-1' : '0',
        'data-position': 0,
        'aria-label': 'The first pixel', // until it has the focus
      }),
    );
    this.sheet = node('div', { class: 'md-sheet' }, this.canvas, this.spot, ...this.cursors);
    this.box = node(
      'div',
      { class: 'md-pixels', role: 'group', 'aria-label': 'The image, pixel by pixel.' },
      this.sheet,
    );
    box.append(this.box);
    this.#listen();
    new ResizeObserver(() => this.#fit()).observe(this.box);
  }

  /** Show another trajectory, under the edits that lie over it. */
  load(trajectory) {
    this.trajectory = trajectory;
    this.draft = trajectory.draft;
    this.looks = trajectory.looks;
    this.step = 0;
    this.channel = 0;
    this.current = 0;
    this.anchor = null;
    this.cell = 0;
    this.card.hide();
    const { copies, channels } = this.looks;
    const keys = `Arrow keys move from pixel to pixel${channels > 1 ? ', C to the next channel' : ''}.`;
    this.box.setAttribute('aria-label', `The image${copies > 1 ? 's' : ''}, pixel by pixel. ${keys}`);
    this.#fit();
  }

  /** Nothing to build; `show` sees what has changed. */
  grow() {}

  /** Take as much room as there is, with cells of whole device pixels. */
  #fit() {
    if (!this.trajectory || !this.box.clientWidth) return;
    const { looks } = this;
    const ratio = window.devicePixelRatio || 1;
    const wide = (this.box.clientWidth - GAP * (looks.columns - 1)) / (looks.columns * looks.width);
    const [least, most] = TALLEST;
    const room = Math.max(least, Math.min(most, window.innerHeight - AROUND));
    const tall = (room - GAP * (looks.rows - 1)) / (looks.rows * looks.height);
    const cell = Math.max(1, Math.floor(Math.min(wide, tall) * ratio));
    if (cell === this.cell && ratio === this.ratio) return;
    this.cell = cell;
    this.ratio = ratio;
    this.gap = Math.round(GAP * ratio);
    this.canvas.width = looks.columns * looks.width * cell + (looks.columns - 1) * this.gap;
    this.canvas.height = looks.rows * looks.height * cell + (looks.rows - 1) * this.gap;
    this.sheet.style.width = `${this.canvas.width / ratio}px`;
    this.sheet.style.height = `${this.canvas.height / ratio}px`;
    this.box.parentNode.style.setProperty('--copy', `${(looks.width * cell) / ratio}px`);
    this.recolour();
  }

  /** Draw all anew, as colours mean something else now. */
  recolour() {
    if (!this.trajectory || !this.cell) return;
    this.ink = this.#inks();
    this.seen = [];
    this.pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.show(this.step);
  }

  #inks() {
    const style = getComputedStyle(this.box);
    const of = (name) => style.getPropertyValue(`--${name}`).trim();
    const [low, high] = [of('low'), of('high')];
    const scale = Array.from(
      { length: LEVELS + 1 },
      (_, k) => `color-mix(in oklab, ${high} ${(100 * k) / LEVELS}%, ${low})`,
    );
    const pair = { light: of('line-light'), dark: of('line-dark') };
    return { fresh: of('accent'), again: of('again'), mask: this.#hatch(of('mask'), of('mask-line')), scale, ...pair };
  }

  /** Diagonal lines, as a pattern that goes on from cell to cell. */
  #hatch(ground, line) {
    const side = Math.max(4, Math.round(5 * this.ratio));
    const tile = node('canvas', { width: side, height: side });
    const pen = tile.getContext('2d');
    pen.fillStyle = ground;
    pen.fillRect(0, 0, side, side);
    pen.strokeStyle = line;
    pen.lineWidth = side / 4;
    for (const shift of [-side, 0, side]) {
      pen.beginPath();
      pen.moveTo(shift - 1, side + 1);
      pen.lineTo(shift + side + 1, -1);
      pen.stroke();
    }
    return this.pen.createPattern(tile, 'repeat');
  }

  /** Show the state after a step; only pixels that look different are drawn. */
  show(step) {
    this.step = step;
    if (!this.cell) return;
    const { channels } = this.looks;
    const done = step === this.trajectory.steps; // a finished image is shown without frames
    for (let pixel = 0; pixel < this.looks.pixels; pixel += 1) {
      let same = true;
      for (let position = pixel * channels; position < (pixel + 1) * channels; position += 1) {
        const event = this.draft.at(this.trajectory, position, step);
        const now = event && event.step === step && step > 0 && !done;
        const before = this.seen[position];
        if (before && before.event === event && before.now === now) continue;
        this.seen[position] = { event, now };
        same = false;
      }
      if (!same) this.#draw(pixel);
    }
    this.card.refresh();
  }

  #corner(pixel) {
    const { x, y } = this.looks.onSheet(pixel);
    const { width, height } = this.looks;
    return [
      x * this.cell + Math.floor(x / width) * this.gap,
      y * this.cell + Math.floor(y / height) * this.gap,
    ];
  }

  #draw(pixel) {
    const { looks, cell, pen } = this;
    const [left, top] = this.#corner(pixel);
    const first = pixel * looks.channels;
    const seen = this.seen.slice(first, first + looks.channels);
    const tokens = seen.map(({ event }) => event?.token ?? null);
    const plain = this.box.closest('[data-colour]').dataset.colour === 'state';
    if (plain && !tokens.includes(null)) {
      pen.fillStyle = looks.colour(tokens);
      pen.fillRect(left, top, cell, cell);
    } else {
      seen.forEach(({ event }, channel) => {
        const from = Math.round((cell * channel) / looks.channels);
        const to = Math.round((cell * (channel + 1)) / looks.channels);
        pen.fillStyle = this.#fill(event, tokens, channel, plain);
        pen.fillRect(left + from, top, to - from, cell);
      });
    }
    this.#mark(left, top, seen, plain);
    this.#edges(pixel, left, top);
  }

  #fill(event, tokens, channel, plain) {
    const { looks, ink, trajectory } = this;
    if (tokens[channel] === null) return ink.mask;
    if (plain) return looks.shade(tokens[channel], channel);
    if (event.given || event.entropy === undefined) {
      return tokens.includes(null) ? looks.shade(tokens[channel], channel) : looks.colour(tokens);
    }
    const share = {
      step: event.step / trajectory.steps,
      confidence: event.probability,
      entropy: Math.min(1, event.entropy / trajectory.mostEntropy),
    }[this.box.closest('[data-colour]').dataset.colour];
    return ink.scale[Math.round(LEVELS * share)];
  }

  /** A frame around what was revealed or masked again in this step, or was edited. */
  #mark(left, top, seen, plain) {
    const edited = seen.some(({ event }) => event?.edited);
    const now = plain && seen.find((one) => one.now);
    if (!edited && !now) return;
    const { pen, cell } = this;
    const line = Math.max(1, Math.round(cell / 8));
    pen.strokeStyle = !edited && now.event.token === null ? this.ink.again : this.ink.fresh;
    pen.lineWidth = line;
    pen.setLineDash(edited ? [line, line] : []);
    pen.strokeRect(left + line / 2, top + line / 2, cell - line, cell - line);
    pen.setLineDash([]);
  }

  /** The border between what is given and what is not runs along the pixels that are not. */
  #edges(pixel, left, top) {
    if (!this.trajectory.start.given.length || this.#given(pixel)) return;
    const { looks, cell, pen, ink } = this;
    const { row, column } = looks.place(pixel);
    const line = Math.max(1, Math.round(this.ratio));
    for (const [down, right] of [[-1, 0], [1, 0], [0, -1], [0, 1]]) {
      const inside = looks.inside(row + down, column + right);
      if (!inside || !this.#given(pixel + down * looks.width + right)) continue;
      [ink.dark, ink.light].forEach((colour, k) => {
        const from = (way) => (way > 0 ? cell - (k + 1) * line : way < 0 ? k * line : 0);
        pen.fillStyle = colour;
        pen.fillRect(left + from(right), top + from(down), right ? line : cell, down ? line : cell);
      });
    }
  }

  #given(pixel) {
    return Boolean(this.trajectory.positions[pixel * this.looks.channels][0]?.given);
  }

  #listen() {
    this.canvas.addEventListener('pointermove', (event) => {
      if (event.pointerType === 'mouse') this.#hover(event);
    });
    this.canvas.addEventListener('pointerleave', () => {
      this.spot.hidden = true;
      this.card.leave();
    });
    this.canvas.addEventListener('click', (event) => {
      const position = this.#under(event);
      if (position !== null) this.visit(position, event.shiftKey);
    });
    for (const cursor of this.cursors) {
      cursor.addEventListener('keydown', (event) => this.#key(event));
      cursor.addEventListener('focus', () => this.#enter(cursor));
    }
  }

  /** The position under the pointer, or null in a gap. */
  #under({ clientX, clientY }) {
    const { left, top } = this.canvas.getBoundingClientRect();
    const { looks, cell, gap, ratio } = this;
    const along = (value, count) => {
      const copy = Math.floor(value / (count * cell + gap));
      const inside = value - copy * (count * cell + gap);
      return inside < count * cell ? copy * count + inside / cell : null;
    };
    const x = along((clientX - left) * ratio, looks.width);
    const y = along((clientY - top) * ratio, looks.height);
    if (x === null || y === null) return null;
    const pixel = looks.fromSheet(Math.floor(x), Math.floor(y));
    const { x: column, y: line } = looks.onSheet(pixel);
    if (column !== Math.floor(x) || line !== Math.floor(y)) return null; // where a copy is missing
    return pixel * looks.channels + Math.floor((x % 1) * looks.channels);
  }

  #hover(event) {
    const position = this.#under(event);
    if (position === null || this.card.pinned) {
      this.spot.hidden = true;
      this.card.leave();
      return;
    }
    if (!this.spot.hidden && Number(this.spot.dataset.position) === position) return;
    this.#put(this.spot, position);
    this.spot.hidden = false;
    this.card.show(this.spot, false, () => this.describe(position));
  }

  /** Lay an element over a pixel. */
  #put(element, position) {
    const [left, top] = this.#corner(Math.floor(position / this.looks.channels));
    element.dataset.position = position;
    const place = { left, top, width: this.cell, height: this.cell };
    for (const [side, value] of Object.entries(place)) element.style[side] = `${value / this.ratio}px`;
  }

  #enter(cursor) {
    const position = Number(cursor.dataset.position);
    this.current = Math.floor(position / this.looks.channels);
    this.channel = position % this.looks.channels;
    if (!this.extending) this.anchor = null;
    this.#put(cursor, position);
    for (const one of this.cursors) one.tabIndex = one === cursor ? 0 : -1;
    this.spot.hidden = true;
    this.card.show(cursor, true, () => this.describe(position));
    cursor.setAttribute('aria-label', this.card.summary);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { looks } = this;
    const { x, y } = looks.onSheet(this.current);
    const places = {
      ArrowLeft: [x - 1, y],
      ArrowRight: [x + 1, y],
      ArrowUp: [x, y - 1],
      ArrowDown: [x, y + 1],
      Home: [x - (x % looks.width), y],
      End: [x - (x % looks.width) + looks.width - 1, y],
    };
    const there = places[event.key];
    if (there) this.visit(looks.fromSheet(...there) * looks.channels + this.channel, event.shiftKey);
    else if (/^c$/i.test(event.key) && looks.channels > 1) this.#turn();
    else if (!this.card.key(event)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Move to the next channel of the pixel. */
  #turn() {
    this.visit(this.current * this.looks.channels + ((this.channel + 1) % this.looks.channels));
  }

  /** Move the focus to a position; `extend` selects the rectangle on the way. */
  visit(position, extend = false) {
    if (extend) this.anchor ??= this.current;
    this.extending = extend;
    const next = this.cursors.find((one) => one !== document.activeElement);
    this.#put(next, position);
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: 'nearest' });
    this.extending = false;
  }

  /** The positions of the pixels that are selected: a rectangle, or the one with the focus. */
  get range() {
    const { looks } = this;
    const a = looks.onSheet(this.current);
    const b = looks.onSheet(this.anchor ?? this.current);
    const positions = [];
    for (let y = Math.min(a.y, b.y); y <= Math.max(a.y, b.y); y += 1) {
      for (let x = Math.min(a.x, b.x); x <= Math.max(a.x, b.x); x += 1) {
        const first = looks.fromSheet(x, y) * looks.channels;
        for (let k = 0; k < looks.channels; k += 1) positions.push(first + k);
      }
    }
    return positions;
  }

  /** What is known of a position after the step that is shown. */
  describe(position) {
    const { trajectory, draft, step, looks } = this;
    const pixel = Math.floor(position / looks.channels);
    const channel = position % looks.channels;
    const event = draft.at(trajectory, position, step);
    const token = event?.token ?? null;
    return {
      trajectory,
      position,
      step,
      event,
      masked: token === null,
      pending: draft.over.has(position),
      selected: pixel === this.current ? this.range : [position],
      next: trajectory.next(position, step),
      title: `${looks.where(pixel, channel)}: ${token === null ? 'masked' : looks.name(token)}`,
      shade: (one) => looks.shade(one, channel),
    };
  }
}
