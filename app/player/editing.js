/* Edit and go on: the edits that lie over the frame, and the button that lets the run go on. */

class Editing {
  /**
   * @param busy whether a run is under way: nothing can be edited before it ends.
   * @param changed is told which positions look different.
   * @param visit moves to a token.
   * @param resume is given the frame to go on from.
   */
  constructor(busy, changed, visit, resume) {
    this.busy = busy;
    this.changed = changed;
    this.visit = visit;
    this.resume = resume;
    const act = (label, action, extra = {}) =>
      node('button', { type: 'button', onclick: action, ...extra }, label);
    this.count = node('span', { class: 'md-edit-count' });
    this.back = act('Undo', () => this.undo(), { title: 'Undo the last edit' });
    this.none = act('Undo all', () => this.undo(true));
    this.go = act('Go on from here', () => this.#go(), { class: 'md-go-on' });
    this.why = node('span', { class: 'md-why' });
    this.box = node('div', { class: 'md-editing', hidden: '' }, this.count, this.back, this.none, this.go, this.why);
  }

  load(trajectory) {
    this.trajectory = trajectory;
    trajectory.draft ||= new Draft();
    this.box.hidden = false;
  }

  get draft() {
    return this.trajectory.draft;
  }

  show(step) {
    this.step = step;
    if (!this.trajectory) return;
    const { size } = this.draft;
    this.count.textContent = size ? `${size} edit${size === 1 ? '' : 's'}` : '';
    this.back.hidden = this.none.hidden = !size;
    const masked = this.draft.gaps(this.trajectory, step).length > 0;
    const busy = this.busy();
    this.why.textContent = busy ? 'once the run has ended' : masked ? '' : 'once something is masked';
    this.go.disabled = busy || !masked;
  }

  put(changes) {
    this.changed(this.draft.put(changes));
  }

  undo(all = false) {
    this.changed(this.draft.undo(all));
  }

  frame() {
    return this.draft.frame(this.trajectory, this.step);
  }

  gaps() {
    return this.draft.gaps(this.trajectory, this.step);
  }

  #go() {
    this.go.disabled = true;
    this.resume(this.frame());
  }
}
