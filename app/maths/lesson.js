/* The maths, to be tried: a sentence at any time t, the weight there, and learned exponents. */

const NOBODY =
  'None of the models here learned its schedule. Train one with python -m training.train letters-genmd4 --data FOLDER, ' +
  'start the page with --checkpoints runs/letters-genmd4, and its exponents are shown here.';

class Lesson {
  /** @param data as app/formulas.py gives it; @param ask learned(name or null) of the server */
  constructor(root, data, ask) {
    this.data = data;
    this.ask = ask;
    root.classList.add('md-comparison', 'md-lesson');
    this.exponents = node('div', { class: 'md-player md-outcome' });
    root.append(
      heading('A sentence at time t'),
      this.#trial(),
      heading('The schedules and their weights'),
      this.#charts(),
      heading('What a learned schedule says'),
      this.exponents,
      heading('Formulas, and their names in the code'),
      this.#formulas(),
    );
    this.#show();
    this.open(null);
  }

  #trial() {
    this.slider = node('input', { type: 'range', class: 'md-scrub', min: 0, max: 1000, value: 400, 'aria-label': 'Time t' });
    this.slider.addEventListener('input', () => this.#show());
    this.menu = node('select', { class: 'md-speed', 'aria-label': 'Schedule' });
    for (const [k, { name }] of this.data.schedules.entries()) this.menu.append(node('option', { value: k }, name));
    this.menu.addEventListener('input', () => this.#show());
    this.about = node('p', { class: 'md-chart-note' });
    this.readout = node('p', { class: 'md-lesson-readout' });
    this.words = this.data.words.map(([word]) => node('span', { class: 'md-word' }, word));
    const text = node('p', { class: 'md-sentence' });
    for (const word of this.words) text.append(word, ' ');
    const choice = node('label', { class: 'md-lesson-menu' }, 'Schedule ', this.menu);
    return node('div', { class: 'md-player md-outcome' }, text, this.slider, this.readout, choice, this.about);
  }

  #charts() {
    const { schedules } = this.data;
    this.alpha = new Chart('Share still clean', 'alpha(t)', 't = 0', 't = 1');
    this.weight = new Chart('Weight in the loss, log scale', 'weight(t)', 't = 0', 't = 1');
    drawSchedules(this.alpha, this.weight, schedules);
    const legend = node('p', { class: 'md-lesson-legend' });
    schedules.forEach(({ name }, panel) => legend.append(node('span', { class: 'md-badge' }, stroke(panel), name)));
    const charts = node('div', { class: 'md-charts' }, this.alpha.box, this.weight.box);
    const note = node(
      'p',
      { class: 'md-chart-note' },
      'What counts much is seldom masked: weight(t) times the share that is masked, 1 − alpha, is −alpha′. ' +
        'Cosine is MD4’s, 1 − cos(π/2 (1 − t)).',
    );
    return node('div', { class: 'md-player md-outcome' }, legend, charts, note);
  }

  /** Between two points of a curve that begins at `from` and ends at t = 1. */
  static #between(values, t, from) {
    const place = Math.max(0, t * (values.length - 1 + from) - from);
    const low = Math.min(Math.floor(place), values.length - 2);
    return values[low] + (place - low) * (values[low + 1] - values[low]);
  }

  #show() {
    const t = Number(this.slider.value) / 1000;
    const { name, about, alphas, weights } = this.data.schedules[Number(this.menu.value)];
    const alpha = Lesson.#between(alphas, t, 0);
    let masked = 0;
    this.data.words.forEach(([, u], k) => {
      const clean = u < alpha;
      masked += !clean;
      this.words[k].dataset.state = clean ? 'shown' : 'masked';
      this.words[k].setAttribute('aria-hidden', String(!clean));
    });
    const weight = t * weights.length < 1 ? 'off the chart' : Lesson.#between(weights, t, 1).toFixed(2);
    const told =
      `t=${t.toFixed(2)} · alpha=${alpha.toFixed(2)} · ${masked} of ${this.words.length} words masked · ` +
      `each counts weight(t) = ${weight} times its cross entropy`;
    this.readout.textContent = told;
    this.slider.setAttribute('aria-valuetext', told);
    this.slider.style.setProperty('--share', t);
    this.about.textContent = `${name}: ${about}`;
    this.alpha.mark(t);
    this.weight.mark(t);
  }

  /** Show the exponents of a model that learned some. */
  async open(name) {
    const answer = await this.ask(name);
    const { models, problem } = answer;
    if (problem || !models.length) {
      this.exponents.replaceChildren(node('p', {}, problem || NOBODY));
      return;
    }
    const menu = node('select', { class: 'md-speed', 'aria-label': 'Model' });
    for (const model of models) menu.append(node('option', { value: model }, model));
    menu.value = answer.name;
    menu.addEventListener('input', () => this.open(menu.value));
    this.exponents.replaceChildren(node('label', { class: 'md-lesson-menu' }, 'Model ', menu), this.#meaning(answer), bars(answer.bars));
  }

  #meaning({ bars, tokens }) {
    const first = bars[0];
    const last = bars[bars.length - 1];
    const some = bars.length < tokens ? ` Of ${tokens.toLocaleString('en')} tokens, those at both ends are shown.` : '';
    return node(
      'p',
      {},
      `Each token v has alpha = 1 − t^w of its own. A small w is masked early by the forward process, and so revealed late: ` +
        `“${first[0]}” (w = ${first[1]}) comes last, “${last[0]}” (w = ${last[1]}) first.${some}`,
    );
  }

  #formulas() {
    const items = this.data.formulas.map(({ title, text, code, says }) =>
      node('li', {}, node('h3', {}, title), node('p', { class: 'md-formula' }, text), node('p', {}, says), node('code', {}, code)),
    );
    return node('div', { class: 'md-player md-outcome' }, node('ul', { class: 'md-formulas' }, ...items));
  }
}

const heading = (text) => node('h2', {}, text);

/** A bar for each token, from what is revealed last to what is revealed first. */
function bars(pairs) {
  const most = Math.max(...pairs.map(([, exponent]) => exponent));
  const rows = pairs.map(([title, exponent]) => {
    const bar = node('div', { class: 'md-exponent' });
    bar.style.width = `${(100 * exponent) / most}%`;
    const sign = /^#[0-9a-f]{6}$/.test(title) ? [swatch(title), ' '] : [];
    return node('tr', {}, node('th', { scope: 'row' }, ...sign, title), node('td', {}, bar), node('td', {}, String(exponent)));
  });
  const head = node('tr', {}, ...['token', 'exponent w: late above, early below', ''].map((text) => node('th', { scope: 'col' }, text)));
  return node('table', { class: 'md-exponents' }, node('thead', {}, head), node('tbody', {}, ...rows));
}
