/* A picture of a run as it stands on the page: what the browser has laid out, drawn once more. */

const PORTRAIT_SCALE = 2;
const PORTRAIT_MARGIN = 28;
const CAPTION_LEADING = 20;

/** A canvas with the text or the images of a view and lines of caption below. */
function portrait(view, captions) {
  const box = (view.sheet || view.box).getBoundingClientRect();
  const style = getComputedStyle(view.box);
  const canvas = document.createElement('canvas');
  const below = captions.length * CAPTION_LEADING + 8;
  canvas.width = PORTRAIT_SCALE * (box.width + 2 * PORTRAIT_MARGIN);
  canvas.height = PORTRAIT_SCALE * (box.height + below + 2 * PORTRAIT_MARGIN);
  const pen = canvas.getContext('2d');
  pen.scale(PORTRAIT_SCALE, PORTRAIT_SCALE);
  pen.fillStyle = style.getPropertyValue('--paper');
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.translate(PORTRAIT_MARGIN, PORTRAIT_MARGIN);
  if (view.canvas) {
    pen.imageSmoothingEnabled = false;
    pen.drawImage(view.canvas, 0, 0, box.width, box.height);
  } else {
    drawTokens(pen, view.tokens, box);
  }
  pen.font = `13px ${style.getPropertyValue('--plain')}`;
  pen.fillStyle = style.getPropertyValue('--quiet');
  captions.forEach((caption, k) => {
    pen.fillText(caption, 0, box.height + 8 + CAPTION_LEADING * (k + 1), box.width);
  });
  return canvas;
}

function drawTokens(pen, tokens, box) {
  for (const token of tokens) {
    const face = token.querySelector('.md-face');
    const rects = [...face.getClientRects()].filter(({ width }) => width > 0);
    const places = rects.map(({ left, top, width, height }) => [left - box.left, top - box.top, width, height]);
    const hidden = token.dataset.state === 'masked' || token.dataset.state === 'again';
    if (hidden) places.forEach((place) => drawMask(pen, face, place));
    else drawWord(pen, face, places, box);
  }
}

function drawMask(pen, face, [left, top, width, height]) {
  const style = getComputedStyle(face, '::before');
  const dashed = style.borderTopStyle === 'dashed';
  pen.beginPath();
  pen.roundRect(left + 1.5, top + 0.18 * height, Math.max(2, width - 3), 0.66 * height, 4);
  pen.fillStyle = style.backgroundColor;
  pen.fill();
  pen.strokeStyle = dashed ? style.borderTopColor : getComputedStyle(face).getPropertyValue('--mask-edge');
  pen.setLineDash(dashed ? [4, 3] : []);
  pen.stroke();
}

function drawWord(pen, face, places, box) {
  const style = getComputedStyle(face);
  const fresh = face.parentNode.dataset.state === 'new' && style.boxShadow !== 'none';
  for (const [left, top, width, height] of places) {
    pen.fillStyle = style.backgroundColor;
    pen.beginPath();
    pen.roundRect(left, top, width, height, 4);
    pen.fill();
    pen.fillStyle = style.getPropertyValue('--accent');
    if (fresh) pen.fillRect(left, top + height, width, 2);
    if (style.textDecorationLine.includes('underline')) {
      pen.beginPath();
      pen.setLineDash(style.textDecorationStyle === 'dotted' ? [1, 2] : [4, 3]);
      pen.strokeStyle = style.textDecorationColor;
      pen.moveTo(left, top + height + 1);
      pen.lineTo(left + width, top + height + 1);
      pen.stroke();
    }
  }
  pen.font = `${style.fontSize} ${style.fontFamily}`;
  pen.fillStyle = style.color;
  for (const [letters, rect] of placed(face, places.length)) {
    const { fontBoundingBoxAscent: up, fontBoundingBoxDescent: down } = pen.measureText(letters);
    const top = rect.top - box.top + (rect.height - up - down) / 2;
    pen.fillText(letters, rect.left - box.left, top + up);
  }
}

/** The text of a face and where it stands; letter by letter if it is broken across lines. */
function placed(face, lines) {
  const text = face.firstChild;
  if (!text || !text.length) return [];
  const range = document.createRange();
  const at = (start, end) => {
    range.setStart(text, start);
    range.setEnd(text, end);
    return [text.data.slice(start, end), range.getBoundingClientRect()];
  };
  if (lines < 2) return [at(0, text.length)];
  let start = 0;
  return [...text.data].map((letter) => at(start, (start += letter.length)));
}
