/* The painter: a picture from somewhere, a mask on it, and the tools to paint the mask with. */

const VERSION = 1;
const SIZES = [1, 2, 4, 8];
const LARGEST = 10 * 2 ** 20; // bytes of an upload
const KEEP = 200; // states that can be undone
const BAD_FILE = 'This file could not be read as an image (PNG, JPEG or WebP up to 10 MB).';
const HELP =
  'By keyboard: arrows move (with Shift by four), Space paints, E erases, R draws rectangles, ' +
  '[ and ] change the brush, Ctrl+Z undoes, Ctrl+Y redoes.';

/** A mask as a small drawing. */
function glyph(mask) {
  const { width, height, bits } = mask;
  const dots = [...bits.keys()].filter((k) => bits[k]);
  const path = dots.map((k) => `M${k % width} ${Math.floor(k / width)}h1v1h-1z`).join('');
  return drawing(
    'svg',
    { viewBox: `0 0 ${width} ${height}`, width: 24, height: 24, 'aria-hidden': 'true' },
    drawing('path', { d: path, fill: 'currentColor', 'shape-rendering': 'crispEdges' }),
  );
}

class Painter {
  /** `store` takes each new value; `server` describes models and converts files; `last` gives the
      last sample, or null. */
  constructor(root, store, server, last) {
    this.root = root;
    this.store = store;
    this.server = server;
    this.last = last;
    this.id = Math.random().toString(36).slice(2); // no two painters share their radio buttons
    this.tool = { erase: false, size: 2, rectangle: false };
    this.past = [];
    this.future = [];
    root.classList.add('md-painter');
    this.board = new Board(this.tool, (mask) => this.#change({ mask }));
    this.keys = new Keys(this.board, (text) => this.#say(text));
    this.#build();
    this.#listen();
  }

  #build() {
    const act = (label, action, extra = {}) =>
      node('button', { type: 'button', onclick: action, ...extra }, label);
    const group = (label, name, ...inner) =>
      node('div', { class: `md-group ${name}`, role: 'group', 'aria-label': label }, ...inner);
    this.examples = group('Examples', 'md-thumbs');
    this.file = node('input', { type: 'file', accept: 'image/png,image/jpeg,image/webp', hidden: '' });
    this.file.addEventListener('change', () => this.upload(this.file.files[0]));
    this.negative = act('Invert colours', () => this.#negate());
    this.rule = node('p', { class: 'md-rule' });
    this.note = node('p', { class: 'md-note', hidden: '' });
    this.problem = node('p', { class: 'md-problem', role: 'alert' });
    this.undo = act('Undo', () => this.back(), { title: 'Undo (Ctrl+Z)' });
    this.redo = act('Redo', () => this.forth(), { title: 'Redo (Ctrl+Y)' });
    this.sum = node('p', { class: 'md-sum' });
    this.live = node('div', { class: 'md-live', role: 'status', 'aria-live': 'polite' });
    const help = node('p', { class: 'md-help', id: `md-help-${this.id}` }, HELP);
    this.board.face.setAttribute('aria-describedby', help.id);
    const sources = group(
      'Picture',
      'md-sources',
      this.examples,
      act('Upload a picture', () => this.file.click()),
      act('Last sample', () => this.#take()),
      this.negative,
      this.file,
    );
    const presets = PRESETS.map(([name, make]) =>
      act(glyph(make(8, 8)), () => this.#set(make), { 'aria-label': name, title: name }),
    );
    const tools = node(
      'div',
      { class: 'md-kit' },
      this.#choice('Paint', 'md-ways', [['Mask', 'mask'], ['Erase', 'erase']], (way) =>
        this.hold({ erase: way === 'erase' }),
      ),
      this.#choice('Brush', 'md-brushes', [...SIZES.map((size) => [`${size}`, size]), ['Rectangle', 'all']], (size) =>
        this.hold(size === 'all' ? { rectangle: true } : { size, rectangle: false }),
      ),
      group('Presets', 'md-presets', node('span', {}, 'Preset'), ...presets),
      group(
        'Changes',
        'md-past',
        this.undo,
        this.redo,
        act('Invert', () => this.#change({ mask: this.mask.inverted() }), { title: 'Masked and given change places' }),
        act('Clear', () => this.#set((width, height) => new Mask(width, height)), { title: 'Mask nothing' }),
      ),
      this.sum,
      help,
    );
    this.root.append(
      node('div', { class: 'md-source' }, sources, this.rule, this.note, this.problem),
      node('div', { class: 'md-work' }, this.board.box, tools),
      this.live,
    );
    this.hold({});
  }

  #choice(label, name, options, choose) {
    const set = node('fieldset', { class: `md-choice ${name}` }, node('legend', {}, label));
    for (const [text, value] of options) {
      const input = node('input', { type: 'radio', name: `${name}-${this.id}`, value });
      input.addEventListener('change', () => choose(value));
      set.append(node('label', {}, input, node('span', {}, text)));
    }
    return set;
  }

  /** Take up another tool, in whole or in part. */
  hold(change) {
    Object.assign(this.tool, change);
    const { erase, size, rectangle } = this.tool;
    const chosen = [erase ? 'erase' : 'mask', rectangle ? 'all' : String(size)];
    for (const input of this.root.querySelectorAll('.md-choice input')) {
      input.checked = chosen.includes(input.value);
    }
    this.board.draw();
  }

  /** Paint for a model: its size and examples; a picture that it can read stays. */
  async choose(model) {
    this.model = model;
    const told = await this.server.describe(model);
    if (model !== this.model) return;
    this.#complain(told.problem);
    if (told.problem) return;
    const same = this.told?.codec === told.codec;
    this.told = told;
    this.rule.textContent = told.rule;
    this.negative.hidden = !told.invertible;
    if (same) return;
    const pictures = told.examples.map((example) => [example.name, this.#picture(example.pixels)]);
    this.examples.replaceChildren(...pictures.map(([name, picture]) => this.#thumb(name, picture)));
    const { width, height } = told;
    const [, first] = pictures[0] || [null, this.#picture(null)];
    this.past = [];
    this.future = [];
    this.#show({ picture: first, mask: new Map(PRESETS).get('Bottom half')(width, height) });
  }

  #picture(text) {
    const { width, height, channels } = this.told;
    const pixels = text === null ? new Uint8Array(width * height * channels) : bytesOf(text);
    return { width, height, channels, pixels };
  }

  #thumb(name, picture) {
    const canvas = node('canvas', {});
    paint(canvas, picture);
    const open = () => this.#change({ picture });
    return node('button', { type: 'button', onclick: open, 'aria-label': `Example: ${name}`, title: name }, canvas);
  }

  /** A picture {width, height, channels, pixels} from elsewhere; its mask, if any, begins masked. */
  use(picture) {
    const { width, height, channels } = this.told;
    const size = (one) => `${one.height}x${one.width}x${one.channels}`;
    if (picture.width !== width || picture.height !== height || picture.channels !== channels) {
      this.#complain(`That picture is ${size(picture)}; this model reads ${size(this.told)}. Choose its model first.`);
      return;
    }
    const { mask, ...own } = picture;
    this.#change({ picture: own, mask: new Mask(width, height, mask) });
  }

  #take() {
    const picture = this.last();
    if (picture) this.use(picture);
    else this.#complain('There is no sample of a picture yet. Generate one in Watch.');
  }

  #negate() {
    const { picture } = this;
    this.#change({ picture: { ...picture, pixels: picture.pixels.map((value) => 255 - value) } });
  }

  /** Have a file converted; its transparent pixels begin as masked. */
  async upload(file) {
    this.file.value = '';
    if (!file || !this.told) return;
    if (file.size > LARGEST) return this.#complain(BAD_FILE);
    const { model } = this;
    const reader = new FileReader();
    reader.readAsDataURL(file);
    await new Promise((done) => reader.addEventListener('loadend', done));
    const data = reader.result?.split(',')[1] || '';
    const told = await this.server.convert(model, data).catch(() => ({ problem: BAD_FILE }));
    if (model !== this.model) return;
    if (told.problem) return this.#complain(told.problem);
    const picture = this.#picture(told.pixels);
    this.#change({ picture, mask: Mask.unpack(told.mask, picture.width, picture.height) });
    this.note.textContent = told.note;
    this.note.hidden = !told.note;
  }

  #complain(text = '') {
    this.problem.textContent = text;
  }

  #set(make) {
    if (this.picture) this.#change({ mask: make(this.picture.width, this.picture.height) });
  }

  /** Another mask or picture, which can be undone. */
  #change(change) {
    if (!this.picture) return;
    const { picture, mask } = this;
    this.past.push({ picture, mask });
    this.past.splice(0, this.past.length - KEEP);
    this.future = [];
    this.#show({ picture, mask, ...change });
  }

  back() {
    if (!this.past.length) return;
    this.future.push({ picture: this.picture, mask: this.mask });
    this.#show(this.past.pop());
  }

  forth() {
    if (!this.future.length) return;
    this.past.push({ picture: this.picture, mask: this.mask });
    this.#show(this.future.pop());
  }

  #show({ picture, mask }) {
    if (picture !== this.picture) this.note.hidden = true;
    this.picture = picture;
    this.mask = mask;
    this.undo.disabled = !this.past.length;
    this.redo.disabled = !this.future.length;
    this.#complain();
    this.board.open(picture, mask);
    const told = `${mask.count} of ${mask.bits.length} pixels masked`;
    this.sum.textContent = told;
    this.board.face.setAttribute('aria-label', `Mask on the picture: ${told}`);
    this.#say(told);
    this.store(this.value);
  }

  /** What Python reads. */
  get value() {
    return { version: VERSION, picture: textOf(this.picture.pixels), mask: this.mask.pack() };
  }

  #say(text) {
    this.live.textContent = text;
  }

  #listen() {
    this.root.addEventListener('keydown', (event) => {
      if (this.#key(event)) event.preventDefault();
    });
    this.root.addEventListener('dragover', (event) => event.preventDefault());
    this.root.addEventListener('drop', (event) => {
      event.preventDefault();
      this.upload(event.dataTransfer.files[0]);
    });
  }

  #key(event) {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key === '[' || key === ']') return this.#resize(key === '[' ? -1 : 1); // AltGr on some boards
    if (event.altKey) return false;
    if (event.ctrlKey || event.metaKey) return this.#shortcut(key, event.shiftKey);
    if (key === 'e') this.hold({ erase: !this.tool.erase });
    else if (key === 'r') this.hold({ rectangle: !this.tool.rectangle });
    else return false;
    this.#say(this.#toolName());
    return true;
  }

  #shortcut(key, shift) {
    if (key === 'y' || (key === 'z' && shift)) this.forth();
    else if (key === 'z') this.back();
    else return false;
    return true;
  }

  #resize(way) {
    const place = SIZES.indexOf(this.tool.size) + way;
    this.hold({ size: SIZES[Math.max(0, Math.min(SIZES.length - 1, place))], rectangle: false });
    this.#say(this.#toolName());
    return true;
  }

  #toolName() {
    const { erase, size, rectangle } = this.tool;
    return `${erase ? 'Erase' : 'Mask'}, ${rectangle ? 'rectangle' : `brush ${size}`}`;
  }
}
