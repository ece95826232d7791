/* What one can do with a token in its card: mask it again, type another, ask the model. */

const PAUSE_BEFORE_ASKING = 150; // ms, while one types

class Tools {
  /**
   * @param edit.put takes [[position, token or null], ...] as one edit; edit.frame() and edit.gaps()
   *   tell of the frame that is shown, and edit.visit(position) moves to another token.
   * @param host.spell and host.outlook ask the server.
   */
  constructor(edit, host, refresh) {
    this.edit = edit;
    this.host = host;
    this.refresh = refresh;
    this.seen = null;
    this.again = this.#button('Mask again', () => this.mask());
    this.ask = this.#button('Ask the model', () => this.#ask());
    this.input = node('input', {
      type: 'text',
      class: 'md-type',
      placeholder: 'Type what stands here',
      'aria-label': 'Type what stands here',
      autocomplete: 'off',
      maxlength: 500,
    });
    this.told = node('p', { class: 'md-told', 'aria-live': 'polite' });
    this.options = node('div', { class: 'md-options' });
    this.typing = node('div', { class: 'md-typing-here' }, this.input, this.options);
    this.row = node('div', { class: 'md-tool-row' }, this.again, this.ask);
    this.box = node('div', { class: 'md-card-tools' }, this.typing, this.row, this.told);
    this.input.addEventListener('input', () => this.#spell());
    this.input.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter') return;
      event.preventDefault();
      event.stopPropagation();
      this.options.querySelector('button')?.click();
    });
  }

  #button(label, action) {
    return node('button', { type: 'button', onclick: action }, label);
  }

  /** Show what can be done with the token that `about` describes. */
  show(about) {
    const { position, masked } = about;
    if (position !== this.position || !masked) this.#clear();
    this.position = position;
    this.about = about;
    const { tokens } = this.edit.frame();
    this.revealed = about.selected.filter((k) => tokens[k] !== null);
    const many = this.revealed.length > 1;
    this.again.textContent = many ? `Mask these ${this.revealed.length} again` : 'Mask again';
    this.again.hidden = !this.revealed.length;
    this.typing.hidden = !masked || !this.host.spell || Boolean(about.trajectory.looks);
    this.ask.hidden = !masked || !this.host.outlook;
  }

  #clear() {
    clearTimeout(this.timer);
    this.input.value = '';
    this.options.replaceChildren();
    this.told.textContent = '';
  }

  mask() {
    if (this.revealed.length) this.edit.put(this.revealed.map((position) => [position, null]));
  }

  choose(token) {
    this.edit.put([[this.position, token]]);
  }

  /** What the model was asked about this place in this very frame, if it was. */
  outlook(about) {
    return this.seen && this.seen.key === this.#key(about) ? this.seen.candidates : null;
  }

  #key({ trajectory, position, step }) {
    return JSON.stringify([trajectory.run, position, step, this.edit.frame().tokens]);
  }

  async #ask() {
    const { about } = this;
    const key = this.#key(about);
    this.told.textContent = 'Asking the model …';
    const answer = await this.#answer(() => this.host.outlook(this.edit.frame(), about.position));
    this.told.textContent = answer.problem || '';
    if (answer.problem) return;
    about.trajectory.learn(answer.w);
    const candidates = answer.candidates.map(([token, logProbability]) => ({ token, logProbability }));
    this.seen = { key, candidates };
    this.refresh();
  }

  async #answer(ask) {
    try {
      return await ask();
    } catch {
      return { problem: 'The server does not answer. Is it still running?' };
    }
  }

  #spell() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#offer(), PAUSE_BEFORE_ASKING);
  }

  /** Offer the ways to write what was typed; of several answers the last one counts. */
  async #offer() {
    const text = this.input.value;
    const { trajectory, position } = this.about;
    const answer = text ? await this.#answer(() => this.host.spell(text, trajectory.start.model)) : [];
    if (text !== this.input.value || position !== this.position) return;
    this.told.textContent = answer.problem || '';
    const gaps = this.edit.gaps();
    const options = answer.problem ? [] : answer.map((option) => this.#option(option, gaps));
    if (this.about.afterSpace) options.reverse();
    this.options.replaceChildren(...options);
  }

  #option({ text, tokens, w }, gaps) {
    const { trajectory, position } = this.about;
    const size = `${tokens.length} token${tokens.length === 1 ? '' : 's'}`;
    const [first, end] = gaps.find(([from, to]) => from <= position && position < to);
    const from = Math.min(position, end - tokens.length);
    const put = () => {
      trajectory.learn(w);
      this.edit.put(tokens.map((token, k) => [from + k, token]));
    };
    if (from >= first) {
      const where = from < position ? `, ${position - from} earlier` : '';
      return this.#button(`Put “${visible(text)}” here: ${size}${where}`, put);
    }
    const room = end - first;
    const wide = gaps.find(([a, b]) => b - a >= tokens.length);
    const says = `“${visible(text)}” makes ${size}, and this gap has ${room}.`;
    if (!wide) return node('p', {}, `${says} Shorten it, or mask ${tokens.length - room} more beside it.`);
    const go = this.#button(`a gap of ${wide[1] - wide[0]}`, () => this.edit.visit(wide[0]));
    return node('p', {}, `${says} It fits in `, go, '.');
  }
}
