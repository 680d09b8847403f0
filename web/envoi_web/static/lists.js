// Lists: choosing rows, filter menus, addresses without empty filters.
//   data-ev-all="id"  a heading's checkbox that checks every checkbox of that name in its table
//   data-ev-chosen    says in a form how many rows are chosen; its value is the sentence, # the number
//   data-ev-menu      a <details> that closes when something else is clicked, or by Escape
//   data-ev-lean      a form whose empty fields stay out of the address
const boxesOf = (table, name) => [...table.querySelectorAll(`input[name="${name}"]`)];

function tellChosen(table, name) {
  const boxes = boxesOf(table, name);
  const chosen = boxes.filter((box) => box.checked).length;
  const all = table.querySelector("[data-ev-all]");
  all.checked = chosen === boxes.length;
  all.indeterminate = chosen > 0 && chosen < boxes.length;
  const told = boxes[0]?.form?.querySelector("[data-ev-chosen]");
  if (told) told.textContent = chosen ? told.dataset.evChosen.replace("#", chosen) : "";
}

document.addEventListener("change", (event) => {
  const table = event.target.closest("table");
  const all = table?.querySelector("[data-ev-all]");
  if (!all) return;
  const name = all.dataset.evAll;
  if (event.target === all) for (const box of boxesOf(table, name)) box.checked = all.checked;
  if (event.target === all || event.target.name === name) tellChosen(table, name);
});

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("[data-ev-menu][open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && event.target.closest("[data-ev-menu][open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

document.addEventListener("formdata", (event) => {
  if (!event.target.matches("[data-ev-lean]")) return;
  for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
});
