// Accuracy against throughput: a line for each family, in the setting that is chosen.
function tradeoffIn(host, data, title) {
  const filters = make("div", { class: "filters" });
  const found = make("p", { class: "found", role: "status" });
  host.append(filters);
  const names = ["runner", "precision", "batch"];
  const chosen = names.map((name) => choice(name, [...new Set(data.settings.map((setting) => setting[name]))]));
  host.append(found);
  const draw = plotIn(host, title, (plot, series, number) => series.said[number]);
  filters.addEventListener("input", show);

  function choice(name, options) {
    const select = make("select", {}, ...options.map((option) => make("option", { value: option }, option)));
    filters.append(make("label", {}, make("span", { class: "name" }, name), select));
    return () => select.value;
  }

  // Numbers of 1, 2 and 5 times a power of ten between the least and the largest.
  function steps(values) {
    const [low, high] = extent(values);
    const all = [];
    for (let power = -6; power < 10; power += 1) all.push(...[1, 2, 5].map((factor) => factor * 10 ** power));
    return all.filter((value) => value >= low && value <= high);
  }

  function show() {
    const wanted = chosen.map((read) => read());
    const place = data.settings.findIndex((setting) => names.every((name, number) => setting[name] === wanted[number]));
    const text = `${wanted[0]}, ${wanted[1]}, batch ${wanted[2]}`;
    const series = place < 0 ? [] : data.families.map((family) => line(family, place, text)).filter((one) => one.x.length);
    const count = series.reduce((sum, one) => sum + one.x.length, 0);
    found.textContent = count ? `${count} networks on ${text}` : `Nothing was measured on ${text}.`;
    draw({
      x: { label: `${data.x}, ${text}`, log: true, ticks: steps(series.flatMap((one) => [one.xLow, one.xHigh].flat())) },
      y: { label: data.y },
      series,
    });
  }

  function line(family, place, text) {
    const networks = family.networks.filter((one) => one.at[place]).sort((one, other) => one.at[place].x - other.at[place].x);
    const figures = networks.map((one) => one.at[place]);
    return {
      name: family.name,
      colour: family.colour,
      form: "line",
      marker: "circle",
      x: figures.map((one) => one.x),
      xLow: figures.map((one) => one.low),
      xHigh: figures.map((one) => one.high),
      y: networks.map((one) => one.top1),
      said: networks.map((one, number) => one.said.concat(
        `${figure(figures[number].x)} images/s (${figure(figures[number].low)} to ${figure(figures[number].high)})`,
        `${figure(figures[number].ms)} ms on ${text}`)),
    };
  }

  show();
}
