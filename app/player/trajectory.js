/* A run as data: the final tokens and when each was revealed. Grows line by line. */

class Trajectory {
  constructor(run) {
    this.run = run;
    this.start = null;
    this.end = null;
    this.words = new Map();
    this.positions = [];
    this.frames = [];
    this.reveals = 0;
  }

  get length() {
    return this.positions.length;
  }

  /** Steps that the run takes in all, and the last one that is known. */
  get steps() {
    return this.start ? this.start.steps : 0;
  }

  get last() {
    return this.frames.length ? this.frames[this.frames.length - 1].step : 0;
  }

  /** How many positions were masked at the start. */
  get free() {
    return this.frames.length ? this.frames[0].masked : 0;
  }

  /** Take in one line of the transcript; returns the positions that it changed. */
  add(line) {
    if (line.start) return this.#begin(line.start);
    if (line.s !== undefined) return this.#frame(line);
    if (line.state === 'done' || line.state === 'stopped') this.end = line;
    return [];
  }

  #learn(words) {
    for (const [token, piece] of Object.entries(words || {})) this.words.set(Number(token), piece);
  }

  #begin(start) {
    this.start = start;
    this.#learn(start.w);
    this.positions = Array.from({ length: start.length }, () => []);
    let masked = start.length;
    for (const [first, tokens] of start.given) {
      tokens.forEach((token, k) => {
        this.positions[first + k].push({ step: 0, token, given: true });
        masked -= 1;
      });
    }
    this.frames = [{ step: 0, calls: 0, t: 1, alpha: 0, masked }];
    return this.positions.keys();
  }

  #frame(line) {
    this.#learn(line.w);
    const changed = [];
    let masked = this.frames[this.frames.length - 1].masked;
    for (const position of line.m || []) {
      this.positions[position].push({ step: line.s, token: null });
      changed.push(position);
      masked += 1;
    }
    for (const [position, token, probability, entropy, flat] of line.r || []) {
      const candidates = [];
      for (let k = 0; k < flat.length; k += 2) {
        candidates.push({ token: flat[k], logProbability: flat[k + 1] });
      }
      this.positions[position].push({ step: line.s, token, probability, entropy, candidates });
      changed.push(position);
      masked -= 1;
    }
    this.frames.push({ step: line.s, calls: line.c, t: line.t, alpha: line.a, masked });
    return changed;
  }

  piece(token) {
    return this.words.get(token) ?? '';
  }

  /** What stands at a position after a step: an event, or null for a mask never touched. */
  at(position, step) {
    const events = this.positions[position];
    for (let k = events.length - 1; k >= 0; k -= 1) {
      if (events[k].step <= step) return events[k];
    }
    return null;
  }

  /** The next time a position that is masked after `step` gets a token, or null. */
  next(position, step) {
    return this.positions[position].find((event) => event.step > step && event.token !== null);
  }

  /** Where the run stands after a step. Between lines t and alpha move evenly. */
  info(step) {
    const frames = this.frames;
    let low = 0;
    let high = frames.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (frames[middle].step <= step) low = middle;
      else high = middle - 1;
    }
    const here = frames[low];
    const next = frames[low + 1];
    if (!next || here.step === step) return { ...here, step };
    const share = (step - here.step) / (next.step - here.step);
    return {
      ...here,
      step,
      t: here.t + share * (next.t - here.t),
      alpha: here.alpha + share * (next.alpha - here.alpha),
    };
  }
}
