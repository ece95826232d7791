/* Runs side by side: reads a comparison as it grows, and moves all its players with one transport. */

class Comparison {
  /** @param host what players take, and outline(panels, masked): curves, or {problem} */
  constructor(root, host) {
    this.root = root;
    this.host = host;
    this.players = [];
    this.first = '';
    root.classList.add('md-comparison');
    this.#build();
    root.addEventListener('keydown', (event) => {
      if (!event.defaultPrevented && this.panels && this.transport.key(event)) event.preventDefault();
    });
  }

  #build() {
    this.status = node('p', { class: 'md-status' }, 'Press Generate: all panels run together.');
    this.alert = node('div', { class: 'md-live', role: 'status', 'aria-live': 'polite' });
    this.stop = node('button', { type: 'button', class: 'md-stop', onclick: () => this.host.stop() }, 'Stop');
    this.sides = node('div', { class: 'md-sides' });
    this.plots = new Plots();
    this.figures = new Figures();
    const timeline = node('div', { class: 'md-controls' });
    this.transport = new Transport(
      timeline,
      (step) => this.#move(step),
      (step) => this.#say(step),
    );
    this.bottom = node('div', { class: 'md-player md-conductor', hidden: '' }, timeline);
    const now = node('div', { class: 'md-now' }, this.status, this.stop);
    this.overall = node('div', { class: 'md-player md-overall' }, now, this.alert);
    this.root.append(
      this.overall,
      this.sides,
      this.bottom,
      node('div', { class: 'md-player md-outcome' }, this.plots.told, this.plots.box, this.plots.legend, this.figures.box),
    );
  }

  /** Take in what is new of a comparison, or all of it if it is another one. */
  read(text) {
    if (!text) return;
    const first = text.slice(0, text.indexOf('\n'));
    if (first !== this.first) {
      this.first = first;
      this.taken = 0;
    }
    const end = text.lastIndexOf('\n') + 1;
    const fresh = text.slice(this.taken, end);
    this.taken = end;
    for (const line of fresh.split('\n')) if (line) this.#line(JSON.parse(line));
    this.texts.forEach((told, panel) => this.players[panel].read(told));
    this.#follow();
  }

  #line(line) {
    if (Array.isArray(line)) this.texts[line[0]] += `${JSON.stringify(line[1])}\n`;
    else if (line.compare) this.#begin(line);
    else if (line.state) this.#state(line);
    else if (line.curves) this.ran = line.curves;
    else if (line.row !== undefined) this.figures.take(line.row, line);
    else if (line.order) this.orders = line;
  }

  #begin({ panels, same_noise: same }) {
    Object.assign(this, { panels, same, texts: panels.map(() => ''), orders: null, ran: null });
    while (this.players.length < panels.length) this.#addPlayer();
    [...this.sides.children].forEach((side, panel) => {
      side.hidden = panel >= panels.length;
    });
    this.plots.unordered();
    this.plots.grow([]);
    this.figures.begin(panels.length);
    this.transport.pause();
    this.transport.limit(0, 0);
  }

  #addPlayer() {
    const panel = this.players.length;
    const mount = node('div', { 'data-quiet': '' });
    const title = node('h2', {}, badge(panel), node('span', { class: 'md-side-name' }));
    this.sides.append(node('section', { class: 'md-side', 'data-panel': panel }, title, mount));
    const player = new Player(mount, this.host);
    player.transport.leader = this.transport;
    this.players.push(player);
  }

  #state({ state, message }) {
    this.overall.dataset.run = state;
    this.status.textContent = message;
    if (state !== 'measuring') this.alert.textContent = state === 'running' ? 'Sampling has started.' : message;
  }

  /** The runs that are shown, and whether all of them have begun. */
  get #runs() {
    const runs = this.players.slice(0, this.panels.length).map((player) => player.trajectory);
    return runs.every((run, panel) => run && this.texts[panel].includes(run.run)) ? runs : null;
  }

  #follow() {
    const runs = this.#runs;
    this.bottom.hidden = !runs;
    if (!runs) return;
    const { transport } = this;
    const following = transport.step === transport.last && !transport.playing;
    const steps = Math.max(...runs.map((run) => run.steps));
    const done = Math.max(...runs.map((run) => run.last / run.steps));
    transport.limit(steps, Math.ceil(done * steps - 1e-9));
    if (this.ran) this.#started(runs);
    this.#count(runs);
    if (following) transport.follow(transport.last);
    else this.#move(transport.step);
    if (this.overall.dataset.run === 'running') this.status.textContent = this.#say(transport.last);
    if (this.orders) this.#order(runs);
  }

  #started(runs) {
    runs.forEach((run, panel) => {
      this.sides.children[panel].querySelector('.md-side-name').textContent = describe(this.panels[panel], run.steps);
    });
    this.plots.plan(this.ran, this.panels.map(() => true), runs[0].free);
    this.curves = this.ran;
    this.ran = null;
  }

  #count(runs) {
    const counts = runs.map(({ frames }) =>
      frames.slice(1).map((frame, k) => [frame.step, Math.max(0, frames[k].masked - frame.masked)]),
    );
    this.plots.grow(counts);
  }

  #order(runs) {
    const { order, agreed } = this.orders;
    const when = runs.map((run) => {
      const last = (events) => events.filter((event) => event.token !== null).pop();
      return new Map(order.map((position) => [position, last(run.positions[position]).step / run.steps]));
    });
    this.plots.ordered(order, when, agreed, this.#why(order.length, agreed));
    this.orders = null;
  }

  #why(count, agreed) {
    if (!this.same) return 'Each panel has noise of its own, so positions go in different orders.';
    if (agreed) {
      return (
        `Same noise: ${this.panels.length === 2 ? 'both' : 'all 3'} panels reveal the ` +
        `${count.toLocaleString('en')} positions in the same order, so no line of the last chart ever falls. ` +
        'Only how many share a step differs.'
      );
    }
    const own = this.panels.filter((panel) => !panel.by_arrival).map((panel) => plain(panel.sampler).toLowerCase());
    if (own.length) return `The noise is the same, but not the order: ${own.join(' and ')} chooses its own.`;
    return 'The noise is the same, but not the order: with a schedule for each token, numbers are drawn anew in each step.';
  }

  #share(step) {
    return this.transport.steps ? step / this.transport.steps : 0;
  }

  #move(step) {
    const share = this.#share(step);
    for (const player of this.players.slice(0, this.panels.length)) {
      player.transport.follow(share * player.transport.steps);
    }
    this.plots.mark(share);
  }

  #say(step) {
    return `${Math.round(100 * this.#share(step))} % of the steps of each panel`;
  }

  /** Show what the controls would do; answers that come too late are left aside. */
  async plan(asked) {
    this.asked = asked;
    if (this.asking) return;
    this.asking = true;
    while (this.asked) {
      const now = this.asked;
      this.asked = null;
      const answer = await this.host.outline(now, this.#free);
      if (Array.isArray(answer)) this.#planned(now.panels, answer);
    }
    this.asking = false;
  }

  get #free() {
    return this.panels && this.#runs ? this.#runs[0].free : null;
  }

  #planned(panels, answer) {
    const keys = ['schedule', 'grid', 'sampler', 'steps'];
    const fits = panels.map((panel, k) => keys.every((key) => this.panels?.[k]?.[key] === panel[key]));
    this.plots.plan(answer, fits, answer[0].masked);
    if (this.panels) this.plots.mark(this.#share(this.transport.step));
  }
}

const plain = (name) => name.replace(/_/g, ' ').replace(/^./, (letter) => letter.toUpperCase());

/** "Cosine, uniform grid, ancestral, 64 steps" */
function describe({ schedule, grid, sampler }, steps) {
  const name = schedule.name ?? schedule;
  return `${name === 'own' ? 'The model’s own' : plain(name)}, ${grid} grid, ${plain(sampler).toLowerCase()}, ${steps} steps`;
}
