// Text with a range replaced, in VS Code's positions (UTF-16 units). Pure.

export interface Place {
  line: number;
  character: number;
}

export interface Replacement {
  start: Place;
  end: Place;
  text: string;
}

/** Offset of a position; a position past the end of its line stands at the line's end, as in the protocol. */
export function offsetAt(text: string, place: Place): number {
  const breaks = /\r\n|\r|\n/g;
  let start = 0;
  for (let line = 0; line < place.line; line++) {
    const found = breaks.exec(text);
    if (!found) return text.length;
    start = breaks.lastIndex;
  }
  const end = breaks.exec(text)?.index ?? text.length;
  return Math.min(start + place.character, end);
}

/** `text` with every replacement made; they must not overlap. */
export function replaced(text: string, replacements: readonly Replacement[]): string {
  const spans = replacements
    .map(({ start, end, text: inserted }) => ({ start: offsetAt(text, start), end: offsetAt(text, end), inserted }))
    .sort((a, b) => b.start - a.start);
  return spans.reduce((whole, span) => whole.slice(0, span.start) + span.inserted + whole.slice(span.end), text);
}
