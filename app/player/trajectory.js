/* A run as data: the final tokens and when each was revealed. Grows line by line. */

const CANDIDATES = 5; // shown of a token

/** Tokens, likeliest first; costs are thousandths of a nat, each counts from that before it. */
function readCandidates(pairs) {
  const candidates = [];
  let cost = 0;
  for (let k = 0; k < pairs.length; k += 2) {
    cost += pairs[k + 1];
    candidates.push({ token: pairs[k], logProbability: -cost / 1000 });
  }
  return candidates;
}

class Trajectory {
  constructor(run, version) {
    this.run = run;
    this.start = null;
    this.end = null;
    this.lines = [{ run, v: version }];
    this.words = new Map();
    this.positions = [];
    this.frames = [];
    this.plan = [];
    this.calls = 0; // of the runs that this one goes on with
    this.free = 0;
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

  /** Go on with another run from one of its steps: all it did until then happened here too. */
  branchOff(parent, step) {
    for (const line of parent.lines) {
      if (line.start || (line.s !== undefined && line.s <= step)) this.add(line);
    }
  }

  /** Take in one line of the transcript; returns the positions that it changed. */
  add(line) {
    if (line.state !== 'queued' && line.state !== 'loading') this.lines.push(line);
    if (line.start) return this.start ? this.#goOn(line.start) : this.#begin(line.start);
    if (line.s !== undefined) return this.#frame(line);
    if (['done', 'stopped', 'failed'].includes(line.state)) this.end = line;
    return [];
  }

  learn(words) {
    for (const [token, piece] of Object.entries(words || {})) this.words.set(Number(token), piece);
  }

  #begin(start) {
    this.start = start;
    this.looks = start.kind === 'image' ? new Looks(start) : null;
    this.learn(start.w);
    this.positions = Array.from({ length: start.length }, () => []);
    const step = start.branch ? start.branch.step : 0;
    let masked = start.length;
    const put = (given) => (token, position) => {
      this.positions[position].push({ step, token, given, kept: !given });
      masked -= 1;
    };
    Trajectory.#each(start.given, put(true));
    Trajectory.#each(start.kept || [], put(false));
    this.free = masked;
    this.frames = [{ step, calls: 0, t: 1, alpha: 0, ...Trajectory.#clock(start), masked }];
    this.#expect(start, step);
    return this.positions.keys();
  }

  /** Another start in the midst: what differs from the step before was edited by the visitor. */
  #goOn(start) {
    const { step } = start.branch;
    const { calls } = this.info(step);
    const tokens = new Array(this.length).fill(null);
    const given = new Set();
    this.learn(start.w);
    Trajectory.#each(start.kept, (token, position) => {
      tokens[position] = token;
    });
    Trajectory.#each(start.given, (token, position) => {
      tokens[position] = token;
      given.add(position);
    });
    tokens.forEach((token, position) => {
      const event = this.at(position, step);
      if ((event ? event.token : null) === token && Boolean(event?.given) === given.has(position)) return;
      this.positions[position].push({ step, token, given: given.has(position), edited: true });
    });
    const free = this.length - given.size;
    this.plan = this.plan
      .filter((point) => point.step <= step)
      .map((point) => ({ step: point.step, share: (point.share * this.free) / (free || 1) }));
    this.free = free;
    this.calls = calls;
    this.frames = this.frames.filter((frame) => frame.step < step);
    const masked = tokens.filter((token) => token === null).length;
    this.frames.push({ step, calls, ...Trajectory.#clock(start), masked });
    this.start = { ...start, holes: this.start.holes, before: this.start.before };
    this.#expect(start, step);
    return this.positions.keys();
  }

  /** How likely a token is clean at a time: between two points of the schedule. */
  #alpha(t) {
    const { alphas } = this.start;
    const place = t * (alphas.length - 1);
    const low = Math.min(Math.floor(place), alphas.length - 2);
    return (alphas[low] + (place - low) * (alphas[low + 1] - alphas[low])) / 1000;
  }

  static #clock({ branch }) {
    return branch ? { t: branch.t, alpha: branch.alpha } : {};
  }

  static #each(runs, use) {
    for (const [first, tokens] of runs) tokens.forEach((token, k) => use(token, first + k));
  }

  /** The share that the schedule expects to be masked, evenly over the steps that are to come. */
  #expect({ plan, steps }, step) {
    plan.forEach((share, k) => {
      this.plan.push({ step: step + ((steps - step) * k) / (plan.length - 1), share });
    });
  }

  #frame(line) {
    this.learn(line.w);
    const changed = [];
    const before = this.frames[this.frames.length - 1];
    let { masked } = before;
    for (const position of line.m || []) {
      this.positions[position].push({ step: line.s, token: null });
      changed.push(position);
      masked += 1;
    }
    for (const [position, entropy, place, ...pairs] of line.r || []) {
      const candidates = readCandidates(pairs);
      const { token, logProbability } = candidates[place];
      this.positions[position].push({
        step: line.s,
        token,
        probability: Math.exp(logProbability),
        entropy: entropy / 10,
        candidates: candidates.length > 1 || this.looks ? candidates.slice(0, CANDIDATES) : [],
      });
      changed.push(position);
      masked -= 1;
    }
    const calls = line.c === undefined ? before.calls + 1 : this.calls + line.c;
    const t = line.t / 10_000;
    this.frames.push({ step: line.s, calls, t, alpha: this.#alpha(t), masked });
    return changed;
  }

  /** A token's text, or its bytes; the name of a pixel's value. */
  piece(token) {
    return this.looks ? this.looks.name(token) : (this.words.get(token) ?? '');
  }

  /** Bits at which the colour scale of entropies ends. */
  get mostEntropy() {
    return Math.min(10, Math.log2(this.start.vocab));
  }

  /** The text of some tokens, `mask` for each that is null. */
  text(tokens, mask) {
    return joined(tokens.map((token) => (token === null ? mask : this.piece(token))));
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
