/* Of a picture that is filled in: how it was before and what was masked, beside the results. */

class Given {
  /** `view` shows the results; `use`, if there is one, takes the number of one to paint on. */
  constructor(view, use) {
    this.view = view;
    this.use = use;
    this.before = node('canvas', { role: 'img', 'aria-label': 'The picture before' });
    this.mask = node('canvas', { role: 'img', class: 'md-holes' });
    this.box = node(
      'div',
      { class: 'md-before', hidden: '' },
      node('figure', {}, this.before, node('figcaption', {}, 'Before')),
      node('figure', {}, this.mask, node('figcaption', {}, 'Mask')),
    );
    this.results = node('div', { class: 'md-results', hidden: '' });
    this.proof = new Proof();
    view.box.before(this.box);
    view.box.append(this.results);
  }

  load(trajectory) {
    this.trajectory = trajectory;
    const { start, looks } = trajectory;
    this.shown = Boolean(looks && start.before);
    this.box.hidden = this.results.hidden = !this.shown;
    this.box.parentNode.classList.toggle('md-compared', this.shown);
    this.proof.box.remove();
    if (!this.shown) return;
    this.proof.show(null);
    this.view.box.after(this.proof.box);
    this.box.parentNode.style.setProperty('--copies', looks.copies);
    const masked = this.#masked();
    this.#draw(this.before, start.before, () => false);
    this.#draw(this.mask, start.before, (pixel) => masked[pixel]);
    const count = masked.filter(Boolean).length;
    this.mask.setAttribute('aria-label', `The mask: ${count} of ${looks.size} pixels`);
    this.results.replaceChildren(...Array.from({ length: looks.copies }, (_, copy) => this.#result(copy)));
  }

  #result(copy) {
    const { copies } = this.trajectory.looks;
    const name = copies > 1 ? `After ${copy + 1}` : 'After';
    const face = node('div', {}, node('span', {}, name));
    if (!this.use) return face;
    const [which, hidden] = copies > 1 ? [`, ${copy + 1},`, 'md-spoken'] : ['', ''];
    const rest = node('span', { class: hidden }, ` result${which} as the picture`);
    const act = node('button', { type: 'button', onclick: () => this.use(copy) }, 'Use this', rest);
    act.title = 'Go on painting on this result';
    face.append(act);
    return face;
  }

  /** Of each pixel, whether it was to be filled in. */
  #masked() {
    const { looks, positions } = this.trajectory;
    const given = (pixel) => positions[pixel * looks.channels][0]?.given;
    return Array.from({ length: looks.size }, (_, pixel) => !given(pixel));
  }

  #draw(canvas, tokens, hidden) {
    const { looks } = this.trajectory;
    canvas.width = looks.width;
    canvas.height = looks.height;
    const pen = canvas.getContext('2d');
    for (let pixel = 0; pixel < looks.size; pixel += 1) {
      if (hidden(pixel)) continue;
      const { row, column } = looks.place(pixel);
      pen.fillStyle = looks.colour(tokens.slice(pixel * looks.channels, (pixel + 1) * looks.channels));
      pen.fillRect(column, row, 1, 1);
    }
  }

  /** Once the server has checked it: whether what was given is still there. */
  show() {
    if (this.shown) this.proof.show(this.trajectory.end, this.trajectory.looks.channels, 'pixel');
  }
}
