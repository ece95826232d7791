/* The runs of one family: the parent, and a branch for each time one went on from a frame. */

class Branches {
  /** `pick` is told the run that is chosen. */
  constructor(pick) {
    this.pick = pick;
    this.runs = [];
    this.box = node('div', { class: 'md-branches', role: 'group', 'aria-label': 'Branches', hidden: '' });
  }

  find(run) {
    return this.runs.find((trajectory) => trajectory.run === run);
  }

  /** A run that goes on with another one joins its family; any other one begins a new family. */
  add(trajectory, parent) {
    if (!parent) this.runs = [];
    trajectory.parent = parent;
    this.runs.push(trajectory);
  }

  show(current) {
    this.box.hidden = this.runs.length < 2;
    this.box.replaceChildren(
      ...this.runs.map((trajectory, k) => {
        const face = node('button', { type: 'button', 'aria-pressed': trajectory === current });
        face.textContent = this.#name(trajectory, k);
        face.addEventListener('click', () => this.pick(trajectory));
        return face;
      }),
    );
  }

  #name({ parent, start }, k) {
    if (!k) return 'Parent';
    const of = this.runs.indexOf(parent);
    return `Branch ${k} · from step ${start.branch.step}${of ? ` of branch ${of}` : ''}`;
  }
}
