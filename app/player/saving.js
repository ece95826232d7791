/* Save the run that is shown, as a file or as a link: a button and the menu that it opens. */

const DOWN = 'M11 4h2v8h3l-4 4.5L8 12h3zM5 18h14v2H5z';
const NOTHING = 'Nothing to save yet: let a run begin first.';

class Saving {
  /**
   * @param shown tells what is shown: {trajectory, view, readout}, or null.
   * @param host.source and host.style: the player's own, for a page; host.draw(lines): a GIF in
   *   base64; host.address(): where links lead. What is missing is not offered.
   */
  constructor(shown, host) {
    this.shown = shown;
    this.host = host;
    this.face = button('Save', DOWN, () => this.open(this.menu.hidden), { class: 'md-save', 'aria-expanded': 'false' });
    this.face.append(node('span', {}, 'Save'));
    this.told = node('p', { class: 'md-saved', role: 'status' });
    this.where = node('input', { class: 'md-link', readonly: '', 'aria-label': 'Link', hidden: '' });
    this.choices = this.#choices();
    this.menu = node('div', { class: 'md-save-menu', role: 'group', 'aria-label': 'Save this run', hidden: '' });
    this.box = node('div', { class: 'md-saving' }, this.face, this.menu);
    document.addEventListener('pointerdown', ({ target }) => {
      if (!this.box.contains(target)) this.open(false);
    });
    this.box.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || this.menu.hidden) return;
      event.stopPropagation();
      this.open(false);
      this.face.focus();
    });
  }

  #choices() {
    const { source, style, draw, address } = this.host;
    const choices = [];
    const offer = (label, about, action) => {
      const face = node('button', { type: 'button' }, label, node('span', {}, about));
      face.addEventListener('click', () => this.#try(face, action));
      choices.push(face);
    };
    const file = (label, about, kind, make, of = '') => {
      offer(label, about, async (shown) => this.#store(await make(shown), shown.trajectory, kind));
      choices[choices.length - 1].dataset.of = of;
    };
    if (source) file('Web page', 'plays from disk', 'html', ({ trajectory }) => pageFile(trajectory, source, style));
    if (draw) file('Animation', 'GIF', 'gif', ({ trajectory }) => movingFile(trajectory, draw));
    file('Picture', 'PNG of this step', 'png', pictureFile);
    file('Data', 'JSON', 'json', ({ trajectory }) => dataFile(trajectory));
    file('Text', 'of the last step', 'txt', ({ trajectory }) => textFile(trajectory), 'text');
    file('Pixels', 'PNG of the last step, not enlarged', 'pixels.png', imageFile, 'image');
    if (address) offer('Copy link', 'makes this run again', ({ trajectory }) => this.#link(trajectory.start));
    return choices;
  }

  open(on) {
    this.menu.hidden = !on;
    this.face.setAttribute('aria-expanded', String(on));
    if (on) this.refresh();
  }

  /** Another run is shown, or the first one. */
  refresh() {
    const none = !this.shown();
    const kind = this.shown()?.trajectory.looks ? 'image' : 'text';
    const offered = this.choices.filter(({ dataset }) => !dataset.of || dataset.of === kind);
    for (const choice of offered) choice.disabled = none;
    this.menu.replaceChildren(...offered, this.told, this.where);
    this.told.textContent = none ? NOTHING : '';
    this.where.hidden = true;
  }

  async #try(face, action) {
    face.disabled = true;
    this.where.hidden = true;
    this.told.textContent = 'One moment…';
    try {
      await action(this.shown());
    } catch (error) {
      this.told.textContent = error.message || 'The server does not answer.';
    }
    face.disabled = false;
  }

  #store(blob, trajectory, kind) {
    const name = `${fileStem(trajectory)}.${kind}`;
    download(blob, name);
    this.told.textContent = `Saved ${name}`;
  }

  async #link({ link, unlinked }) {
    if (!link) throw new Error(unlinked);
    const address = `${this.host.address()}?${new URLSearchParams(link)}`;
    try {
      await navigator.clipboard.writeText(address);
      this.told.textContent = 'Link copied. Whoever opens it sees this run being made again.';
    } catch {
      this.where.value = address;
      this.where.hidden = false;
      this.where.select();
      this.told.textContent = 'This is the link:';
    }
  }
}
