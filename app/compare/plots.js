/* The charts of a comparison: what schedules plan, as Python sent it, and what runs did of it. */

class Plots {
  constructor() {
    this.alpha = new Chart('Share still clean', 'alpha(t)', 't = 0', 't = 1');
    this.weight = new Chart('Weight in the loss, log scale', 'weight(t)', 't = 0', 't = 1');
    this.pace = LETTERS.map((letter) => new Chart(`${letter}: tokens in each step`, 'reveal(s, t)', 'first step', 'last step'));
    this.order = new Chart('Which position goes when', '', 'first step', 'last step');
    const note = 'Bars: what happened. Line: what the schedule expects.';
    this.told = node('p', { class: 'md-order', role: 'status' });
    this.box = node(
      'div',
      { class: 'md-charts' },
      this.alpha.box,
      this.weight.box,
      ...this.pace.map((chart) => chart.box),
      this.order.box,
    );
    this.legend = node('p', { class: 'md-chart-note' }, note);
    this.order.box.hidden = true;
    this.counts = [];
    this.curves = [];
  }

  /** Curves of each panel; `fits` tells of each whether the counts are of the same settings. */
  plan(curves, fits, free) {
    this.curves = curves;
    this.fits = fits;
    this.free = free;
    drawSchedules(this.alpha, this.weight, curves);
    this.#paces();
  }

  /** What the runs revealed in each step, a list of [step, count] for each panel. */
  grow(counts) {
    this.counts = counts;
    this.#paces();
  }

  #paces() {
    const shown = this.curves.map((_, panel) => (this.fits[panel] && this.counts[panel]) || []);
    const expected = this.curves.map(({ shares }) => shares.map((share) => share * this.free));
    const top = Math.max(1, ...expected.flat(), ...shown.flat().map(([, count]) => count));
    this.pace.forEach((chart, panel) => {
      chart.box.hidden = !this.curves[panel];
      if (chart.box.hidden) return;
      const steps = expected[panel].length;
      const plan = expected[panel].map((count, k) => [(k + 0.5) / steps, count]);
      const bars = new Array(steps).fill(0);
      for (const [step, count] of shown[panel]) if (step >= 1 && step <= steps) bars[step - 1] += count;
      const done = bars.map((count, k) => [k / steps, count]);
      const most = Math.max(...bars);
      chart.draw(
        [{ panel, kind: 'bars', points: most ? done : [] }, { panel, kind: 'line', points: plan }],
        top,
        `${Math.ceil(top)}`,
        `${LETTERS[panel]}: ${steps} steps, at most ${Math.max(...expected[panel]).toFixed(1)} tokens expected in one` +
          (most ? `, at most ${most} revealed in one` : ''),
      );
    });
  }

  /** The positions in their common order, and when each of them went, as a share of the run. */
  ordered(order, when, agreed, why) {
    this.told.textContent = why;
    this.order.box.hidden = !order.length;
    const marks = when.map((shares, panel) => ({
      panel,
      kind: 'line',
      points: order.map((position, rank) => [shares.get(position), (rank + 1) / order.length]),
    }));
    const said = agreed ? 'every line only ever rises: the order is the same' : 'the lines go back and forth: the orders differ';
    this.order.draw(marks, 1, `${order.length}`, `Rank of each position over the time of its reveal; ${said}`);
  }

  unordered() {
    this.told.textContent = '';
    this.order.box.hidden = true;
  }

  mark(share) {
    for (const chart of [...this.pace, this.order]) chart.mark(share);
  }
}
