/* The figures of a comparison: a column a panel. */

const FIGURES = [
  ['Steps', 'steps', (value) => value.toLocaleString('en')],
  ['Network calls', 'nfe', (value) => value.toLocaleString('en')],
  ['Most tokens in one step', 'most_at_once', (value) => value.toLocaleString('en')],
  ['Mean entropy at reveal', 'entropy', (value) => `${value.toFixed(2)} bits`],
  ['Time', 'seconds', (value) => `${value.toFixed(2)} s`],
  ['Bits per token', 'bits_per_token', (value, row) => `${value.toFixed(2)} ± ${row.standard_error.toFixed(2)}`],
];

class Figures {
  constructor() {
    this.head = node('tr');
    this.body = node('tbody');
    this.table = node('table', { class: 'md-figures' }, node('thead', {}, this.head), this.body);
    this.box = node(
      'div',
      {},
      this.table,
      node(
        'p',
        { class: 'md-chart-note' },
        'Bits per token: what the finished sample costs under the model, an upper bound with its standard error; ' +
          'the same draws of noise for every panel. A text that repeats itself is cheap, so fewer bits are not a better text.',
      ),
    );
    this.box.hidden = true;
  }

  begin(count) {
    this.rows = new Array(count).fill(null);
    this.box.hidden = true;
  }

  take(panel, row) {
    this.rows[panel] = row;
    this.box.hidden = false;
    const corner = node('td', {});
    this.head.replaceChildren(corner, ...this.rows.map((_, k) => node('th', { scope: 'col' }, badge(k))));
    this.body.replaceChildren(...FIGURES.map(([label, key, write]) => this.#line(label, key, write)));
  }

  #line(label, key, write) {
    const cells = this.rows.map((row) => {
      const there = row && row[key] !== null && row[key] !== undefined;
      return node('td', {}, there ? write(row[key], row) : '–');
    });
    return node('tr', {}, node('th', { scope: 'row' }, label), ...cells);
  }
}

/** The letter of a panel, with a stroke of its line. */
function badge(panel) {
  return node('span', { class: 'md-badge' }, LETTERS[panel], stroke(panel));
}
