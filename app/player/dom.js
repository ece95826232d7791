/* Small helpers for building the page. Text always goes in as text, never as HTML. */

function node(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'class') element.className = value;
    else if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function drawing(tag, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function icon(path) {
  return drawing(
    'svg',
    { viewBox: '0 0 24 24', width: 20, height: 20, 'aria-hidden': 'true' },
    drawing('path', { d: path, fill: 'currentColor' }),
  );
}

function button(label, path, action, extra = {}) {
  const face = node('button', { type: 'button', 'aria-label': label, title: label, ...extra });
  face.append(icon(path));
  face.addEventListener('click', action);
  return face;
}

/** A small field of a colour. */
function swatch(colour) {
  const field = node('span', { class: 'md-swatch' });
  field.style.background = colour;
  return field;
}

/** A share in [0, 1] as percent, rounded down, so that shown shares never exceed 100 % together. */
function percent(share) {
  const value = Math.floor(share * 1000) / 10;
  return value < 0.1 ? '<0.1 %' : value.toFixed(1) + ' %';
}

/** A token's text with its whitespace, or its bytes, made visible. */
function visible(piece) {
  if (Array.isArray(piece)) return hex(piece);
  const shown = piece.replace(/ /g, '␣').replace(/\n/g, '↵').replace(/\t/g, '⇥');
  return shown === '' ? '∅' : shown;
}

const calm = () => window.matchMedia('(prefers-reduced-motion: reduce)').matches;
