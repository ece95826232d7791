/* Text with holes as atoms, and back: [MASK] is a masked token, [[words]] are masked words and
   [[words|3]] masks three tokens. What app/holes.py reads. */

const NOTATION = /\[MASK\]|\[\[([^[\]]*?)(?:\|(\d{1,4}))?\]\]/g;
const SEGMENTER = new Intl.Segmenter(undefined, { granularity: 'word' });

/** Words, stretches of whitespace and of punctuation, in order. */
function segments(text) {
  const found = [];
  for (const { segment, isWordLike } of SEGMENTER.segment(text)) {
    const kind = isWordLike ? 'word' : /^\s+$/.test(segment) ? 'space' : 'mark';
    const last = found[found.length - 1];
    if (last && last.kind === kind && kind !== 'word') last.text += segment;
    else found.push({ text: segment, kind });
  }
  return found;
}

/** Atoms {text, kind, hole}; atoms of one hole share {count, words}, count null if not chosen. */
function readAtoms(text) {
  const atoms = [];
  const give = (part, hole) => atoms.push(...segments(part).map((s) => ({ ...s, hole })));
  let end = 0;
  for (const match of text.matchAll(NOTATION)) {
    const before = text.slice(end, match.index);
    end = match.index + match[0].length;
    give(before, null);
    const last = atoms[atoms.length - 1];
    const count = match[2] ? Math.max(1, Number(match[2])) : null;
    if (match[1]) give(match[1], { count, words: match[1] });
    else if (!before && last?.hole?.words === '') last.hole.count += count || 1;
    else atoms.push({ text: '', kind: 'mask', hole: { count: count || 1, words: '' } });
  }
  give(text.slice(end), null);
  return atoms;
}

/** Atoms in stretches that are given, or belong to one hole. */
function stretches(atoms) {
  const found = [];
  for (const atom of atoms) {
    const last = found[found.length - 1];
    if (last && last.hole === atom.hole) last.atoms.push(atom);
    else found.push({ hole: atom.hole, atoms: [atom] });
  }
  return found;
}

function writeAtoms(atoms) {
  return stretches(atoms)
    .map(({ hole, atoms: own }) => {
      const words = own.map((atom) => atom.text).join('');
      if (!hole) return words;
      if (hole.words === '') return '[MASK]'.repeat(hole.count);
      const [, lead, inner, trail] = words.match(/^(\s*)([^]*?)(\s*)$/);
      if (!inner) return words;
      const count = hole.count === null || inner !== hole.words ? '' : `|${hole.count}`;
      return `${lead}[[${inner}${count}]]${trail}`;
    })
    .join('');
}

/** Brackets and bars are the notation's own, so they cannot be written inside a hole. */
const maskable = (atom) => atom.kind !== 'mask' && !/[[\]|]/.test(atom.text);

/** Mask atoms from one index to another, as one hole. */
function maskAtoms(atoms, from, to) {
  let hole = null;
  for (const atom of atoms.slice(from, to + 1)) {
    if (!maskable(atom)) hole = null;
    else if (hole || atom.kind !== 'space') atom.hole = hole = hole || { count: null, words: null };
  }
  return atoms;
}

/** Give the atoms back; a mask without words goes, and the space before it. */
function unmaskAtoms(atoms, from, to) {
  const kept = [];
  atoms.forEach((atom, index) => {
    const chosen = index >= from && index <= to;
    if (chosen && atom.kind === 'mask') return closeGap(kept, atoms[index + 1]);
    if (chosen) atom.hole = null;
    kept.push(atom);
  });
  return kept;
}

/** Take away one of the spaces around a mask that goes: the one before it, or at a start the next. */
function closeGap(before, after) {
  const last = before[before.length - 1];
  if (last?.text.endsWith(' ')) last.text = last.text.slice(0, -1);
  else if (after && (!last || /\s$/.test(last.text))) after.text = after.text.replace(/^ /, '');
}

/** Mask a share of the words, each drawn alone; neighbours make one hole. */
function maskAtRandom(atoms, share) {
  const fresh = unmaskAtoms(atoms, 0, atoms.length - 1);
  const words = [...fresh.keys()].filter((k) => fresh[k].kind === 'word' && maskable(fresh[k]));
  const keys = new Map(words.map((k) => [k, Math.random()]));
  const count = Math.min(words.length, Math.max(1, Math.round(share * words.length)));
  const drawn = words.sort((a, b) => keys.get(a) - keys.get(b)).slice(0, count);
  drawn.sort((a, b) => a - b);
  for (let k = 0; k < drawn.length; k += 1) {
    const first = drawn[k];
    const near = (a, b) => b === a + 1 || (b === a + 2 && fresh[a + 1].kind === 'space');
    while (k + 1 < drawn.length && near(drawn[k], drawn[k + 1])) k += 1;
    maskAtoms(fresh, first, drawn[k]);
  }
  return fresh;
}
