/* Pieces of text: a string, or a list of bytes for a token that holds just a part of a character. */

const JOIN_AT_MOST = 4; // tokens: no character has more bytes

/** The text of pieces in a row; bytes that make no character become "�". */
function joined(pieces) {
  const encoder = new TextEncoder();
  const bytes = pieces.flatMap((piece) => (Array.isArray(piece) ? piece : [...encoder.encode(piece)]));
  return new TextDecoder().decode(new Uint8Array(bytes));
}

/** Bytes for people: ‹E2 80›. */
function hex(bytes) {
  return `‹${bytes.map((byte) => byte.toString(16).toUpperCase().padStart(2, '0')).join(' ')}›`;
}

/** The fewest byte pieces from a position on that make whole characters: {size, text}, or null. */
function joinFrom(pieceAt, position) {
  const bytes = [];
  for (let size = 1; size <= JOIN_AT_MOST; size += 1) {
    const piece = pieceAt(position + size - 1);
    if (!Array.isArray(piece)) return null;
    bytes.push(...piece);
    try {
      return { size, text: new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array(bytes)) };
    } catch {
      // the character goes on in the next piece, or this is none
    }
  }
  return null;
}

/** The byte pieces with which the one at a position makes characters: {first, size, text}, or null. */
function joinAround(pieceAt, position) {
  if (!Array.isArray(pieceAt(position))) return null;
  let first = position;
  while (Array.isArray(pieceAt(first - 1))) first -= 1;
  while (first <= position) {
    const join = joinFrom(pieceAt, first);
    if (join && first + join.size > position) return { first, ...join };
    first += join ? join.size : 1;
  }
  return null;
}
