/* The player: reads a transcript as it grows and shows the run, live and afterwards. */

const COLOURS = [
  ['state', 'State'],
  ['step', 'Reveal step'],
  ['confidence', 'Confidence'],
  ['entropy', 'Entropy'],
];
const SCALES = {
  step: ['early', 'late'],
  confidence: ['0 %', '100 %'],
  entropy: ['0 bits', '10 bits or more'],
};
const STATES = [
  ['masked', 'masked'],
  ['new', 'revealed in this step'],
  ['shown', 'revealed before'],
  ['given', 'given'],
  ['again', 'masked again'],
];

class Player {
  constructor(root) {
    this.root = root;
    this.id = Math.random().toString(36).slice(2); // no two players share their radio buttons
    this.read_ = 0;
    root.classList.add('md-player');
    root.tabIndex = -1;
    this.#build();
    root.addEventListener('keydown', (event) => {
      if (this.trajectory && this.transport.key(event)) event.preventDefault();
    });
    this.#colour('state');
  }

  #build() {
    this.status = node('p', { class: 'md-status' });
    const spoken = this.root.dataset.quiet === undefined ? { 'aria-live': 'polite', role: 'status' } : {};
    this.alert = node('div', { class: 'md-live', ...spoken });
    this.progress = node('div', { class: 'md-progress' });
    this.stage = node('div', { class: 'md-stage' });
    this.empty = node('p', { class: 'md-empty' }, 'Press Generate, and watch the masks turn into words.');
    this.stage.append(this.empty);
    this.note = node('p', { class: 'md-note', hidden: '' });
    this.legend = node('div', { class: 'md-legend' });
    this.difference = new Difference();
    this.readout = node('p', { class: 'md-readout' });
    const timeline = node('div', { class: 'md-timeline' });
    const controls = node('div', { class: 'md-controls' });
    this.card = new Card(this.stage);
    this.text = new TextView(this.stage, this.card);
    this.sparkline = new Sparkline(timeline, (step) => this.#seek(step));
    this.transport = new Transport(
      controls,
      (step) => this.#show(step),
      (step) => this.#say(step),
    );
    timeline.append(this.transport.range);
    this.root.append(
      node('div', { class: 'md-top' }, this.status, this.#colours()),
      this.legend,
      this.progress,
      this.stage,
      this.note,
      this.difference.box,
      node('div', { class: 'md-bottom' }, this.readout, timeline, controls),
      this.alert,
    );
  }

  #colours() {
    const group = node('fieldset', { class: 'md-colours' });
    group.append(node('legend', {}, 'Colour by'));
    for (const [value, label] of COLOURS) {
      const name = `md-colour-${this.id}`;
      const input = node('input', { type: 'radio', name, value });
      input.checked = value === 'state';
      input.addEventListener('change', () => this.#colour(value));
      group.append(node('label', {}, input, node('span', {}, label)));
    }
    return group;
  }

  #colour(value) {
    this.root.dataset.colour = value;
    if (SCALES[value]) {
      const [low, high] = SCALES[value];
      this.legend.replaceChildren(low, node('span', { class: 'md-scale' }), high);
      return;
    }
    const used = STATES.filter(([state]) => this.#uses(state));
    this.legend.replaceChildren(
      ...used.map(([state, label]) =>
        node(
          'span',
          { class: 'md-key' },
          node('span', { 'data-state': state }, node('span', { class: 'md-face' }, 'word')),
          label,
        ),
      ),
    );
  }

  #uses(state) {
    if (state === 'given') return Boolean(this.trajectory && this.trajectory.start.given.length);
    if (state === 'again') return this.trajectory?.positions.some((p) => p.some((e) => e.token === null));
    return true;
  }

  /** Take in a transcript: what is new in it, or all of it if it is another run's. */
  read(text) {
    if (!text) return;
    const first = text.slice(0, text.indexOf('\n'));
    if (first !== this.first) {
      this.first = first;
      this.read_ = 0;
      this.next = null;
    }
    const end = text.lastIndexOf('\n') + 1;
    const fresh = text.slice(this.read_, end);
    this.read_ = end;
    const changed = new Set();
    for (const line of fresh.split('\n')) {
      if (line) this.#line(JSON.parse(line), changed);
    }
    if (this.next && this.next.start) this.#update(changed);
  }

  #line(line, changed) {
    if (line.run !== undefined) {
      this.next = new Trajectory(line.run);
      return;
    }
    if (line.state) this.#state(line);
    const positions = this.next.add(line);
    if (line.start) {
      this.#load(this.next);
      changed.clear();
    } else {
      for (const position of positions) changed.add(position);
    }
  }

  #load(trajectory) {
    this.trajectory = trajectory;
    this.began = performance.now();
    this.live = true;
    this.transport.pause();
    this.empty.hidden = true;
    this.transport.limit(trajectory.steps, 0);
    this.text.load(trajectory);
    this.sparkline.load(trajectory);
    this.difference.load(trajectory);
    this.note.hidden = !trajectory.start.note;
    this.note.textContent = trajectory.start.note || '';
    this.#colour(this.root.dataset.colour);
    this.transport.follow(0);
  }

  /** Show what has been read; follow the newest step unless the visitor went back. */
  #update(changed) {
    const { trajectory, transport } = this;
    const following = transport.step === transport.last && !transport.playing;
    this.text.grow(changed);
    this.sparkline.grow();
    transport.limit(trajectory.steps, trajectory.last);
    if (following) transport.follow(trajectory.last);
    else this.#show(transport.step);
    if (this.live && !trajectory.end) this.#pace(trajectory);
    if (trajectory.end) this.live = false;
    if (changed.size && this.root.dataset.colour === 'state') this.#colour('state');
  }

  #pace(trajectory) {
    const step = trajectory.last;
    const rate = step / ((performance.now() - this.began) / 1000 || 1);
    this.progress.style.setProperty('--share', step / trajectory.steps);
    if (step < 2) {
      this.status.textContent = `step ${step}/${trajectory.steps}`;
      return;
    }
    const left = (trajectory.steps - step) / rate;
    this.status.textContent =
      `step ${step}/${trajectory.steps} · ${rate.toFixed(rate < 10 ? 1 : 0)} steps/s · ` +
      `${left.toFixed(1)} s left`;
  }

  #state({ state, message }) {
    this.root.dataset.run = state;
    this.status.textContent = message;
    this.alert.textContent = message;
  }

  #seek(step) {
    if (this.trajectory) this.transport.seek(step);
  }

  #show(step) {
    if (!this.trajectory) return;
    this.text.show(step);
    this.sparkline.show(step);
    this.difference.show(step);
    this.readout.textContent = this.#say(step);
    if (this.live && this.root.dataset.run !== 'running' && !this.trajectory.end) {
      this.root.dataset.run = 'running';
      this.alert.textContent = 'Sampling has started.';
    }
  }

  #say(step) {
    if (!this.trajectory) return '';
    const { t, alpha, masked, calls } = this.trajectory.info(step);
    return (
      `step ${step}/${this.trajectory.steps} · t=${t.toFixed(2)} · alpha=${alpha.toFixed(2)} · ` +
      `masked ${masked}/${this.trajectory.free} · ${calls} network call${calls === 1 ? '' : 's'}`
    );
  }

  /** A finished run to begin with: from its first step, by itself, unless motion is unwelcome. */
  open(text) {
    this.read(text);
    if (!this.trajectory) return;
    this.root.dataset.run = 'done';
    const { model, steps, seed } = this.trajectory.start;
    this.status.textContent = `Recorded run of ${model}: ${steps} steps, seed ${seed}`;
    this.alert.textContent = '';
    if (calm()) return;
    this.transport.follow(0);
    this.transport.play();
  }
}
