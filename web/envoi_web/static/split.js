// The split slider: while one drags or types, shares, recipients and the bar follow; the server decides.
//   data-ev-split on the component, data-ev-total on it: the recipients to divide
//   data-ev-step="1" on a button adds to the field that its aria-controls names
{
  const language = document.documentElement.lang;
  const shown = (value, digits = 1) => new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);
  const typed = (field) => { const share = Number(field.value.replace(",", ".")); return share >= 0 ? share : 0; };

  // Largest remainder, as the draw itself does it.
  function counts(shares, total) {
    const exact = shares.map((share) => (total * share) / 100);
    const whole = exact.map(Math.floor);
    const given = Math.round(exact.reduce((sum, part) => sum + part, 0));
    const order = exact.map((part, index) => [part - whole[index], index]).sort((a, b) => b[0] - a[0] || a[1] - b[1]);
    for (let left = given - whole.reduce((sum, part) => sum + part, 0), at = 0; at < left; at += 1) whole[order[at][1]] += 1;
    return whole;
  }

  // "6,629 recipients": the number is exchanged, the word stays until the server writes it anew.
  const withNumber = (text, number) => text.replace(/[\d.,\u00a0\u202f]*\d/, shown(number));

  function follow(split) {
    const range = split.querySelector("input[type=range]");
    const shares = range ? [Number(range.value), 100 - Number(range.value)]
      : [...split.querySelectorAll("input")].map(typed);
    const total = split.dataset.evTotal;
    const parts = total === undefined ? [] : counts(shares, Number(total));
    let before = 0;
    shares.forEach((share, index) => {
      const number = index + 1;
      const words = split.querySelector(`[data-ev-share="${number}"]`);
      const count = split.querySelector(`[data-ev-count="${number}"]`);
      const bar = split.querySelector(`[data-ev-bar="${number}"]`);
      if (words) words.textContent = `${shown(share)}\u00a0%`;
      if (count) count.textContent = withNumber(count.textContent, parts[index]);
      if (bar) {
        bar.setAttribute("x", `${Math.min(before, 100)}%`);
        bar.setAttribute("width", `${Math.max(0, Math.min(share, 100 - before))}%`);
      }
      before += share;
    });
    if (range) range.setAttribute("aria-valuetext", split.querySelector(".ev-split-labels").innerText.replace("\n", "; "));
    tellRest(split.querySelector("[data-ev-rest]"), Math.round((100 - before) * 10) / 10);
  }

  function tellRest(place, rest) {
    if (!place) return;
    const words = rest > 0 ? place.dataset.evLess : place.dataset.evMore;
    place.textContent = rest === 0 ? "" : words.replace("{share}", shown(Math.abs(rest)));
  }

  document.addEventListener("input", (event) => {
    const split = event.target.closest("[data-ev-split]");
    if (split) follow(split);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-ev-step]");
    if (!button) return;
    const field = document.getElementById(button.getAttribute("aria-controls"));
    field.value = shown(Math.min(98, Math.max(1, Math.round(typed(field)) + Number(button.dataset.evStep))));
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
}
