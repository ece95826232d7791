/* A chart: lines and bars over [0, 1] x [0, top], a colour and a dash for each panel. */

const LETTERS = ['A', 'B', 'C'];

class Chart {
  /** @param code the name that what is drawn has in the code, or '' */
  constructor(title, code, left, right) {
    this.top = node('span', { class: 'md-chart-top' });
    this.lines = drawing('svg', { viewBox: '0 0 1000 1000', preserveAspectRatio: 'none', role: 'img' });
    const caption = node('figcaption', {}, node('span', {}, title));
    if (code) caption.append(node('code', {}, code));
    this.box = node(
      'figure',
      { class: 'md-chart' },
      caption,
      node('div', { class: 'md-plot' }, this.top, this.lines),
      node('p', { class: 'md-axis' }, node('span', {}, left), node('span', {}, right)),
    );
  }

  /**
   * @param marks [{panel, points: [[x, y], ...], kind: 'line' | 'bars'}, ...]
   * @param about what a screen reader says of them
   */
  draw(marks, top, label, about) {
    this.top.textContent = label;
    this.lines.setAttribute('aria-label', about);
    this.head = drawing('path', { class: 'md-head', 'vector-effect': 'non-scaling-stroke' });
    this.lines.replaceChildren(...marks.map((mark) => Chart.#path(mark, top)), this.head);
  }

  /** A line across, at a share of the width; none for null. */
  mark(share) {
    this.head?.setAttribute('d', share === null ? '' : `M${(1000 * share).toFixed(1)} 0V1000`);
  }

  static #path({ panel, points, kind }, top) {
    const at = ([x, y]) => `${(1000 * x).toFixed(1)} ${(1000 - (980 * Math.min(y, top)) / (top || 1)).toFixed(1)}`;
    const attributes = { class: `md-${kind === 'bars' ? 'bars' : 'line'}`, 'data-panel': panel, 'vector-effect': 'non-scaling-stroke' };
    if (kind === 'line') return drawing('path', { ...attributes, d: points.length ? `M${points.map(at).join('L')}` : '' });
    let d = '';
    points.forEach(([x, y], k) => {
      const [left, height] = at([x, y]).split(' ');
      const right = (1000 * (points[k + 1]?.[0] ?? 1)).toFixed(1);
      d += `M${left} 1000V${height}H${right}V1000`;
    });
    return drawing('path', { ...attributes, d });
  }
}
