// The builder of segments: menus that close by themselves, and finding a condition by typing.
//   details.ev-menu          closes on Escape and when something else is clicked
//   data-ev-filter="id"      a search field that narrows the list with this id
//   data-ev-pick             a list whose choice is taken by a click or by Enter
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.ev-menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
  if (event.target.matches("[data-ev-pick] option")) pick(event.target.closest("[data-ev-pick]"));
});

document.addEventListener("toggle", (event) => {
  if (event.target.matches?.("details.ev-picker[open]")) event.target.querySelector("[data-ev-filter]").focus();
}, true);

document.addEventListener("keydown", (event) => {
  const menu = event.target.closest("details.ev-menu[open]");
  if (!menu) return;
  if (event.key === "Escape") {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
  if (event.key === "Enter" && event.target.matches("[data-ev-filter], [data-ev-pick]")) {
    event.preventDefault();
    pick(menu.querySelector("[data-ev-pick]"));
  }
  if (event.key === "ArrowDown" && event.target.matches("[data-ev-filter]")) menu.querySelector("[data-ev-pick]").focus();
});

function pick(list) {
  if (list.value) list.closest("details").querySelector("button").click();
}

const whole = new WeakMap();
document.addEventListener("input", (event) => {
  if (!event.target.matches("[data-ev-filter]")) return;
  const list = document.getElementById(event.target.dataset.evFilter);
  if (!whole.has(list)) whole.set(list, list.cloneNode(true));
  narrow(list, whole.get(list), event.target.value.trim().toLowerCase());
});

// A group whose name matches stays whole; options cannot be hidden in every browser, so they are taken out.
function narrow(list, all, wanted) {
  const groups = [...all.children].map((group) => group.cloneNode(true));
  for (const group of groups) {
    if (group.label.toLowerCase().includes(wanted)) continue;
    for (const option of [...group.children]) if (!option.label.toLowerCase().includes(wanted)) option.remove();
  }
  list.replaceChildren(...groups.filter((group) => group.children.length));
  list.selectedIndex = 0;
}
