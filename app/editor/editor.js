/* The editor of a text with holes: as words to be masked, or as text to be typed. */

const RANDOM_SHARE = 0.3;
const HINT =
  'Click words to mask them, or drag across several. Arrow keys move, M masks, U unmasks.';
const TYPING_HINT =
  'Write [[words]] or [MASK] for what is to be filled in; brackets and bars cannot stand inside.';

class Editor {
  /** `store` takes each new text; `measure` asks the server what it makes of one. */
  constructor(root, examples, store, measure) {
    this.root = root;
    this.store = store;
    this.measure = measure;
    this.model = null;
    this.text = '';
    this.past = [];
    root.classList.add('md-editor');
    this.words = new Words(
      (atoms) => this.set(writeAtoms(atoms)),
      () => this.#describe(),
      () => this.back(),
    );
    this.area = node('textarea', {
      class: 'md-area',
      'aria-label': 'Text with holes',
      placeholder: 'Type or paste a text. [[words]] are masked, and [MASK] is one more masked token.',
      rows: 5,
    });
    this.area.addEventListener('input', () => this.set(this.area.value));
    this.words.box.addEventListener('paste', (event) => {
      event.preventDefault();
      this.set(event.clipboardData.getData('text/plain').replace(/\r\n?/g, '\n'));
    });
    this.#build(examples);
  }

  #build(examples) {
    const act = (label, action, extra = {}) =>
      node('button', { type: 'button', onclick: action, ...extra }, ...[label].flat());
    const key = (name) => node('kbd', { 'aria-hidden': 'true' }, name);
    this.typing = act('Edit text', () => this.type(this.area.hidden), { class: 'md-typing' });
    this.tools = [
      act(['Mask', key('M')], () => this.words.mask(), { title: 'Mask the selected words (M)' }),
      act(['Unmask', key('U')], () => this.words.unmask(), { title: 'Unmask them (U)' }),
      act('Mask a random 30 %', () =>
        this.set(writeAtoms(maskAtRandom(readAtoms(this.text), RANDOM_SHARE))),
      ),
      act('Unmask all', () => this.set(writeAtoms(unmaskAtoms(readAtoms(this.text), 0, Infinity)))),
    ];
    this.undo = act('Undo', () => this.back(), { title: 'Undo (Ctrl+Z)', disabled: '' });
    this.about = node('span', { class: 'md-about' });
    this.less = act('−', () => this.words.resize(-1), { 'aria-label': 'Shorter hole', title: 'Shorter (−)' });
    this.size = node('span', { class: 'md-size' });
    this.more = act('+', () => this.words.resize(1), { 'aria-label': 'Longer hole', title: 'Longer (+)' });
    this.length = node('span', { class: 'md-length' }, this.less, this.size, this.more);
    this.facts = node('p', { class: 'md-facts' });
    this.root.append(
      node(
        'div',
        { class: 'md-examples', role: 'group', 'aria-label': 'Examples' },
        node('span', {}, 'Try'),
        ...examples.map(([name, text]) => act(name, () => this.set(text, false))),
      ),
      node('div', { class: 'md-tools', role: 'group', 'aria-label': 'Masking' }, ...this.tools, this.undo, this.typing),
      node('div', { class: 'md-sheet' }, this.words.box, this.area),
      node('div', { class: 'md-foot' }, node('div', { class: 'md-which' }, this.about, this.length), this.facts),
    );
  }

  /** Show a text that comes from elsewhere. */
  open(text) {
    this.past = [];
    this.#show(text || '');
    this.type(!text);
  }

  /** Take a new text; `typing` says whether the visitor goes on typing. */
  set(text, typing = !this.area.hidden) {
    if (text === this.text) return;
    this.past.push(this.text);
    this.past.splice(0, this.past.length - 100);
    this.#show(text);
    this.store(text);
    if (typing !== !this.area.hidden) this.type(typing);
  }

  /** A result as the new text; Undo brings the old one back. */
  take(text) {
    this.set(text, false);
    this.root.scrollIntoView({ block: 'nearest' });
    this.words.box.querySelector('[tabindex="0"]')?.focus({ preventScroll: true });
  }

  back() {
    if (!this.past.length) return;
    this.#show(this.past.pop());
    this.store(this.text);
  }

  /** Switch between typing and words. */
  type(on) {
    this.area.hidden = !on;
    this.words.box.hidden = on;
    for (const tool of this.tools.slice(0, 2)) tool.disabled = on;
    this.typing.textContent = on ? 'Show words' : 'Edit text';
    if (this.root.contains(document.activeElement) && on) this.area.focus();
    this.#describe();
  }

  #show(text) {
    this.text = text;
    this.undo.disabled = !this.past.length;
    if (this.area.value !== text) this.area.value = text;
    this.words.show(readAtoms(text));
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), 120);
  }

  /** Ask how many tokens the text and each hole have; of several answers the last one counts. */
  async refresh() {
    const asked = this.text;
    const facts = await this.measure(asked, this.model);
    if (asked !== this.text) return;
    this.facts.replaceChildren();
    this.facts.classList.toggle('md-problem', Boolean(facts.problem));
    this.facts.append(facts.problem || this.#sum(facts));
    this.words.count(facts.holes || []);
    this.#describe();
  }

  #sum({ tokens, length, holes }) {
    const masked = holes.reduce((a, b) => a + b, 0);
    const inside = holes.length ? ` · ${masked} masked in ${holes.length} hole${holes.length === 1 ? '' : 's'}` : '';
    return `${tokens} of ${length} tokens${inside || ' · nothing masked yet'}`;
  }

  #describe() {
    if (!this.length) return;
    const { hole } = this.words;
    const shown = Boolean(hole?.masks) && this.area.hidden;
    this.length.hidden = !shown;
    if (!shown) {
      this.about.textContent = this.area.hidden ? this.words.refusal || HINT : TYPING_HINT;
      return;
    }
    const words = hole.words.length > 40 ? `${hole.words.slice(0, 38)}…` : hole.words;
    this.about.textContent = words ? `Hole in place of “${words}”` : 'Hole';
    this.size.textContent = `${hole.masks} token${hole.masks === 1 ? '' : 's'}`;
    this.less.setAttribute('aria-disabled', String(hole.masks <= 1)); // it keeps the focus
  }
}
