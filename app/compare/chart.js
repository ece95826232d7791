/* A chart: lines and bars over [0, 1] x [0, top], a colour and a dash for each panel. */

const LETTERS = ['A', 'B', 'C'];
const DECADES = [-2, 2]; // of the weight that are drawn

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

/** Alpha and weight of some schedules, each with a colour and dash of its own. */
function drawSchedules(alpha, weight, curves) {
  const points = (values, from, change) => values.map((value, k) => [(k + from) / (values.length - 1 + from), change(value)]);
  const lines = (key, from, change) => curves.map((curve, panel) => ({ panel, kind: 'line', points: points(curve[key], from, change) }));
  alpha.draw(lines('alphas', 0, (value) => value), 1, '1', `alpha of ${curves.length} schedules, from 1 at t = 0 to 0 at t = 1`);
  const [low, high] = DECADES;
  const height = (value) => Math.max(0, Math.min(high, Math.log10(value)) - low);
  const about = `loss weight of ${curves.length} schedules, log scale from ${10 ** low} to ${10 ** high}`;
  weight.draw(lines('weights', 1, height), high - low, `${10 ** high}`, about);
}

/** A stroke of a panel's line, for legends. */
function stroke(panel) {
  const line = drawing('path', { class: 'md-line', 'data-panel': panel, d: 'M0 3H24' });
  return drawing('svg', { viewBox: '0 0 24 6', width: 24, height: 6, 'aria-hidden': 'true' }, line);
}
