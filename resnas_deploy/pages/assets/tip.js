// The one tip of the page: beside what is pointed at, or what the keyboard has chosen. It is read out too.
const tipBox = make("div", { class: "tip", role: "status" });
tipBox.hidden = true;
document.body.append(tipBox);

function showTip(lines, x, y) {
  tipBox.replaceChildren(...lines.map((line) => make("div", {}, line)));
  tipBox.hidden = false;
  const { width, height } = tipBox.getBoundingClientRect();
  const { clientWidth, clientHeight } = document.documentElement;
  const below = y + 16 + height < clientHeight;
  tipBox.style.left = `${Math.max(8, Math.min(x + 14, clientWidth - width - 8))}px`;
  tipBox.style.top = `${Math.max(8, below ? y + 16 : y - height - 14)}px`;
}

function hideTip() {
  tipBox.hidden = true;
}

function tipOf(event) {
  const element = event.target.closest?.("[data-tip]");
  if (!element) return;
  const box = element.getBoundingClientRect();
  showTip(element.dataset.tip.split("\n"), box.left + box.width / 2, box.bottom - 10);
}

document.addEventListener("pointerover", tipOf);
document.addEventListener("focusin", tipOf);
for (const name of ["pointerout", "focusout"]) {
  document.addEventListener(name, (event) => event.target.closest?.("[data-tip]") && hideTip());
}
document.addEventListener("keydown", (event) => event.key === "Escape" && hideTip());
for (const name of ["wheel", "touchmove"]) document.addEventListener(name, hideTip, { passive: true });
