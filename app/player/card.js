/* The card that tells what is known of one token, and what can be done with it. */

const CROSS = 'M6 5l6 6 6-6 1 1-6 6 6 6-1 1-6-6-6 6-1-1 6-6-6-6z';

class Card {
  /** `tools` may be null: then nothing can be edited. */
  constructor(box, whatIf, tools) {
    this.box = box;
    this.tools = tools;
    this.whatIf = whatIf;
    this.pinned = false;
    this.title = node('strong', { class: 'md-card-title' });
    this.facts = node('p', { class: 'md-card-facts' });
    this.candidates = new Candidates(whatIf);
    this.face = node('div', { class: 'md-card', role: 'group', 'aria-label': 'Token', hidden: '' });
    this.face.append(this.title, this.facts, this.candidates.box);
    if (tools) this.face.append(tools.box);
    this.face.append(whatIf.box, button('Close', CROSS, () => this.#close(), { class: 'md-close' }));
    new ResizeObserver(() => this.#settle()).observe(this.face);
    new ResizeObserver(() => this.anchor && this.#place()).observe(box);
    document.addEventListener('pointerdown', ({ target }) => {
      const own = this.face.contains(target) || target.closest?.('.md-token, .md-sheet');
      if (!own && (box.contains(target) || !box.parentNode.contains(target))) this.hide();
    });
    box.addEventListener('focusout', ({ relatedTarget }) => {
      if (relatedTarget && !box.parentNode.contains(relatedTarget)) this.hide();
    });
    this.face.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      event.stopPropagation();
      this.#close();
    });
  }

  /** Show what `describe` says beside an element; a pinned card outlives the pointer. */
  show(anchor, pinned, describe) {
    if (this.pinned && !pinned) return;
    this.pinned = pinned;
    this.anchor = anchor;
    this.describe = describe;
    this.face.hidden = false;
    this.refresh();
    this.#place();
  }

  leave() {
    if (!this.pinned) this.hide();
  }

  hide() {
    this.pinned = false;
    this.anchor = null;
    this.face.hidden = true;
  }

  #close() {
    this.anchor?.focus();
    this.hide();
  }

  /** Keys on the token that the card tells of; returns whether the key was one of them. */
  key({ key }) {
    if (key === 'Escape') this.hide();
    else if (!this.editable) return false;
    else if (/^[1-9]$/.test(key)) this.#buttons[Number(key) - 1]?.click();
    else if (/^(m|delete|backspace)$/i.test(key)) this.tools.mask();
    else if (/^u$/i.test(key)) this.tools.edit.undo();
    else if (key === 'Enter') this.#enter();
    else return false;
    return true;
  }

  get #buttons() {
    return [...this.candidates.list.querySelectorAll('button')];
  }

  /** Move the focus to where one types, or to the first thing that can be used. */
  #enter() {
    const { input } = this.tools;
    const things = [input, ...this.face.querySelectorAll('button')];
    things.find((thing) => thing.offsetParent)?.focus();
  }

  /** Write the card anew, after the step or the token that is shown has changed. */
  refresh() {
    if (!this.anchor) return;
    const about = this.describe();
    const editable = Boolean(this.tools && this.pinned && !this.tools.edit.busy());
    this.editable = editable;
    this.title.textContent = about.title;
    this.facts.textContent = this.#facts(about);
    this.summary = `${this.title.textContent}. ${this.facts.textContent}`;
    this.face.classList.toggle('md-held', this.pinned);
    if (this.tools) this.tools.box.hidden = !editable;
    if (editable) this.tools.show(about);
    this.candidates.show({
      trajectory: about.trajectory,
      ...this.#offered(about, editable),
      current: about.event?.token,
      pinned: this.pinned,
      shade: about.shade,
      choose: editable ? (token) => this.tools.choose(token) : null,
    });
    this.whatIf.box.hidden = !this.pinned || this.candidates.box.hidden;
  }

  /** The candidates to show, and where they come from if that is not plain. */
  #offered(about, editable) {
    const { trajectory, position, event, step, next } = about;
    if (!editable) return { candidates: event?.candidates };
    const asked = about.masked && this.tools.outlook(about);
    if (asked) return { candidates: asked, caption: 'What the model expects in this frame.' };
    if (event?.candidates?.length) return { candidates: event.candidates };
    const source = [trajectory.at(position, step), next].find((one) => one?.candidates?.length);
    return source
      ? { candidates: source.candidates, caption: `When it was revealed, at step ${source.step}.` }
      : {};
  }

  #facts({ trajectory, event, next, masked, pending, whole }) {
    if (masked && pending) return 'Masked again by you.';
    if (masked) return next ? `To be revealed at step ${next.step}.` : 'Not revealed yet.';
    if (pending) return 'Put here by you. It stays when the run goes on.';
    if (event.edited) return `Put here by you at step ${event.step}. It stays.`;
    if (event.given) return 'Given: it was there from the start and stays.';
    if (event.kept) return 'It was there when this run began.';
    const { t } = trajectory.info(event.step);
    const part = whole ? ` It is a part of “${whole}”.` : '';
    const silent = event.candidates.length ? '' : ' In a long run, tokens that return bring no candidates.';
    return (
      `Revealed at step ${event.step} (t=${t.toFixed(2)}) with probability ` +
      `${percent(event.probability)}. Entropy ${event.entropy.toFixed(1)} bits.${part}${silent}`
    );
  }

  /** Below the anchor if there is room in the window, else above; never outside the box. */
  #place() {
    const box = this.box.getBoundingClientRect();
    const anchor = this.anchor.getClientRects()[0] || this.anchor.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.face;
    const left = Math.min(anchor.left - box.left, box.width - width - 8);
    const controls = this.box.parentNode.querySelector('.md-bottom').getBoundingClientRect();
    const below = anchor.bottom + 8;
    const above = anchor.top - height - 8;
    const fits = below + height + 8 < Math.min(window.innerHeight, controls.top);
    const top = fits || above < 8 ? below : above;
    this.face.style.left = `${Math.max(8, left)}px`;
    this.face.style.top = `${top - box.top}px`;
    this.#settle();
  }

  /** A card that has grown moves up, just as far as it takes to be seen whole. */
  #settle() {
    const { top, bottom } = this.face.getBoundingClientRect();
    const beyond = Math.min(bottom - window.innerHeight + 8, top - 8);
    if (!this.pinned || beyond <= 0 || top > window.innerHeight) return;
    this.face.style.top = `${parseFloat(this.face.style.top) - beyond}px`;
  }
}
