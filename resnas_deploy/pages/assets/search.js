// A search's candidates: accuracy against what they cost, the front, the finalists as predicted and as measured.
function searchIn(host, data, title) {
  const { costs, finalists } = data;
  const count = data.correct.length;
  for (const cost of costs.filter((one) => one.interval)) {
    [cost.low, cost.high] = cost.interval.map((share) => cost.values.map((value) => value * share));
  }
  const accuracy = data.correct.map((correct, number) => (100 * correct) / (data.seen[number] ?? data.heldOut));
  const filters = make("div", { class: "filters" });
  const found = make("p", { class: "found", role: "status" });
  host.append(filters);
  const controls = { most: costs.map((cost) => slider(`${cost.label} at most`, cost.values.concat(cost.high ?? []), cost.unit, true)) };
  controls.least = slider("top-1 at least", accuracy.filter((_, number) => !data.seen[number]), "%", false);
  controls.iteration = slider("found until iteration", data.iteration.map((value) => value + 1), "", true, 1);
  const axis = choice("across", costs.map((cost) => `${cost.label}, ${cost.unit}`));
  const upper = costs.some((cost) => cost.high) ? box("limits count the upper end of an interval, as the search's own do", true) : null;
  const stopped = Object.keys(data.seen).length ? box("show those that were stopped early", false) : null;
  const reset = make("button", { type: "button" }, "all candidates");
  filters.append(make("div", {}, reset));
  reset.addEventListener("click", () => {
    for (const input of filters.querySelectorAll("input[type=range]")) input.value = input.dataset.all;
    for (const input of filters.querySelectorAll("input[type=checkbox]")) input.checked = input.defaultChecked;
    show();
  });
  filters.addEventListener("input", show);
  host.append(found);
  const draw = plotIn(host, title, tips);

  function slider(name, values, unit, most, step) {
    const [low, high] = extent(values);
    const size = step ?? Math.max((high - low) / 400, 1e-9);
    const input = make("input", { type: "range", min: 0, max: Math.max(1, Math.ceil((high - low) / size - 1e-9)), step: 1 });
    input.dataset.all = most ? input.max : 0;
    input.value = input.dataset.all;
    const output = make("output");
    filters.append(make("label", {}, make("span", { class: "name" }, make("span", {}, name), output), input));
    return () => {
      const free = input.value === String(input.dataset.all);
      const value = low + size * Number(input.value);
      output.textContent = `${figure(value)} ${unit}`;
      input.setAttribute("aria-valuetext", output.textContent);
      return free ? (most ? Infinity : -Infinity) : value;
    };
  }

  function choice(name, options) {
    const select = make("select", {}, ...options.map((option, number) => make("option", { value: number }, option)));
    const label = make("label", {}, make("span", { class: "name" }, name), select);
    if (options.length > 1) filters.append(label);
    return () => Number(select.value);
  }

  function box(name, checked) {
    const input = make("input", { type: "checkbox", ...(checked ? { checked: "" } : {}) });
    filters.append(make("label", {}, input, ` ${name}`));
    return () => input.checked;
  }

  function figuresOf(number, cost) {
    const low = cost.low ? ` (${figure(cost.low[number])} to ${figure(cost.high[number])})` : "";
    return `${cost.label}: ${figure(cost.values[number])} ${cost.unit}${low}`;
  }

  function tips(plot, series, place) {
    const number = series.numbers[place];
    const seen = data.seen[number];
    const top1 = `top-1 ${accuracy[number].toFixed(2)}%${seen ? ` of ${seen} images, then stopped` : ""}`;
    const finalist = series.finalists?.[place];
    const name = finalist ? series.name.replace("finalists", `finalist ${finalist.name}`) : series.name;
    const lines = [`${name}, iteration ${data.iteration[number] + 1}`, top1];
    if (finalist) lines.push(...finalist.tips);
    return lines.concat(costs.map((cost) => figuresOf(number, cost)), architecture(data.archs[number], data.choices));
  }

  function show() {
    const most = controls.most.map((read) => read());
    const [least, iteration, shown] = [controls.least(), controls.iteration(), costs[axis()]];
    const limited = costs.map((cost) => (upper?.() && cost.high ? cost.high : cost.values));
    const inside = [];
    for (let number = 0; number < count; number += 1) {
      const fits = limited.every((values, place) => values[number] <= most[place]);
      if (fits && accuracy[number] >= least && data.iteration[number] < iteration) inside.push(number);
    }
    const whole = inside.filter((number) => !data.seen[number]);
    const best = whole.reduce((one, other) => (one === null || accuracy[other] > accuracy[one] ? other : one), null);
    found.textContent = best === null
      ? `None of ${count} candidates is inside these limits.`
      : `${inside.length} of ${count} candidates are inside; the most accurate: ${accuracy[best].toFixed(2)}%, ` +
        `${costs.map((cost) => figuresOf(best, cost)).join(", ")}.`;
    const kept = new Set(inside);
    const series = [series_("scored", whole, shown, { colour: 5 })];
    if (stopped?.()) series.push(series_("stopped early", inside.filter((number) => data.seen[number]), shown, { colour: 7 }));
    series.push(series_("front", frontOf(whole, shown), shown, { colour: 0, form: "step" }));
    series.push(...finalistsOf(finalists.filter((item) => kept.has(item.candidate)), shown));
    draw({
      x: { label: `${shown.label}, ${shown.unit}` },
      y: { label: "top-1 on the held-out images, %" },
      series: series.filter((item) => item.x.length),
      limits: shown.limit === null ? [] : [{ at: shown.limit, label: `limit: ${figure(shown.limit)} ${shown.unit}` }],
    });
  }

  function series_(name, numbers, cost, style) {
    const pick = (values) => numbers.map((number) => values[number]);
    return { name, numbers, x: pick(cost.values), y: pick(accuracy), form: "points", marker: "circle", ...style };
  }

  function finalistsOf(items, cost) {
    const numbers = items.map((item) => item.candidate);
    const pick = (values) => numbers.map((number) => values[number]);
    const predicted = series_(cost.high ? "finalists, predicted" : "finalists", numbers, cost, {
      colour: 1, marker: "circle", finalists: items, pale: true,
      ...(cost.high ? { xLow: pick(cost.low), xHigh: pick(cost.high) } : {}),
    });
    const ran = items.filter((item) => item.ms !== null);
    if (!cost.measurable || !ran.length) return [predicted];
    const measured = series_("finalists, measured", ran.map((item) => item.candidate), cost, {
      colour: 2, marker: "square", finalists: ran,
    });
    measured.x = ran.map((item) => item.ms);
    measured.xLow = ran.map((item) => item.low);
    measured.xHigh = ran.map((item) => item.high);
    return [predicted, measured];
  }

  // Those that no other beats in accuracy at no higher cost, cheapest first.
  function frontOf(numbers, cost) {
    let best = -1;
    const ordered = [...numbers].sort((one, other) => cost.values[one] - cost.values[other] || accuracy[other] - accuracy[one]);
    return ordered.filter((number) => {
      const better = accuracy[number] > best;
      best = Math.max(best, accuracy[number]);
      return better;
    });
  }

  show();
}
