/* Play, pause, step, scrub, speed and loop: moves a step through a range, and tells of it. */

const ICONS = {
  play: 'M8 5v14l11-7z',
  pause: 'M6 5h4v14H6zM14 5h4v14h-4z',
  first: 'M6 6h2v12H6zM20 6v12l-10-6z',
  last: 'M16 6h2v12h-2zM4 6v12l10-6z',
  back: 'M15 6v12l-8-6z',
  forward: 'M9 6v12l8-6z',
  loop: 'M7 7h9v3l4-4-4-4v3H5v6h2zM17 17H8v-3l-4 4 4 4v-3h11v-6h-2z',
};
const SPEEDS = [0.25, 0.5, 1, 2, 4];
const REST_AT_END = 1800; // ms before a loop starts again

class Transport {
  /** `describe` turns a step into what a screen reader says of it. */
  constructor(box, moved, describe) {
    this.moved = moved;
    this.describe = describe;
    this.step = 0;
    this.last = 0;
    this.steps = 0;
    this.playing = false;
    this.looping = false;
    this.leader = null; // a transport that moves this one and others; visitors then move that one
    this.range = node('input', {
      type: 'range',
      class: 'md-scrub',
      min: 0,
      max: 0,
      value: 0,
      'aria-label': 'Step',
    });
    this.range.addEventListener('input', () => this.seek(Number(this.range.value)));
    this.toggleButton = button('Play', ICONS.play, () => this.toggle(), { class: 'md-play' });
    this.loopButton = button('Loop', ICONS.loop, () => this.setLoop(!this.looping), {
      'aria-pressed': 'false',
    });
    this.speed = node('select', { class: 'md-speed', 'aria-label': 'Speed' });
    for (const speed of SPEEDS) this.speed.append(node('option', { value: speed }, `${speed}×`));
    this.speed.value = '1';
    this.buttons = node(
      'div',
      { class: 'md-buttons', role: 'group', 'aria-label': 'Playback' },
      button('First step', ICONS.first, () => this.seek(0)),
      button('Step back', ICONS.back, () => this.seek(this.step - 1)),
      this.toggleButton,
      button('Step forward', ICONS.forward, () => this.seek(this.step + 1)),
      button('Last step', ICONS.last, () => this.seek(this.last)),
      this.loopButton,
      this.speed,
    );
    box.append(this.range, this.buttons);
  }

  /** The range is [0, steps]; up to `last` there is something to show. */
  limit(steps, last) {
    this.steps = steps;
    this.last = last;
    this.range.max = steps;
  }

  /** Go to a step and stay there. */
  seek(step) {
    if (this.leader) {
      this.leader.seek((step * this.leader.steps) / (this.steps || 1));
      return;
    }
    this.pause();
    this.#move(step);
  }

  /** Go to a step without being asked by the visitor; playing goes on. */
  follow(step) {
    this.#move(step);
  }

  #move(step) {
    this.step = Math.max(0, Math.min(this.last, Math.round(step)));
    this.range.value = this.step;
    this.range.style.setProperty('--share', this.steps ? this.step / this.steps : 0);
    this.range.setAttribute('aria-valuetext', this.describe(this.step));
    this.moved(this.step);
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  setLoop(on) {
    this.looping = on;
    this.loopButton.setAttribute('aria-pressed', String(on));
  }

  play() {
    if (!this.last || this.playing) return;
    if (this.step >= this.last) this.#move(0);
    this.#setPlaying(true);
    this.clock = null;
    this.exact = this.step;
    requestAnimationFrame((now) => this.#tick(now));
  }

  pause() {
    this.#setPlaying(false);
  }

  #setPlaying(on) {
    if (this.playing === on) return;
    this.playing = on;
    this.toggleButton.replaceChildren(icon(on ? ICONS.pause : ICONS.play));
    this.toggleButton.setAttribute('aria-label', on ? 'Pause' : 'Play');
    this.toggleButton.title = on ? 'Pause' : 'Play';
  }

  /** Steps a second at speed 1: a run takes between 3 and 10 seconds. */
  get pace() {
    return this.last / Math.max(3, Math.min(10, this.last / 8));
  }

  #tick(now) {
    if (!this.playing) return;
    const passed = this.clock === null ? 0 : now - this.clock;
    this.clock = now;
    this.exact += (passed / 1000) * this.pace * Number(this.speed.value);
    if (this.exact >= this.last + (this.looping ? (this.pace * REST_AT_END) / 1000 : 0)) {
      if (this.looping) this.exact = 0;
      else this.pause();
    }
    const step = Math.min(this.last, Math.floor(this.exact));
    if (step !== this.step) this.#move(step);
    requestAnimationFrame((later) => this.#tick(later));
  }

  /** Keys of the player; returns whether the key was one of them. */
  key(event) {
    if (this.leader) return this.leader.key(event);
    const native = event.target.matches('input, select');
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.type === 'text') return false;
    if (event.key === 'k' || event.key === 'K') this.toggle();
    else if (event.key === ' ' && !event.target.closest('button, select, [role=button]')) this.toggle();
    else if (native) return false;
    else if (event.key === 'ArrowLeft') this.seek(this.step - 1);
    else if (event.key === 'ArrowRight') this.seek(this.step + 1);
    else if (event.key === 'Home') this.seek(0);
    else if (event.key === 'End') this.seek(this.last);
    else return false;
    return true;
  }
}
