// Draws every chart of the page.
for (const host of document.querySelectorAll("figure.chart")) {
  const content = JSON.parse(host.querySelector("script").textContent);
  const title = host.querySelector("figcaption").textContent;
  if (host.dataset.kind === "search") searchIn(host, content, title);
  else if (host.dataset.kind === "tradeoff") tradeoffIn(host, content, title);
  else plotIn(host, title, usualTips)(content);
}
