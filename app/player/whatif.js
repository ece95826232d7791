/* What if the temperature or top-p were others: the shown candidates anew, from what is known of
   them. Of the rest of the vocabulary only the sum is known and that none of it is likelier than
   the last candidate, so a share is a range where the rest matters. */

/** The least and the most that the rest can weigh at a temperature: the sum of p^(1/T) over it. */
function restWeight(rest, count, top, power) {
  if (count <= 0 || rest <= 0) return [0, 0];
  const spread = Number.isFinite(count) ? count * (rest / count) ** power : power < 1 ? Infinity : 0;
  const most = Math.max(top, rest / count);
  const full = Math.min(count, Math.floor(rest / most));
  const heaped = full * most ** power + Math.max(0, rest - full * most) ** power;
  return power === 1 ? [rest, rest] : [Math.min(spread, heaped), Math.max(spread, heaped)];
}

/** Shares of candidates in order, once the rest weighs so much: each [low, high], and the rest. */
function nucleus(weights, rest, topP) {
  const total = weights.reduce((a, b) => a + b, 0) + rest;
  let before = 0;
  const kept = weights.filter((weight) => {
    const keeps = before < topP * total;
    before += weight;
    return keeps;
  });
  const known = kept.reduce((a, b) => a + b, 0);
  const inside = kept.length < weights.length || known >= topP * total || rest <= 0;
  // Else some of the rest is kept: enough to reach topP, and at most one token more than that.
  const least = inside ? known : topP * total;
  const most = inside ? known : Math.min(total, topP * total + weights[weights.length - 1]);
  return { kept: kept.length, least, most };
}

/**
 * Candidates after temperature, then top-p: the smallest set whose mass is at least p.
 * @param probabilities of the likeliest tokens, in order, at temperature 1.
 * @param vocabulary how many tokens there are in all.
 * @returns {shares: [low, high] for each, rest: [low, high]}; low = high where it is exact.
 */
function reshape(probabilities, vocabulary, temperature, topP) {
  const sum = probabilities.reduce((a, b) => a + b, 0);
  const count = vocabulary - probabilities.length;
  const rest = count > 0 ? Math.max(0, 1 - sum) : 0;
  if (temperature === 0) {
    const shares = probabilities.map((p) => (p === probabilities[0] ? 1 : 0));
    const ties = shares.filter(Boolean).length;
    return { shares: shares.map((share) => [share / ties, share / ties]), rest: [0, 0] };
  }
  const power = 1 / temperature;
  const weights = probabilities.map((p) => p ** power);
  const [light, heavy] = restWeight(rest, count, probabilities[probabilities.length - 1], power);
  const near = nucleus(weights, light, topP);
  const far = nucleus(weights, heavy, topP);
  let before = 0;
  const shares = weights.map((weight, k) => {
    before += weight;
    if (k >= far.kept) return [0, 0];
    if (k >= near.kept) return [0, weight / before];
    return [weight / far.most, weight / near.least];
  });
  const all = (one) => weights.slice(0, one.kept).reduce((a, b) => a + b, 0);
  const low = Math.max(0, 1 - all(near) / near.least);
  return { shares, rest: [low, Math.max(0, 1 - all(far) / far.most)] };
}

class WhatIf {
  constructor(changed) {
    this.changed = changed;
    this.temperature = this.#slider('Temperature', { min: 0, max: 2, step: 0.05 });
    this.topP = this.#slider('Top-p', { min: 0.05, max: 1, step: 0.01 });
    const preset = (label, action) => node('button', { type: 'button', onclick: action }, label);
    this.asRun = preset('As in this run', () => this.#set(this.run.temperature, this.run.topP));
    this.summary = node('summary', {});
    this.box = node(
      'details',
      { class: 'md-whatif' },
      this.summary,
      node(
        'div',
        { class: 'md-whatif-panel' },
        this.temperature.label,
        this.topP.label,
        node('div', {}, preset('As the model', () => this.#set(1, 1)), this.asRun),
        node(
          'p',
          {},
          'Computed from these shares and the sum of all others; a range where it depends on how ' +
            'the others share theirs. The run stays as it is.',
        ),
      ),
    );
    this.#set(1, 1);
  }

  /** What another run was sampled with. */
  load({ start }) {
    const of = (name) => (start.filters || []).find((filter) => filter.name === name) || {};
    this.run = { temperature: of('temperature').temperature ?? 1, topP: of('top_p').p ?? 1 };
    this.asRun.hidden = this.run.temperature === 1 && this.run.topP === 1;
  }

  /** Shares of candidates as `reshape` has them; the vocabulary's size may be unknown. */
  reshape(probabilities, vocabulary = Infinity) {
    return reshape(probabilities, vocabulary, this.temperature.value, this.topP.value);
  }

  /** What the sliders say, or nothing if they say what the model does. */
  get words() {
    const [temperature, topP] = [this.temperature.value, this.topP.value];
    if (temperature === 1 && topP === 1) return '';
    return `What if temperature ${temperature.toFixed(2)}, top-p ${topP.toFixed(2)}`;
  }

  #slider(name, range) {
    const output = node('output', {});
    const input = node('input', { type: 'range', ...range, 'aria-label': `What if: ${name}` });
    const slider = { label: node('label', {}, node('span', {}, name), input, output), input };
    slider.set = (value) => {
      slider.value = value;
      input.value = value;
      input.style.setProperty('--share', (value - range.min) / (range.max - range.min));
      output.textContent = value.toFixed(2);
    };
    input.addEventListener('input', () => {
      slider.set(Number(input.value));
      this.#tell();
    });
    return slider;
  }

  #set(temperature, topP) {
    this.temperature.set(temperature);
    this.topP.set(topP);
    this.#tell();
  }

  #tell() {
    this.summary.textContent = this.words || 'What if';
    this.changed();
  }
}
