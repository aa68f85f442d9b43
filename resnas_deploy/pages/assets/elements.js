// Elements with attributes and what is in them; texts are text, never HTML.
const SVG = "http://www.w3.org/2000/svg";

function make(name, attributes = {}, ...inside) {
  const found = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
  found.append(...inside);
  return found;
}

function shape(name, attributes = {}, content = "") {
  const found = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
  found.textContent = content;
  return found;
}
