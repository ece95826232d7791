/* The tokens of a text. Each keeps the room of its final word, so that replay never reflows. */

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

  /** The positions that are selected: those between two tokens, or just the one with the focus. */
  get range() {
    const other = this.anchor ?? this.current;
    const first = Math.min(this.current, other);
    return Array.from({ length: Math.abs(this.current - other) + 1 }, (_, k) => first + k);
  }

  /** Show another trajectory, under the edits that lie over it. */
  load(trajectory) {
    this.trajectory = trajectory;
    this.draft = trajectory.draft;
    this.step = 0;
    this.current = 0;
    this.anchor = null;
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

  /** Build anew the tokens at positions whose history has changed, and what joins with them. */
  grow(positions) {
    const stale = new Set(positions);
    for (const position of [...stale]) {
      for (let k = 1; k < JOIN_AT_MOST; k += 1) {
        for (const near of [position - k, position + k]) if (this.tokens[near]?.join) stale.add(near);
      }
      for (const way of [-1, 1]) {
        for (let k = position + way; Array.isArray(this.#lastPiece(k)); k += way) stale.add(k);
      }
    }
    for (const position of stale) this.#build(position);
  }

  /** All that a position shows in turn, what a visitor put there last. */
  #events(position) {
    const over = this.draft.over.get(position);
    const events = this.trajectory.positions[position] || [];
    return (over ? [...events, over] : events).filter((event) => event.token !== null);
  }

  #lastPiece(position) {
    const event = this.#events(position).pop();
    return event && this.trajectory.piece(event.token);
  }

  #build(position) {
    const events = this.#events(position);
    const token = this.tokens[position];
    token.dataset.state = '';
    token.words = null;
    token.join = joinAround((k) => this.#lastPiece(k), position);
    if (!events.length) {
      token.replaceChildren(node('span', { class: 'md-face md-unknown' }, '\u2007\u2007\u2007'));
      token.blank = null;
      return;
    }
    const event = events[events.length - 1];
    const { join } = token;
    const piece = join ? (join.first === position ? join.text : '') : this.#string(event);
    const [, lead, word, trail] = piece.match(/^(\s*)([^]*?)(\s*)$/);
    const face = node('span', { class: 'md-face' });
    const breaks = /\n/.test(piece);
    if (join) token.blank = word ? null : `part of ${join.text.trim()}`;
    else token.blank = word ? null : breaks ? 'line break' : 'space';
    if (word || join) this.#write(token, face, events, word);
    else face.classList.add(breaks ? 'md-break' : 'md-space');
    if (!word && !breaks) face.append(piece);
    token.replaceChildren(...(word || breaks ? [lead && word ? lead : '', face] : [face]));
    if (!word && breaks) token.append(piece);
    if (trail && word) token.append(trail);
    const steps = this.trajectory.steps;
    token.style.setProperty('--step', event.given ? 0 : event.step / steps);
    token.style.setProperty('--confidence', event.given ? 1 : event.probability);
    token.style.setProperty('--entropy', event.given ? 0 : Math.min(1, event.entropy / this.trajectory.mostEntropy));
  }

  /** The step of a position's last edit; it lies over all steps if the run has not gone on yet. */
  #lastEdit(position) {
    if (this.draft.over.has(position)) return Infinity;
    const edits = this.trajectory.positions[position].filter((event) => event.edited);
    return edits.length ? edits[edits.length - 1].step : 0;
  }

  #string(event) {
    const piece = this.trajectory.piece(event.token);
    return Array.isArray(piece) ? hex(piece) : piece;
  }

  /**
   * The word. Where a position had several in turn since it was edited, if it was, with room for the
   * widest of them; where tokens make a character together, with its part of the room, the first
   * one with the character.
   */
  #write(token, face, events, word) {
    face.append(word);
    const { join } = token;
    const last = events[events.length - 1];
    const words = events.map((event) => [event, event === last ? word : this.#string(event).trim()]);
    if (!join && words.every(([, other]) => other === word)) return;
    token.words = new Map(words);
    this.pen.font = `100px ${getComputedStyle(this.box).fontFamily}`;
    const room = (text) => this.pen.measureText(text).width / 100;
    const edit = this.#lastEdit(Number(token.dataset.position));
    const since = words.slice(0, -1).filter(([event]) => event.step >= edit);
    const widths = since.map(([, other]) => room(other));
    widths.push(join ? room(join.text.trim()) / join.size : room(word));
    face.classList.add(join ? 'md-part' : 'md-roomy');
    face.style[join ? 'width' : 'minWidth'] = `${Math.max(...widths).toFixed(3)}em`;
  }

  /** Show the state after a step; only tokens whose state differs are touched. */
  show(step) {
    this.step = step;
    this.tokens.forEach((token, position) => {
      const event = this.draft.at(this.trajectory, position, step);
      const state = this.#state(event, step);
      if (token.join) token.toggleAttribute('data-open', !this.#whole(token.join, step));
      if (token.dataset.state === state && token.shown === event) return;
      token.dataset.state = state;
      token.toggleAttribute('data-edited', Boolean(event?.edited));
      token.shown = event;
      const word = token.words?.get(event);
      if (word !== undefined) token.querySelector('.md-face').textContent = word;
      this.#name(token);
    });
    this.card.refresh();
    const { anchor } = this.card;
    if (anchor === document.activeElement) anchor?.setAttribute('aria-label', this.card.summary);
  }

  /** What a screen reader says of a token that is no word to be read. */
  #name(token) {
    const name = /masked|again/.test(token.dataset.state) ? 'masked' : token.blank;
    if (name) token.setAttribute('aria-label', name);
    else token.removeAttribute('aria-label');
  }

  /** Whether all tokens are there that make a character together. */
  #whole({ first, size }, step) {
    for (let position = first; position < first + size; position += 1) {
      const event = this.draft.at(this.trajectory, position, step);
      if (!event || event !== this.#events(position).pop()) return false;
    }
    return true;
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
    this.box.addEventListener('mousedown', (event) => {
      const token = event.shiftKey && find(event);
      if (!token) return;
      event.preventDefault();
      this.visit(Number(token.dataset.position), true);
    });
    this.box.addEventListener('focusout', (event) => {
      const token = find(event);
      if (token) this.#name(token);
    });
    this.box.addEventListener('click', (event) => {
      const token = find(event);
      if (token) this.#explain(token, true);
    });
    this.box.addEventListener('keydown', (event) => this.#key(event));
  }

  #enter(token) {
    this.current = Number(token.dataset.position);
    if (!this.extending) this.anchor = null;
    const selected = this.anchor === null ? [] : this.range;
    this.tokens.forEach((other, k) => other.toggleAttribute('data-selected', selected.includes(k)));
    for (const other of this.box.querySelectorAll('[tabindex="0"]')) other.tabIndex = -1;
    token.tabIndex = 0;
    this.#explain(token, true);
    token.setAttribute('aria-label', this.card.summary);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    const here = this.tokens.indexOf(document.activeElement);
    if (move !== undefined) this.visit(here + move, event.shiftKey);
    else if (!this.card.key(event)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Move the focus to a token, or the nearest there is; `extend` selects all on the way. */
  visit(position, extend = false) {
    if (extend) this.anchor ??= this.current;
    this.extending = extend;
    this.tokens[Math.max(0, Math.min(this.tokens.length - 1, position))].focus();
    this.extending = false;
  }

  #explain(token, pinned) {
    const position = Number(token.dataset.position);
    this.card.show(token, pinned, () => this.describe(position));
  }

  #before(position) {
    const event = this.draft.at(this.trajectory, position - 1, this.step);
    return (event?.token ?? null) === null ? '' : this.#string(event);
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
      selected: position === this.current ? this.range : [position],
      next: trajectory.next(position, step),
      title: event?.token === undefined || event.token === null ? 'Masked' : visible(trajectory.piece(event.token)),
      whole: this.tokens[position].join?.text.trim(),
      afterSpace: position === 0 || /\s$/.test(this.#before(position)),
    };
  }
}
