/* What the colours of the tokens tell, and the legend. */

const COLOURS = [
  ['state', 'State'],
  ['step', 'Reveal step'],
  ['confidence', 'Confidence'],
  ['entropy', 'Entropy'],
];
const SCALES = {
  step: () => ['early', 'late'],
  confidence: () => ['0 %', '100 %'],
  entropy: (most) => ['0 bits', most < 10 ? `${Math.ceil(most)} bits` : '10 bits or more'],
};
const STATES = [
  ['masked', 'masked'],
  ['new', 'revealed in this step'],
  ['shown', 'revealed before'],
  ['given', 'given'],
  ['again', 'masked again'],
  ['edited', 'edited'],
  ['part', 'some channels known'],
];

class Colours {
  /** `uses` says whether a state occurs in the run that is shown; `changed` is told of a choice. */
  constructor(root, uses, changed) {
    this.root = root;
    this.uses = uses;
    this.changed = changed;
    this.most = 10; // bits of entropy
    this.legend = node('div', { class: 'md-legend' });
    this.box = node('fieldset', { class: 'md-colours' }, node('legend', {}, 'Colour by'));
    const name = `md-colour-${Math.random().toString(36).slice(2)}`; // no two players share it
    for (const [value, label] of COLOURS) {
      const input = node('input', { type: 'radio', name, value });
      input.checked = value === 'state';
      input.addEventListener('change', () => this.choose(value));
      this.box.append(node('label', {}, input, node('span', {}, label)));
    }
    this.choose('state');
  }

  #face() {
    if (this.root.dataset.kind === 'image') return node('span', { class: 'md-cell' });
    return node('span', { class: 'md-face' }, 'word');
  }

  choose(value) {
    this.root.dataset.colour = value;
    this.refresh();
    this.changed();
  }

  /** Write the legend anew, as other states may occur now. */
  refresh() {
    const scale = SCALES[this.root.dataset.colour]?.(this.most);
    if (scale) {
      this.legend.replaceChildren(scale[0], node('span', { class: 'md-scale' }), scale[1]);
      return;
    }
    const used = STATES.filter(([state]) => this.uses(state));
    this.legend.replaceChildren(
      ...used.map(([state, label]) =>
        node(
          'span',
          { class: 'md-key' },
          node('span', { 'data-state': state, 'data-edited': state === 'edited' }, this.#face()),
          label,
        ),
      ),
    );
  }
}
