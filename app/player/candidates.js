/* The likeliest tokens of a place with their shares, as the model gave them or as What if has them;
   buttons, if one may be chosen. */

/** A share as text; a range, in whole percent, where no more is known. */
function shareText([low, high]) {
  if (high === 0) return '0 %';
  if (high - low < 0.0005) return percent(low);
  return `${Math.floor(100 * low)}–${Math.ceil(100 * high)} %`;
}

class Candidates {
  constructor(whatIf) {
    this.whatIf = whatIf;
    this.caption = node('p', { class: 'md-card-caption' });
    this.list = node('ol', { class: 'md-candidates' });
    this.rest = node('p', { class: 'md-card-rest' });
    this.box = node('div', {}, this.caption, this.list, this.rest);
  }

  /** Show candidates; `choose` takes a token, null if there is nothing to choose. */
  show({ trajectory, candidates, caption, current, pinned, shade, choose }) {
    this.box.hidden = !candidates?.length;
    if (this.box.hidden) return;
    const probabilities = candidates.map(({ logProbability }) => Math.exp(logProbability));
    const { shares, rest } = this.whatIf.reshape(probabilities, trajectory.start.vocab);
    this.caption.textContent = [caption, pinned ? '' : this.whatIf.words].filter(Boolean).join(' ');
    this.caption.hidden = !this.caption.textContent;
    this.list.replaceChildren(
      ...candidates.map(({ token }, k) => {
        const word = visible(trajectory.piece(token));
        const row = this.#row(word, shares[k], shade?.(token));
        const attributes = { class: token === current ? 'md-chosen' : '' };
        if (!choose) return node('li', attributes, ...row);
        const label = `${k + 1}: ${word}, ${shareText(shares[k])}`;
        const pick = { type: 'button', class: 'md-pick', 'aria-label': label };
        if (token === current) pick['aria-pressed'] = 'true';
        const face = node('button', { ...pick, onclick: () => choose(token) }, ...row);
        return node('li', attributes, face);
      }),
    );
    this.rest.textContent = `All other ${shade ? 'values' : 'tokens'} together: ${shareText(rest)}`;
  }

  #row(word, [low, high], shade) {
    const sure = node('span', {});
    const perhaps = node('span', { class: 'md-perhaps' });
    sure.style.width = `${100 * low}%`;
    perhaps.style.width = `${100 * (high - low)}%`;
    return [
      node('span', { class: 'md-candidate-word' }, ...(shade ? [swatch(shade)] : []), word),
      node('span', { class: 'md-bar' }, sure, perhaps),
      node('span', { class: 'md-candidate-share' }, shareText([low, high])),
    ];
  }
}
