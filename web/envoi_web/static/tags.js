// Products of a condition: the line of codes stays what is sent, and is shown as tags that can be taken away.
//   data-ev-tags              around the line and two templates: the field to type in, and a tag
//   data-ev-names="{...}"     what the codes are called
//   data-ev-added, -removed   what is announced
function prepareTags(place) {
  const line = place.querySelector("input");
  const names = JSON.parse(place.dataset.evNames);
  const [field, tag] = [...place.querySelectorAll("template")].map((template) => template.content);
  place.append(field.cloneNode(true));
  const typed = place.querySelector("[list]"), offers = place.querySelector("datalist");
  typed.id = line.id;
  line.removeAttribute("id");
  line.type = "hidden";
  htmx.process(typed);

  const codes = () => line.value.split(",").map((code) => code.trim()).filter(Boolean);
  const title = (code) => (names[code] && names[code] !== code ? `${code} – ${names[code]}` : code);
  const keep = (kept, told, code) => {
    line.value = [...new Set(kept)].join(", ");
    line.dispatchEvent(new Event("change", { bubbles: true }));
    announce(told.replace("{name}", title(code)));
  };
  const drawn = (code) => {
    const made = tag.cloneNode(true).firstElementChild, button = made.querySelector("button");
    made.querySelector("span").textContent = title(code);
    button.setAttribute("aria-label", button.getAttribute("aria-label").replace("{name}", title(code)));
    button.addEventListener("click", () => {
      keep(codes().filter((other) => other !== code), place.dataset.evRemoved, code);
      typed.focus();
    });
    return made;
  };
  const draw = () => {
    for (const old of place.querySelectorAll(".ev-tag")) old.remove();
    typed.before(...codes().map(drawn));
  };
  // What was typed is a code, or a part of the name of only one of the offered products.
  const meant = (text) => {
    const named = [...offers.options].filter((offer) => offer.dataset.evName.toLowerCase().includes(text.toLowerCase()));
    const offer = [...offers.options].find(({ value }) => value === text) || (named.length === 1 ? named[0] : null);
    if (offer) names[offer.value] = offer.dataset.evName;
    return offer ? offer.value : text;
  };
  const take = () => {
    const texts = typed.value.split(",").map((text) => text.trim()).filter(Boolean);
    const added = texts.length === 1 ? texts.map(meant) : texts;
    typed.value = "";
    if (added.length) keep([...codes(), ...added], place.dataset.evAdded, added.at(-1));
  };

  line.addEventListener("change", draw);
  typed.addEventListener("input", (event) => {
    // An offer that was chosen comes as a whole, which no browser calls typing.
    const chosen = !event.inputType || event.inputType === "insertReplacementText";
    if (typed.value.includes(",") || (chosen && [...offers.options].some(({ value }) => value === typed.value))) take();
  });
  typed.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { event.preventDefault(); take(); }
    const last = codes().at(-1);
    if (event.key === "Backspace" && !typed.value && last) keep(codes().slice(0, -1), place.dataset.evRemoved, last);
  });
  typed.addEventListener("blur", take);
  draw();
}

document.addEventListener("htmx:load", (event) => {
  for (const place of event.detail.elt.querySelectorAll("[data-ev-tags]")) prepareTags(place);
});
