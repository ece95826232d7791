/* What a visitor has changed in a frame, before the run goes on from it. It lies over whatever step
   is shown: a token in place of another one or of a mask, or a mask in place of a token. */

const FRAME_FORMAT = 1; // what app/state.py reads

class Draft {
  constructor() {
    this.edits = []; // in order, each a Map of what it puts at which position
    this.over = new Map();
  }

  get size() {
    return this.edits.length;
  }

  /** Put tokens, or masks for null, at some positions, as one edit; returns the positions. */
  put(changes) {
    this.edits.push(new Map(changes));
    return this.#lay(changes.map(([position]) => position));
  }

  /** Take the last edit back, or all; returns the positions that have changed. */
  undo(all = false) {
    const gone = this.edits.splice(all ? 0 : -1);
    return this.#lay(gone.flatMap((edit) => [...edit.keys()]));
  }

  #lay(positions) {
    const known = this.over;
    this.over = new Map();
    for (const [position, token] of this.edits.flatMap((edit) => [...edit])) {
      const before = known.get(position); // what stays the same is the same object
      const same = before && before.token === token;
      this.over.set(position, same ? before : { token, given: token !== null, edited: true });
    }
    return positions;
  }

  /** What stands at a position after a step. */
  at(trajectory, position, step) {
    return this.over.get(position) || trajectory.at(position, step);
  }

  /** The frame as the server reads it. */
  frame(trajectory, step) {
    const events = trajectory.positions.map((_, position) => this.at(trajectory, position, step));
    return {
      v: FRAME_FORMAT,
      run: trajectory.run,
      model: trajectory.start.model,
      label: trajectory.start.label ?? null,
      step,
      t: trajectory.info(step).t,
      tokens: events.map((event) => event?.token ?? null),
      given: [...events.keys()].filter((position) => events[position]?.given),
    };
  }

  /** The masks side by side, as [first, end), in order. */
  gaps(trajectory, step) {
    const gaps = [];
    for (let position = 0; position < trajectory.length; position += 1) {
      if ((this.at(trajectory, position, step)?.token ?? null) !== null) continue;
      const last = gaps[gaps.length - 1];
      if (last && last[1] === position) last[1] += 1;
      else gaps.push([position, position + 1]);
    }
    return gaps;
  }
}
