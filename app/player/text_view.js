/* The tokens of a text. Each keeps the room of its final word, so that replay never reflows. */

const ENTROPY_TOP = 10; // bits at which the colour scale ends

class TextView {
  constructor(box, card) {
    this.card = card;
    this.tokens = [];
    this.pen = document.createElement('canvas').getContext('2d');
    this.box = node('div', {
      class: 'md-text',
      role: 'group',
      'aria-label': 'The text, token by token. Arrow keys move from token to token.',
    });
    box.append(this.box);
    this.#listen();
  }

  /** Show another trajectory. */
  load(trajectory) {
    this.trajectory = trajectory;
    this.step = 0;
    this.card.hide();
    this.tokens = Array.from({ length: trajectory.length }, (_, position) =>
      node('span', {
        class: 'md-token',
        role: 'button',
        tabindex: position ? '-1' : '0',
        'data-position': position,
      }),
    );
    this.box.replaceChildren(...this.tokens);
    this.grow(this.tokens.keys());
  }

  /** Build anew the tokens at positions whose history has changed. */
  grow(positions) {
    for (const position of positions) this.#build(position);
  }

  #build(position) {
    const events = this.trajectory.positions[position].filter((event) => event.token !== null);
    const token = this.tokens[position];
    token.dataset.state = '';
    if (!events.length) {
      token.replaceChildren(node('span', { class: 'md-face md-unknown' }, '\u2007\u2007\u2007'));
      return;
    }
    const event = events[events.length - 1];
    const piece = this.trajectory.piece(event.token);
    const [, lead, word, trail] = piece.match(/^(\s*)([^]*?)(\s*)$/);
    const face = node('span', { class: 'md-face' });
    const breaks = /\n/.test(piece);
    token.words = null;
    if (word) this.#write(token, face, events, word);
    else face.classList.add(breaks ? 'md-break' : 'md-space');
    if (!word && !breaks) face.append(piece);
    token.replaceChildren(...(word || breaks ? [lead && word ? lead : '', face] : [face]));
    if (!word && breaks) token.append(piece);
    if (trail && word) token.append(trail);
    const steps = this.trajectory.steps;
    token.style.setProperty('--step', event.given ? 0 : event.step / steps);
    token.style.setProperty('--confidence', event.given ? 1 : event.probability);
    token.style.setProperty('--entropy', event.given ? 0 : Math.min(1, event.entropy / ENTROPY_TOP));
  }

  /** The word; where a position had several in turn, with room for the widest of them. */
  #write(token, face, events, word) {
    face.append(word);
    const words = events.map((event) => [event.step, this.trajectory.piece(event.token).trim()]);
    if (words.every(([, other]) => other === word)) return;
    token.words = new Map(words);
    this.pen.font = `100px ${getComputedStyle(this.box).fontFamily}`;
    const widths = words.map(([, other]) => this.pen.measureText(other).width / 100);
    face.classList.add('md-roomy');
    face.style.minWidth = `${Math.max(...widths).toFixed(3)}em`;
  }

  /** Show the state after a step; only tokens whose state differs are touched. */
  show(step) {
    this.step = step;
    this.tokens.forEach((token, position) => {
      const event = this.trajectory.at(position, step);
      const state = this.#state(event, step);
      const known = event ? event.step : -1;
      if (token.dataset.state === state && token.shown === known) return;
      token.dataset.state = state;
      token.shown = known;
      const word = token.words?.get(known);
      if (word !== undefined) token.querySelector('.md-face').textContent = word;
    });
    this.card.refresh();
  }

  #state(event, step) {
    if (!event) return 'masked';
    if (event.given) return 'given';
    const now = event.step === step && step > 0;
    if (event.token === null) return now ? 'again' : 'masked';
    return now ? 'new' : 'shown';
  }

  #listen() {
    const find = (event) => event.target.closest && event.target.closest('.md-token');
    this.box.addEventListener('pointerover', (event) => {
      const token = find(event);
      if (token && event.pointerType === 'mouse') this.#explain(token, false);
    });
    this.box.addEventListener('pointerleave', () => this.card.leave());
    this.box.addEventListener('focusin', (event) => {
      const token = find(event);
      if (token) this.#enter(token);
    });
    this.box.addEventListener('focusout', () => this.card.hide());
    this.box.addEventListener('click', (event) => {
      const token = find(event);
      if (token) this.#explain(token, true);
    });
    this.box.addEventListener('keydown', (event) => this.#key(event));
  }

  #enter(token) {
    for (const other of this.box.querySelectorAll('[tabindex="0"]')) other.tabIndex = -1;
    token.tabIndex = 0;
    this.#explain(token, true);
    token.setAttribute('aria-label', this.card.summary);
  }

  #key(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === 'Escape') this.card.hide();
    if (move === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const here = this.tokens.indexOf(document.activeElement);
    const there = Math.max(0, Math.min(this.tokens.length - 1, here + move));
    this.tokens[there].focus();
  }

  #explain(token, pinned) {
    const position = Number(token.dataset.position);
    this.card.show(token, pinned, () => this.describe(position));
  }

  /** What is known of a position after the step that is shown. */
  describe(position) {
    const event = this.trajectory.at(position, this.step);
    const next = this.trajectory.next(position, this.step);
    return { trajectory: this.trajectory, position, event, next };
  }
}
