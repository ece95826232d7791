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

  /** Show another trajectory, under the edits that lie over it. */
  load(trajectory) {
    this.trajectory = trajectory;
    this.draft = trajectory.draft;
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

  /** All that a position shows in turn, what a visitor put there last. */
  #events(position) {
    const over = this.draft.over.get(position);
    const events = this.trajectory.positions[position];
    return (over ? [...events, over] : events).filter((event) => event.token !== null);
  }

  #build(position) {
    const events = this.#events(position);
    const token = this.tokens[position];
    token.dataset.state = '';
    token.words = null;
    if (!events.length) {
      token.replaceChildren(node('span', { class: 'md-face md-unknown' }, '\u2007\u2007\u2007'));
      return;
    }
    const event = events[events.length - 1];
    const piece = this.trajectory.piece(event.token);
    const [, lead, word, trail] = piece.match(/^(\s*)([^]*?)(\s*)$/);
    const face = node('span', { class: 'md-face' });
    const breaks = /\n/.test(piece);
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
    const words = events.map((event) => [event, this.trajectory.piece(event.token).trim()]);
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
      const event = this.draft.at(this.trajectory, position, step);
      const state = this.#state(event, step);
      if (token.dataset.state === state && token.shown === event) return;
      token.dataset.state = state;
      token.toggleAttribute('data-edited', Boolean(event?.edited));
      token.shown = event;
      const word = token.words?.get(event);
      if (word !== undefined) token.querySelector('.md-face').textContent = word;
    });
    this.card.refresh();
  }

  #state(event, step) {
    if (!event) return 'masked';
    if (event.step === undefined && event.token === null) return 'masked';
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
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    const here = this.tokens.indexOf(document.activeElement);
    if (move !== undefined) this.visit(here + move);
    else if (!this.card.key(event)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Move the focus to a token, or the nearest there is. */
  visit(position) {
    this.tokens[Math.max(0, Math.min(this.tokens.length - 1, position))].focus();
  }

  #explain(token, pinned) {
    const position = Number(token.dataset.position);
    this.card.show(token, pinned, () => this.describe(position));
  }

  /** What is known of a position after the step that is shown. */
  describe(position) {
    const { trajectory, draft, step } = this;
    const event = draft.at(trajectory, position, step);
    return {
      trajectory,
      position,
      step,
      event,
      masked: (event?.token ?? null) === null,
      pending: draft.over.has(position),
      next: trajectory.next(position, step),
    };
  }
}
