// A candidate's architecture: a letter for each choice of the space that has more than one value.
const LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

function placeOf(letter) {
  const place = LETTERS.indexOf(letter);
  return place < 0 ? LETTERS.length + letter.charCodeAt(0) - 0x4e00 : place;
}

// Lines of text: the network's own choices, then a line for each stage with its blocks.
function architecture(code, choices) {
  let at = 0;
  const lines = new Map([[0, []]]);
  const blocks = new Map();
  for (const { stage, block, what, values } of choices) {
    const value = values.length > 1 ? values[placeOf(code[at++])] : values[0];
    if (!stage && values.length === 1) continue; // all networks have it
    if (!lines.has(stage)) lines.set(stage, []);
    if (!block) lines.get(stage).push(`${what} ${value}`);
    else {
      const key = `${stage} ${block}`;
      if (!blocks.has(key)) {
        blocks.set(key, {});
        lines.get(stage).push(blocks.get(key));
      }
      blocks.get(key)[what] = value;
    }
  }
  const mixed = (part) => (!part.mixer || part.mixer === "global" ? "" : ` ${part.mixer}`);
  const text = (part) => (typeof part === "string" ? part
    : part.kept ? `${part.heads}×${part["head dim"]}/${part.hidden}${mixed(part)}` : "–");
  const found = [];
  for (const [stage, parts] of lines) {
    if (parts.length) found.push((stage ? `stage ${stage}: ` : "") + parts.map(text).join(", "));
  }
  return [...found, "(of each block: heads × channels / hidden, and its mixer unless global; – is dropped)"];
}
