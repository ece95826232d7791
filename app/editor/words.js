/* The words of a text as chips: click, tap, drag or use the keyboard to mask them. */

const SHOWN_ATOMS = 4000; // more than any model here reads; the rest stays in the text

class Words {
  /** `changed` is told the atoms after each change; `moved` when another chip is current. */
  constructor(changed, moved, undo) {
    this.changed = changed;
    this.moved = moved;
    this.undo = undo;
    this.atoms = [];
    this.current = 0;
    this.anchor = null;
    this.box = node('div', {
      class: 'md-words',
      role: 'listbox',
      'aria-multiselectable': 'true',
      'aria-label':
        'Words. Arrow keys move, with Shift they select. M masks, U unmasks, plus and minus ' +
        'change the length of a hole.',
    });
    this.#listen();
  }

  /** Show atoms; the current chip stays the current one. */
  show(atoms) {
    const focused = this.box.contains(document.activeElement);
    this.atoms = atoms;
    this.chips = new Map();
    let index = 0;
    const faces = stretches(atoms.slice(0, SHOWN_ATOMS)).map(({ hole, atoms: own }) => {
      const inner = own.map((atom) => this.#chip(atom, index++));
      return hole ? this.#hole(hole, inner) : inner;
    });
    const rest = atoms.length - SHOWN_ATOMS;
    if (rest > 0) faces.push(node('span', { role: 'none' }, ` … and ${rest.toLocaleString('en')} more`));
    this.box.replaceChildren(...faces.flat());
    this.anchor = null;
    this.#go(this.current, focused);
  }

  #chip(atom, index) {
    if (atom.kind === 'space') return atom.text;
    const chip = node('span', {
      class: `md-chip md-chip-${atom.kind}`,
      role: 'option',
      tabindex: '-1',
      'aria-selected': 'false',
      'data-index': index,
    });
    chip.textContent = atom.kind === 'mask' ? 'mask' : atom.text;
    if (atom.hole) chip.dataset.masked = '';
    this.chips.set(index, chip);
    return chip;
  }

  #hole(hole, inner) {
    const badge = node('span', { class: 'md-hole-count', 'aria-hidden': 'true' });
    hole.badge = badge;
    hole.masks = hole.count;
    badge.textContent = hole.masks ? `×${hole.masks}` : '';
    const face = node('span', { class: 'md-hole', role: 'none' }, ...inner, badge);
    face.dataset.own = hole.words === '' ? 'typed' : 'words';
    return face;
  }

  /** How many tokens each hole masks, as the server counted them, in order. */
  count(counts) {
    const holes = stretches(this.atoms).filter((stretch) => stretch.hole);
    holes.forEach(({ hole, atoms }, k) => {
      hole.masks = counts[k] ?? hole.count;
      if (hole.badge) hole.badge.textContent = hole.masks ? `×${hole.masks}` : '';
      for (const atom of atoms) {
        const chip = this.chips.get(this.atoms.indexOf(atom));
        const size = hole.masks ? `, hole of ${hole.masks} token${hole.masks === 1 ? '' : 's'}` : '';
        chip?.setAttribute('aria-label', `${atom.text || 'mask'}, masked${size}`);
      }
    });
  }

  /** The selected range of atoms, or the current one. */
  get range() {
    const other = this.anchor ?? this.current;
    return [Math.min(this.current, other), Math.max(this.current, other)];
  }

  get hole() {
    return this.atoms[this.current]?.hole || null;
  }

  /** Why the current chip cannot be masked, or "". */
  get refusal() {
    const atom = this.atoms[this.current];
    if (!atom || atom.hole || maskable(atom)) return '';
    return `“${atom.text}” cannot be masked: brackets and bars are what holes are written with.`;
  }

  mask() {
    if (this.chips.size) this.changed(maskAtoms(this.atoms, ...this.range));
  }

  unmask() {
    if (this.chips.size) this.changed(unmaskAtoms(this.atoms, ...this.range));
  }

  toggle() {
    if (this.hole) this.unmask();
    else this.mask();
  }

  /** Make the current hole longer or shorter. */
  resize(by) {
    const { hole } = this;
    if (!hole?.masks) return;
    hole.count = Math.max(1, Math.min(9999, hole.masks + by));
    this.changed(this.atoms);
  }

  /** Make the chip at an index, or the nearest, the current one. */
  #go(index, focus = true) {
    const known = [...this.chips.keys()];
    if (!known.length) return this.moved();
    const near = (a, b) => (Math.abs(b - index) < Math.abs(a - index) ? b : a);
    this.chips.get(this.current)?.setAttribute('tabindex', '-1');
    this.current = known.reduce(near);
    const chip = this.chips.get(this.current);
    chip.tabIndex = 0;
    if (focus) chip.focus({ preventScroll: false });
    const [low, high] = this.range;
    for (const [k, other] of this.chips) {
      const selected = this.anchor !== null && k >= low && k <= high;
      if ((other.getAttribute('aria-selected') === 'true') !== selected) {
        other.setAttribute('aria-selected', String(selected));
      }
    }
    this.moved();
  }

  #extend(index) {
    this.anchor ??= this.current;
    this.#go(index);
  }

  #listen() {
    const find = (event) => event.target.closest?.('.md-chip, .md-hole-count');
    const place = (face) => Number((face.dataset.index ? face : face.parentNode.firstChild).dataset.index);
    let start = null;
    this.box.addEventListener('pointerdown', (event) => {
      const face = find(event);
      if (!face || event.button || event.pointerType === 'touch') return;
      event.preventDefault();
      const index = place(face);
      if (event.shiftKey) return this.#extend(index);
      start = { index, moved: false };
      this.anchor = null;
      this.#go(index);
    });
    this.box.addEventListener('pointerover', (event) => {
      const face = find(event);
      if (!face || !start || place(face) === this.current) return;
      start.moved = true;
      this.anchor = start.index;
      this.#go(place(face));
    });
    window.addEventListener('pointerup', () => {
      if (start?.moved) this.#drop(start.index);
      start = null;
    });
    this.box.addEventListener('click', (event) => {
      const face = find(event);
      if (!face || event.shiftKey) return;
      this.anchor = null;
      this.#go(place(face));
      const typed = this.atoms[this.current].kind === 'mask';
      if (face.dataset.index && !typed) this.toggle();
    });
    this.box.addEventListener('focusin', (event) => {
      const face = find(event);
      if (face && place(face) !== this.current) this.#go(place(face), false);
    });
    this.box.addEventListener('keydown', (event) => this.#key(event));
  }

  #drop(first) {
    if (this.atoms[first].hole) this.unmask();
    else this.mask();
  }

  #key(event) {
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (!plain) return this.#shortcut(event);
    const there = this.#step(event.key);
    const act = {
      m: () => this.mask(),
      u: () => this.unmask(),
      ' ': () => this.toggle(),
      Enter: () => this.toggle(),
      '+': () => this.resize(1),
      '=': () => this.resize(1),
      '-': () => this.resize(-1),
      Escape: () => this.#release(),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (there === null && !act) return;
    event.preventDefault();
    if (act) act();
    else if (event.shiftKey) this.#extend(there);
    else {
      this.anchor = null;
      this.#go(there);
    }
  }

  #shortcut(event) {
    const key = event.key.toLowerCase();
    if (event.altKey || (key !== 'a' && key !== 'z')) return;
    event.preventDefault();
    if (key === 'z') return this.undo();
    this.anchor = 0;
    this.#go(Math.max(...this.chips.keys()));
  }

  #release() {
    this.anchor = null;
    this.#go(this.current);
  }

  /** The index that a key leads to, or null. */
  #step(key) {
    const known = [...this.chips.keys()];
    const here = known.indexOf(this.current);
    const at = (k) => known[Math.max(0, Math.min(known.length - 1, k))];
    if (key === 'ArrowLeft') return at(here - 1);
    if (key === 'ArrowRight') return at(here + 1);
    if (key === 'Home') return at(0);
    if (key === 'End') return at(Infinity);
    if (key === 'ArrowUp') return this.#line(-1);
    if (key === 'ArrowDown') return this.#line(1);
    return null;
  }

  /** The chip nearest in the line above or below. */
  #line(way) {
    const boxes = [...this.chips].map(([index, chip]) => [index, chip.getBoundingClientRect()]);
    const here = this.chips.get(this.current).getBoundingClientRect();
    const beyond = boxes.filter(([, box]) => way * (box.top - here.top) > here.height / 2);
    if (!beyond.length) return this.current;
    const line = Math.min(...beyond.map(([, box]) => way * box.top));
    const own = beyond.filter(([, box]) => Math.abs(way * box.top - line) < here.height / 2);
    const far = ([, box]) => Math.abs(box.left + box.width / 2 - here.left - here.width / 2);
    return own.reduce((a, b) => (far(b) < far(a) ? b : a))[0];
  }
}
