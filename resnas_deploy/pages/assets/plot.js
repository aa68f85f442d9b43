// Points and lines on two axes, drawn at the width that there is. The arrow keys go from point to point.
const TOP = 30;
const BOTTOM = 46;
const NEAR = 28; // pixels from a point at which it is pointed at

function plotIn(host, label, tipsOf) {
  const svg = shape("svg", { class: "plot", tabindex: 0, role: "application", "aria-label": label });
  svg.setAttribute("aria-roledescription", "chart; arrow keys go from point to point");
  const legend = make("ul", { class: "legend" });
  host.append(svg, legend);
  const off = new Set(); // names of series that are not shown
  let plot = null;
  let points = []; // of each series that is shown, from left to right: {series, number, x, y}
  let chosen = null;
  let width = 0;

  function draw() {
    width = host.clientWidth - 2 * parseFloat(getComputedStyle(host).paddingLeft);
    if (!plot || width < 50) return;
    chosen = null;
    svg.replaceChildren();
    const shown = plot.series.filter((series) => !off.has(series.name) && series.x.length);
    const height = Math.round(Math.max(240, Math.min(460, width * 0.62)));
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    let [xs, ys] = [valuesOf(shown, "x", plot), valuesOf(shown, "y", plot)];
    if (plot.diagonal) xs = ys = xs.concat(ys);
    const [xRange, yRange] = [range(xs, plot.x), range(ys, plot.y)];
    const yTicks = ticks(yRange, (height - TOP - BOTTOM) / 50);
    const left = Math.ceil(Math.max(...yTicks.map((tick) => textWidth(tick.text)), 8)) + 10;
    const x = scaled(xRange, [left, width - 26], plot.x.log);
    const y = scaled(yRange, [height - BOTTOM, TOP], plot.y.log);
    axes(svg, plot, { x, y, xRange, yTicks, left, width, height });
    if (plot.diagonal) svg.append(path("limit", `M${x(xRange[0])} ${y(yRange[0])}L${x(xRange[1])} ${y(yRange[1])}`));
    for (const limit of plot.limits ?? []) {
      if (limit.at >= xRange[0] && limit.at <= xRange[1]) svg.append(path("limit", `M${x(limit.at)} ${TOP}V${height - BOTTOM}`));
    }
    for (const series of shown) svg.append(...drawn(series, x, y));
    points = shown.map((series) => series.x
      .map((value, number) => ({ series, number, x: x(value), y: y(series.y[number]) }))
      .sort((one, other) => one.x - other.x));
    describe();
  }

  function describe() {
    legend.replaceChildren(
      ...plot.series.map((series) => {
        const mark = make("span", { class: `swatch c${series.colour} ${series.marker}` });
        const button = make("button", { type: "button", "aria-pressed": !off.has(series.name) }, mark, series.name);
        button.addEventListener("click", () => {
          if (!off.delete(series.name)) off.add(series.name);
          draw();
          const again = [...legend.querySelectorAll("button")].find((other) => other.textContent === series.name);
          again?.focus();
        });
        return make("li", {}, button);
      }),
      ...(plot.limits ?? []).map((limit) => make("li", {}, make("span", { class: "swatch dash" }), limit.label)),
      ...(plot.diagonal ? [make("li", {}, make("span", { class: "swatch dash" }), "equal")] : []),
    );
  }

  function choose(point) {
    svg.querySelector(".chosen")?.remove();
    chosen = point;
    if (!point) return hideTip();
    svg.append(shape("circle", { class: "chosen", cx: point.x, cy: point.y, r: 7 }));
    const box = svg.getBoundingClientRect();
    showTip(tipsOf(plot, point.series, point.number), box.left + point.x * box.width / width, box.top + point.y * box.width / width);
  }

  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerdown", point);
  svg.addEventListener("pointerleave", () => choose(null));
  svg.addEventListener("blur", () => choose(null));
  function point(event) {
    const box = svg.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) * width / box.width, (event.clientY - box.top) * width / box.width];
    let [best, least] = [null, NEAR];
    for (const line of points) {
      for (const item of line) {
        const distance = Math.hypot(item.x - x, item.y - y);
        if (distance <= least) [best, least] = [item, distance];
      }
    }
    if (best !== chosen) choose(best);
  }

  svg.addEventListener("keydown", (event) => {
    const lines = points.filter((line) => line.length);
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -25, PageDown: 25, Home: -Infinity, End: Infinity };
    const along = steps[event.key];
    const across = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!lines.length || (along === undefined && across === undefined)) return;
    event.preventDefault();
    let line = lines.findIndex((items) => items.includes(chosen));
    if (line < 0) return choose(lines[lines.length - 1][0]); // the one on top
    if (along !== undefined) {
      const place = lines[line].indexOf(chosen) + along;
      return choose(lines[line][Math.max(0, Math.min(lines[line].length - 1, place))]);
    }
    line = (line + across + lines.length) % lines.length;
    const nearest = lines[line].reduce((one, other) => (Math.abs(other.x - chosen.x) < Math.abs(one.x - chosen.x) ? other : one));
    return choose(nearest);
  });

  new ResizeObserver(() => {
    if (Math.abs(host.clientWidth - 2 * parseFloat(getComputedStyle(host).paddingLeft) - width) > 1) draw();
  }).observe(host);
  return (next) => {
    plot = next;
    draw();
  };
}

// All that must be in the range of an axis.
function valuesOf(shown, name, plot) {
  const found = shown.flatMap((series) => [series[name], series[`${name}Low`] ?? [], series[`${name}High`] ?? []].flat());
  return name === "x" ? found.concat(plot[name].ticks ?? []) : found;
}

function path(kind, line) {
  return shape("path", { class: kind, d: line });
}

function axes(svg, plot, { x, y, xRange, yTicks, left, width, height }) {
  const bottom = height - BOTTOM;
  const given = (plot.x.ticks ?? []).map((value) => ({ value, text: figure(value) }));
  const xTicks = apart(given.length ? given : ticks(xRange, (width - left) / 80), x, textWidth);
  for (const tick of yTicks) {
    svg.append(path("grid", `M${left} ${y(tick.value)}H${width - 12}`));
    svg.append(shape("text", { x: left - 6, y: y(tick.value) + 4, "text-anchor": "end" }, tick.text));
  }
  for (const tick of xTicks) {
    svg.append(path("grid", `M${x(tick.value)} ${bottom}v5`));
    svg.append(shape("text", { x: x(tick.value), y: bottom + 19, "text-anchor": "middle" }, tick.text));
  }
  svg.append(shape("text", { x: 0, y: 12, class: "label" }, plot.y.label));
  svg.append(shape("text", { x: width - 12, y: height - 8, "text-anchor": "end", class: "label" }, plot.x.label));
}

// What shows a series: its intervals, its line, and a mark for each point.
function drawn(series, x, y) {
  const colour = `c${series.colour}`;
  const places = series.x.map((value, number) => [x(value), y(series.y[number])]);
  const found = [];
  if (series.yLow && series.band) {
    const upper = series.x.map((value, number) => `${x(value)} ${y(series.yHigh[number])}`);
    const lower = series.x.map((value, number) => `${x(value)} ${y(series.yLow[number])}`).reverse();
    found.push(path(`band ${colour}`, `M${upper.concat(lower).join("L")}Z`));
  } else if (series.yLow) {
    const bars = places.map(([at], number) => `M${at} ${y(series.yLow[number])}V${y(series.yHigh[number])}`);
    found.push(path(`whisker ${colour}`, bars.join("")));
  }
  if (series.xLow) {
    const bars = places.map(([, at], number) => `M${x(series.xLow[number])} ${at}H${x(series.xHigh[number])}`);
    found.push(path(`whisker ${colour} ${series.pale ? "pale" : ""}`, bars.join("")));
  }
  if (series.form !== "points") {
    const step = (number) => (series.form === "step" && number ? `H${places[number][0]}` : "");
    found.push(path(`path ${colour}`, `M${places.map(([a, b], number) => `${step(number)}${number ? "L" : ""}${a} ${b}`).join("")}`));
  }
  if (series.marker) {
    const many = places.length > 150 ? "many" : "";
    found.push(path(`dots ${colour} ${series.marker} ${many}`, places.map(([a, b]) => `M${a} ${b}h0`).join("")));
  }
  return found;
}

// What is said of a point where nothing else is: its series and figures.
function usualTips(plot, series, number) {
  if (series.tips) return series.tips[number].split("\n");
  return [series.name, `${plot.x.label}: ${figure(series.x[number])}`, `${plot.y.label}: ${interval(series, "y", number)}`];
}

function interval(series, axis, number) {
  const value = figure(series[axis][number]);
  const [low, high] = [series[`${axis}Low`], series[`${axis}High`]];
  return low ? `${value} (${figure(low[number])} to ${figure(high[number])})` : value;
}
