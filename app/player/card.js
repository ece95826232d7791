/* The card that tells what is known of one token. */

class Card {
  constructor(box) {
    this.box = box;
    this.pinned = false;
    this.title = node('strong', { class: 'md-card-title' });
    this.facts = node('p', { class: 'md-card-facts' });
    this.list = node('ol', { class: 'md-candidates' });
    this.face = node('div', { class: 'md-card', role: 'tooltip', hidden: '' });
    this.face.append(this.title, this.facts, this.list);
    box.append(this.face);
  }

  /** Show what `describe` says beside an element; a pinned card outlives the pointer. */
  show(anchor, pinned, describe) {
    if (this.pinned && !pinned) return;
    this.pinned = pinned;
    this.anchor = anchor;
    this.describe = describe;
    this.face.hidden = false;
    this.refresh();
  }

  leave() {
    if (!this.pinned) this.hide();
  }

  hide() {
    this.pinned = false;
    this.anchor = null;
    this.face.hidden = true;
  }

  /** Write the card anew, after the step that is shown has changed. */
  refresh() {
    if (!this.anchor) return;
    const { trajectory, event, next } = this.describe();
    if (event && event.token !== null) this.#token(trajectory, event);
    else this.#mask(next);
    this.#place();
  }

  #token(trajectory, event) {
    const piece = visible(trajectory.piece(event.token));
    this.title.textContent = piece;
    this.list.replaceChildren();
    if (event.given) {
      this.facts.textContent = 'Given: it was there from the start and stays.';
    } else {
      const { t } = trajectory.info(event.step);
      this.facts.textContent =
        `Revealed at step ${event.step} (t=${t.toFixed(2)}) with probability ` +
        `${percent(event.probability)}. Entropy ${event.entropy.toFixed(1)} bits.`;
      for (const candidate of event.candidates) this.#candidate(trajectory, event, candidate);
    }
    this.summary = `${piece}. ${this.facts.textContent}`;
  }

  #mask(next) {
    this.title.textContent = 'Masked';
    this.facts.textContent = next ? `To be revealed at step ${next.step}.` : 'Not revealed yet.';
    this.list.replaceChildren();
    this.summary = `Masked. ${this.facts.textContent}`;
  }

  #candidate(trajectory, event, { token, logProbability }) {
    const share = Math.exp(logProbability);
    const row = node(
      'li',
      { class: token === event.token ? 'md-chosen' : '' },
      node('span', { class: 'md-candidate-word' }, visible(trajectory.piece(token))),
      node('span', { class: 'md-bar' }, node('span', {})),
      node('span', { class: 'md-candidate-share' }, percent(share)),
    );
    row.querySelector('.md-bar > span').style.width = `${100 * share}%`;
    this.list.append(row);
  }

  /** Below the anchor if there is room in the window, else above; never outside the box. */
  #place() {
    const box = this.box.getBoundingClientRect();
    const anchor = this.anchor.getClientRects()[0] || this.anchor.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.face;
    const left = Math.min(anchor.left - box.left, box.width - width - 8);
    const below = anchor.bottom - box.top + 8;
    const fits = anchor.bottom + height + 16 < window.innerHeight;
    const top = fits ? below : anchor.top - box.top - height - 8;
    this.face.style.left = `${Math.max(8, left)}px`;
    this.face.style.top = `${top}px`;
  }
}
