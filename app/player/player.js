/* The player: reads a transcript as it grows and shows the run, live and afterwards. */

class Player {
  /**
   * @param host what the page around the player offers; each may be missing: resume(frame),
   *   spell(text, model), outlook(frame, position), stop(), use(text or picture), and what Saving takes.
   */
  constructor(root, host = {}) {
    this.root = root;
    this.host = host;
    this.read_ = 0;
    root.classList.add('md-player');
    root.tabIndex = -1;
    this.#build();
    root.addEventListener('keydown', (event) => {
      if (this.trajectory && this.transport.key(event)) event.preventDefault();
    });
  }

  #build() {
    this.status = node('p', { class: 'md-status' });
    this.alert = node('div', { class: 'md-live', role: 'status' });
    this.progress = node('div', { class: 'md-progress' });
    this.stage = node('div', { class: 'md-stage' });
    this.empty = node('p', { class: 'md-empty' }, 'Press Generate, and watch the masks turn into words or pixels.');
    this.stage.append(this.empty);
    this.note = node('p', { class: 'md-note', hidden: '' });
    this.stop = node('button', { type: 'button', class: 'md-stop', onclick: () => this.host.stop?.() }, 'Stop');
    const now = node('div', { class: 'md-now' }, this.status, this.stop);
    this.difference = new Difference();
    this.readout = node('p', { class: 'md-readout' });
    this.colours = new Colours(
      this.root,
      (state) => this.#uses(state),
      () => this.pixels?.recolour(),
    );
    this.branches = new Branches((trajectory) => this.#visit(trajectory));
    this.#buildEditing();
    this.root.append(
      node('div', { class: 'md-top' }, now, this.colours.box),
      this.colours.legend,
      this.branches.box,
      this.progress,
      this.stage,
      this.note,
      this.editing.help,
      this.difference.box,
      this.#bottom(),
      this.alert,
    );
  }

  #buildEditing() {
    const resume = (frame) => {
      this.resuming = true;
      this.host.resume(frame);
    };
    this.editing = new Editing(
      () => this.trajectory?.start.copies > 1 || ['queued', 'loading', 'running'].includes(this.root.dataset.run),
      (positions) => this.#edited(positions),
      (position) => this.view.visit(position),
      { ...this.host, resume: this.host.resume && resume },
    );
    const tools = this.host.resume ? new Tools(this.editing, this.host, () => this.card.refresh()) : null;
    this.whatIf = new WhatIf(() => this.card?.refresh());
    this.card = new Card(this.stage, this.whatIf, tools);
    this.text = new TextView(this.stage, this.card);
    this.pixels = new PixelView(this.stage, this.card);
    const use = (copy) => this.host.use(this.picture(copy, this.transport.step));
    this.given = new Given(this.pixels, this.host.use ? use : null);
    this.view = this.text;
    this.stage.append(this.card.face); // after the text, so that Tab leads from a token into it
  }

  #bottom() {
    const timeline = node('div', { class: 'md-timeline' });
    const controls = node('div', { class: 'md-controls' });
    this.sparkline = new Sparkline(timeline, (step) => this.#seek(step));
    this.transport = new Transport(
      controls,
      (step) => this.#show(step),
      (step) => this.#say(step),
    );
    timeline.append(this.transport.range);
    if (this.host.resume) controls.append(this.editing.box);
    this.saving = new Saving(() => this.#shown(), this.host);
    const facts = node('div', { class: 'md-facts-row' }, this.readout, this.saving.box);
    return node('div', { class: 'md-bottom' }, facts, timeline, controls);
  }

  /** What can be saved now. */
  #shown() {
    const { trajectory, view, readout } = this;
    return trajectory ? { trajectory, view, readout: readout.textContent } : null;
  }

  #uses(state) {
    const { trajectory } = this;
    if (state === 'given') return Boolean(trajectory && trajectory.start.given.length);
    const some = (test) => Boolean(trajectory?.positions.some((events) => events.some(test)));
    if (state === 'again') return some((event) => event.token === null && !event.edited);
    if (state === 'edited') return some((event) => event.edited) || Boolean(trajectory?.draft.size);
    if (state === 'part') return trajectory?.looks?.channels > 1;
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
      this.next = new Trajectory(line.run, line.v);
      // Of runs in several players one tells of all; a branch is in its player alone.
      this.quiet = this.root.dataset.quiet !== undefined && !this.resuming;
      this.resuming = false;
      this.alert.setAttribute('aria-live', this.quiet ? 'off' : 'polite');
      return;
    }
    if (line.state) this.#state(line);
    if (line.start) {
      this.#begin(line);
      changed.clear();
      return;
    }
    for (const position of this.next.add(line)) changed.add(position);
  }

  /** A run starts, by itself or as a branch of one that is known here. */
  #begin(line) {
    const { branch } = line.start;
    const parent = branch && this.branches.find(branch.of);
    if (parent) {
      this.next.branchOff(parent, branch.step);
      parent.draft.undo(true);
    }
    this.next.add(line);
    this.branches.add(this.next, parent);
    this.live = true;
    this.began = performance.now();
    this.#load(this.next);
    this.transport.follow(this.next.last);
  }

  #load(trajectory) {
    if (this.trajectory) this.trajectory.left = this.transport.step;
    this.trajectory = trajectory;
    this.transport.pause();
    this.empty.hidden = true;
    this.card.hide();
    this.editing.load(trajectory);
    this.whatIf.load(trajectory);
    this.transport.limit(trajectory.steps, trajectory.last);
    this.#choose(trajectory);
    this.given.load(trajectory);
    this.view.load(trajectory);
    this.sparkline.load(trajectory);
    this.difference.load(trajectory);
    this.note.hidden = !trajectory.start.note;
    this.note.textContent = trajectory.start.note || '';
    this.colours.refresh();
    this.branches.show(trajectory);
    this.saving.refresh();
  }

  /** Show words or pixels, whichever the run is of. */
  #choose({ looks, mostEntropy }) {
    this.view = looks ? this.pixels : this.text;
    this.root.dataset.kind = looks ? 'image' : 'text';
    this.colours.most = mostEntropy;
    this.text.box.hidden = Boolean(looks);
    this.pixels.box.hidden = !looks;
  }

  /** Show another run of the family, where one left it. */
  #visit(trajectory) {
    if (trajectory === this.trajectory) return;
    this.#load(trajectory);
    this.status.textContent = trajectory.message || '';
    this.transport.follow(trajectory.left ?? trajectory.last);
  }

  /** Show what has been read; follow the newest step unless the visitor went back. */
  #update(changed) {
    const { next, transport } = this;
    if (this.live && !next.end) this.#pace(next);
    if (next.end) this.live = false;
    if (next !== this.trajectory) return;
    const following = transport.step === transport.last && !transport.playing;
    this.view.grow(changed);
    this.sparkline.grow();
    transport.limit(next.steps, next.last);
    if (following) transport.follow(next.last);
    else this.#show(transport.step);
    if (changed.size) this.colours.refresh();
  }

  #pace(trajectory) {
    const step = trajectory.last;
    const first = trajectory.start.branch?.step || 0;
    const rate = (step - first) / ((performance.now() - this.began) / 1000 || 1);
    this.progress.style.setProperty('--share', step / trajectory.steps);
    if (step < first + 2) {
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
    this.status.textContent = this.quiet && state === 'failed' ? '' : message;
    this.alert.textContent = message;
    if (this.next) this.next.message = message;
    this.editing.show(this.transport.step);
    this.card.refresh();
  }

  #seek(step) {
    if (this.trajectory) this.transport.seek(step);
  }

  #show(step) {
    if (!this.trajectory) return;
    this.editing.show(step);
    this.view.show(step);
    this.sparkline.show(step);
    this.difference.show(step);
    this.given.show();
    this.readout.textContent = this.#say(step);
    if (this.live && this.root.dataset.run !== 'running' && !this.next.end) {
      this.root.dataset.run = 'running';
      this.alert.textContent = 'Sampling has started.';
    }
  }

  /** Show edits that were made or undone; one who edits looks at this very step. */
  #edited(positions) {
    this.transport.pause();
    this.view.grow(positions);
    this.colours.refresh();
    this.#show(this.transport.step);
    if (this.card.pinned) this.view.visit(Number(this.card.anchor.dataset.position));
  }

  /** A copy as it is after a step, for the painter; null if this is no image. */
  picture(copy = 0, step = this.trajectory?.last) {
    if (!this.trajectory?.looks) return null;
    const { tokens } = this.trajectory.draft.frame(this.trajectory, step);
    return this.trajectory.looks.picture(tokens, copy);
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
    this.trajectory.message = `Recorded run of ${model}: ${steps} steps, seed ${seed}`;
    this.status.textContent = this.trajectory.message;
    this.alert.textContent = '';
    if (calm()) return;
    this.transport.follow(0);
    this.transport.play();
  }
}
