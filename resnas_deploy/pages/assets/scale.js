// From numbers to pixels, and the numbers that stand at an axis.
const FONT = "12px system-ui, sans-serif";
const pen = document.createElement("canvas").getContext("2d");

function textWidth(text) {
  pen.font = FONT;
  return pen.measureText(text).width;
}

function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
}

// The range of an axis: a little more than its values, which may all be the same.
function range(values, axis) {
  let [low, high] = extent(values);
  if (axis.log) return [low / 1.15, high * 1.15];
  const margin = (high - low) * 0.05 || Math.abs(high) * 0.1 || 1;
  return axis.zero ? [0, high + margin] : [low - margin, high + margin];
}

function scaled([low, high], [from, to], log) {
  const place = log ? Math.log : (value) => value;
  const factor = (to - from) / (place(high) - place(low));
  return (value) => from + (place(value) - place(low)) * factor;
}

// Round numbers inside a range, with as many decimals as tell them apart.
function ticks([low, high], count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((times) => times * power >= rough * 0.999) * power;
  const decimals = Math.max(0, Math.min(12, -Math.floor(Math.log10(step * 1.0001))));
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at += 1) {
    found.push({ value: at * step, text: (at * step).toFixed(decimals) });
  }
  return found;
}

// Those whose texts would not touch, of more than there may be room for; `size` is a text's along the axis.
function apart(wanted, place, size) {
  let end = -Infinity;
  return wanted.filter((tick) => {
    const half = size(tick.text) / 2;
    if (place(tick.value) - half < end + 8) return false;
    end = place(tick.value) + half;
    return true;
  });
}

function figure(value) {
  const size = Math.abs(value);
  return size && (size < 1e-4 || size >= 1e6) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}
