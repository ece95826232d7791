/* The board by keyboard: a cursor that arrows move, and a brush that Space holds down. */

const FAR = 4; // pixels that an arrow moves with Shift
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

class Keys {
  /** `say` speaks to who cannot see. */
  constructor(board, say) {
    this.board = board;
    this.say = say;
    const { face } = board;
    face.addEventListener('keydown', (event) => {
      if (this.#down(event)) event.preventDefault();
    });
    face.addEventListener('keyup', (event) => {
      if (event.key === ' ' && !board.tool.rectangle) board.end();
    });
    face.addEventListener('focus', () => board.show(face.matches(':focus-visible')));
    face.addEventListener('blur', () => {
      if (board.tool.rectangle) board.drop();
      else board.end();
      board.show(false);
    });
  }

  #down({ key, shiftKey, repeat, ctrlKey, metaKey, altKey }) {
    if (ctrlKey || metaKey || altKey) return false;
    const { board } = this;
    if (MOVES[key]) this.#move(MOVES[key].map((step) => step * (shiftKey ? FAR : 1)));
    else if (key === 'Escape' && board.stroke) board.drop();
    else if (key !== ' ') return false;
    else if (!repeat) this.#press();
    return true;
  }

  /** A brush paints from here as long as the key is down; a rectangle ends at the second press. */
  #press() {
    const { board } = this;
    this.#move([0, 0]);
    if (board.stroke) return board.end();
    board.begin(board.cursor);
    if (board.tool.rectangle) this.say('Corner set. Move, and press Space again.');
  }

  #move([right, down]) {
    const { board } = this;
    const { width, height } = board.size;
    const inside = (value, size) => Math.max(0, Math.min(size - 1, Math.floor(value))) + 0.5;
    const x = inside(board.cursor.x + right, width);
    const y = inside(board.cursor.y + down, height);
    board.cursor = { x, y };
    board.show(true);
    if (board.stroke) return board.extend(board.cursor);
    const state = board.mask.at(Math.floor(x), Math.floor(y)) ? 'masked' : 'given';
    this.say(`Row ${Math.ceil(y)}, column ${Math.ceil(x)}, ${state}`);
  }
}
