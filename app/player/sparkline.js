/* The share of positions still masked, step by step, over what the schedule expects. */

class Sparkline {
  constructor(box, seek) {
    const still = { 'vector-effect': 'non-scaling-stroke' };
    this.plan = drawing('path', { class: 'md-plan', ...still });
    this.past = drawing('path', { class: 'md-past', ...still });
    this.head = drawing('path', { class: 'md-head', ...still });
    this.chart = drawing('svg', {
      class: 'md-sparkline',
      viewBox: '0 0 1000 100',
      preserveAspectRatio: 'none',
      role: 'img',
      'aria-label': 'Share of positions still masked, over the share that the schedule expects',
    });
    this.chart.append(this.plan, this.past, this.head);
    box.append(this.chart);
    this.chart.addEventListener('pointerdown', (event) => this.#drag(event, seek));
    this.chart.addEventListener('pointermove', (event) => {
      if (event.buttons) this.#drag(event, seek);
    });
  }

  #drag(event, seek) {
    const { left, width } = this.chart.getBoundingClientRect();
    seek(Math.round((this.trajectory.steps * (event.clientX - left)) / width));
  }

  load(trajectory) {
    this.trajectory = trajectory;
    const { plan, steps } = trajectory;
    const points = plan.map(({ step, share }) => [(1000 * step) / steps, 100 - 96 * share]);
    const area = [[0, 100], ...points, [1000, 100]];
    this.plan.setAttribute('d', `M${area.map((p) => p.map((v) => v.toFixed(1)).join(' ')).join('L')}Z`);
    this.grow();
  }

  grow() {
    const { frames, steps, free } = this.trajectory;
    let path = '';
    for (const { step, masked } of frames) {
      const x = ((1000 * step) / steps).toFixed(1);
      const y = (100 - (96 * masked) / (free || 1)).toFixed(1);
      path += path ? `H${x}V${y}` : `M${x} ${y}`;
    }
    this.past.setAttribute('d', path);
  }

  show(step) {
    this.head.setAttribute('d', `M${((1000 * step) / (this.trajectory.steps || 1)).toFixed(1)} 0V100`);
  }
}
