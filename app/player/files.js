/* A run as files: what each of them holds. */

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:";
const SHELL = `
body { max-width: 880px; margin: 0 auto; padding: 16px; background: #f6f2ea; }
.dark body { background: #121415; }
h1 { margin: 8px 4px 16px; font: 600 22px/1.3 Georgia, "Liberation Serif", serif; color: #211d18; }
.dark h1 { color: #ece7de; }
`;
const BEGIN = `
const dark = matchMedia('(prefers-color-scheme: dark)');
const adapt = () => document.documentElement.classList.toggle('dark', dark.matches);
dark.addEventListener('change', adapt);
adapt();
new Player(document.querySelector('.md-mount')).open(RUN.map((line) => JSON.stringify(line) + '\\n').join(''));
`;

/** "childrens-books-7", for the run of that model with that seed. */
function fileStem({ start }) {
  const model = start.model.replace(/[^\p{L}\p{N}._-]+/gu, '-').replace(/^[-.]+/, '');
  return `${model || 'run'}-${start.seed}`;
}

/** A trajectory as app/render.py reads it. */
function dataFile(trajectory) {
  const { lines } = trajectory;
  const written = lines.map((line) => JSON.stringify(line)).join(',\n');
  return new Blob([`{"format":${lines[0].v},"lines":[\n${written}\n]}\n`], { type: 'application/json' });
}

/** The text after the last step, with [MASK] for what is masked. */
function textFile(trajectory) {
  const tokens = trajectory.positions.map((_, position) => trajectory.at(position, trajectory.last)?.token ?? null);
  return new Blob([trajectory.text(tokens, '[MASK]')], { type: 'text/plain' });
}

/** The images after the last step, a pixel each; what is unknown is transparent. */
function imageFile({ trajectory }) {
  const { looks, last } = trajectory;
  const canvas = node('canvas', { width: looks.columns * looks.width, height: looks.rows * looks.height });
  const pen = canvas.getContext('2d');
  for (let pixel = 0; pixel < looks.pixels; pixel += 1) {
    const places = Array.from({ length: looks.channels }, (_, k) => pixel * looks.channels + k);
    const tokens = places.map((position) => trajectory.at(position, last)?.token ?? null);
    const known = tokens.filter((token) => token !== null).length;
    if (!known) continue;
    const { x, y } = looks.onSheet(pixel);
    pen.globalAlpha = known / looks.channels;
    pen.fillStyle = looks.colour(tokens.map((token) => token ?? 0));
    pen.fillRect(x, y, 1, 1);
  }
  return new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
}

/** A page that plays the run by itself, with the script and the style of this player. */
function pageFile(trajectory, source, style) {
  const { model, seed } = trajectory.start;
  const plain = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };
  const title = `A run of ${model}, seed ${seed}`.replace(/[&<>]/g, (sign) => plain[sign]);
  const run = JSON.stringify(trajectory.lines).replace(/</g, '\\u003c');
  const parts = [
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
    `<meta http-equiv="Content-Security-Policy" content="${POLICY}">\n`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
    `<title>${title}</title>\n<style>${SHELL}${style}</style>\n</head>\n`,
    `<body>\n<h1>${title}</h1>\n<main class="md-mount"></main>\n`,
    `<script>\n${source}\nconst RUN = ${run};\n${BEGIN}</`,
    'script>\n</body>\n</html>\n',
  ];
  return new Blob(parts, { type: 'text/html' });
}

/** A picture of the step that is shown. */
function pictureFile({ trajectory, view, readout }) {
  const { model, seed } = trajectory.start;
  const canvas = portrait(view, [readout, `${model}, seed ${seed}`]);
  return new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
}

/** The run as a moving picture, which the server draws. */
async function movingFile(trajectory, draw) {
  const answer = await draw(trajectory.lines.map((line) => JSON.stringify(line)).join('\n'));
  if (answer.problem) throw new Error(answer.problem);
  const bytes = Uint8Array.from(atob(answer.gif), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: 'image/gif' });
}

function download(blob, name) {
  const address = URL.createObjectURL(blob);
  node('a', { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000); // a slow disk may still be reading
}
