/* What became of the original: at each hole the old words struck, the new ones beside them. */

const CONTEXT_WORDS = 4; // shown of what is given between two holes

/** That what was given is unchanged: the server's count, not a claim. */
class Proof {
  constructor() {
    this.box = node('p', { class: 'md-proof', hidden: '' });
  }

  /** Of a run's end, if it has come; `size` tokens make one `thing`. */
  show(end, size = 1, thing = 'token') {
    this.box.hidden = !end || end.given === undefined;
    if (this.box.hidden) return;
    const given = Math.round(end.given / size);
    const lost = Math.ceil((end.given - end.kept) / size);
    this.box.classList.toggle('md-broken', lost > 0);
    const things = `${given} given ${thing}${given === 1 ? '' : 's'}`;
    this.box.textContent = lost
      ? `✗ ${lost} of ${things} changed, which must not happen. Please report it.`
      : `✓ ${things} unchanged, checked on the server`;
  }
}

class Difference {
  constructor() {
    this.proof = new Proof();
    this.line = node('p', { class: 'md-changes' });
    this.box = node(
      'div',
      { class: 'md-difference', role: 'group', 'aria-label': 'Changes to the original', hidden: '' },
      this.line,
      this.proof.box,
    );
  }

  load(trajectory) {
    this.trajectory = trajectory;
    const holes = (trajectory.start.holes || []).map(([start, count, words]) => ({ start, count, words }));
    this.holes = [...holes, ...(holes.length ? this.#edited() : [])].sort((a, b) => a.start - b.start);
    this.box.hidden = !this.holes.length;
    this.proof.box.hidden = true;
  }

  /** Given tokens that the visitor edited on the way: holes in place of what was given. */
  #edited() {
    const { positions } = this.trajectory;
    const holes = [];
    positions.forEach((events, start) => {
      if (!events[0]?.given || events[0].step || events.length === 1) return;
      const last = holes[holes.length - 1];
      if (last && last.start + last.count === start) last.count += 1;
      else holes.push({ start, count: 1 });
    });
    return holes.map((hole) => ({ ...hole, words: this.#text(hole.start, hole.start + hole.count, 0).trim() }));
  }

  show(step) {
    if (!this.holes.length) return;
    const { length } = this.trajectory;
    const ends = [0, ...this.holes.map(({ start, count }) => start + count)];
    const parts = this.holes.flatMap((hole, k) => [
      this.#given(ends[k], hole.start, k === 0, false),
      ...this.#hole(hole, step),
    ]);
    parts.push(this.#given(ends[ends.length - 1], length, false, true));
    this.line.replaceChildren(...parts);
    this.proof.show(this.trajectory.end);
  }

  #text(from, to, step) {
    const positions = Array.from({ length: to - from }, (_, k) => from + k);
    const tokens = positions.map((position) => this.trajectory.at(position, step)?.token ?? null);
    return this.trajectory.text(tokens, '▁');
  }

  /** Given text; its middle, or the end that is far from any hole, is left out if long. */
  #given(from, to, first, last) {
    const text = this.#text(from, to, 0);
    const words = text.match(/\s*\S+\s*?(?=\s|$)/g) || [];
    if (words.length <= 2 * CONTEXT_WORDS + 2) return text;
    const head = first ? '' : words.slice(0, CONTEXT_WORDS).join('');
    const tail = last ? '' : words.slice(-CONTEXT_WORDS).join('');
    return `${head} … ${tail.trimStart()}${last ? '' : text.match(/\s*$/)[0]}`;
  }

  #hole({ start, count, words }, step) {
    const text = this.#text(start, start + count, step);
    const [, lead, inner] = text.match(/^(\s*)([^]*)$/);
    const spoken = (word) => node('span', { class: 'md-spoken' }, word);
    const fresh = node('ins', {}, spoken('new: '), inner || '∅');
    if (!words) return [lead, fresh];
    if (words === inner.trim()) return [lead, node('ins', { class: 'md-same' }, spoken('as before: '), inner)];
    return [lead, node('del', {}, spoken('old: '), words), ' ', fresh];
  }
}
