/* Edit and go on: the edits that lie over the frame, and the button that lets the run go on. */

const HELP = {
  text: [
    'Click or tap a word to change it, then let the run go on.',
    ' Keys on a word: ← → move, with Shift they select; M masks again, 1–5 choose a candidate, ' +
      'Enter types, U undoes, Esc closes, K plays.',
  ],
  image: [
    'Click or tap a pixel to change it, then let the run go on.',
    ' Keys on a pixel: arrows move, with Shift they select; M masks again, 1–5 choose a candidate, ' +
      'U undoes, Esc closes, K plays.',
  ],
  images: [
    'Click or tap a pixel to see how it came about.',
    ' Keys on a pixel: arrows move, Esc closes, K plays. A run of one image can be edited and gone on with.',
  ],
};

class Editing {
  /**
   * @param busy whether a run is under way: nothing can be edited before it ends.
   * @param changed is told which positions look different.
   * @param visit moves to a token.
   * @param host.resume is given the frame to go on from; host.use, if there is one, a text.
   */
  constructor(busy, changed, visit, host) {
    this.busy = busy;
    this.changed = changed;
    this.visit = visit;
    this.host = host;
    const act = (label, action, extra = {}) =>
      node('button', { type: 'button', onclick: action, ...extra }, label);
    this.count = node('span', { class: 'md-edit-count' });
    this.back = act('Undo', () => this.undo(), { title: 'Undo the last edit' });
    this.none = act('Undo all', () => this.undo(true), { class: 'md-undo-all' });
    this.go = act('Go on from here', () => this.#go(), { class: 'md-go-on' });
    this.help = node('p', { class: 'md-help', hidden: '' });
    this.use = act('Use as the text', () => this.#use(), { title: 'Put this into the editor above' });
    this.why = node('span', { class: 'md-why' });
    const row = [this.count, this.back, this.none, this.use, this.go, this.why];
    this.box = node('div', { class: 'md-editing', hidden: '' }, ...row);
  }

  load(trajectory) {
    this.trajectory = trajectory;
    trajectory.draft ||= new Draft();
    const { kind, copies = 1 } = trajectory.start;
    this.box.hidden = copies > 1;
    this.use.hidden = !this.host.use || Boolean(trajectory.looks);
    this.help.hidden = !this.host.resume;
    const [first, keys] = HELP[copies > 1 ? 'images' : kind];
    this.help.replaceChildren(first, node('span', {}, keys));
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
    this.host.resume(this.frame());
  }

  #use() {
    this.host.use(this.trajectory.text(this.frame().tokens, '[MASK]'));
  }
}
