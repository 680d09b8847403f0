// The builder of segments: menus that close by themselves, and finding a condition by typing.
//   details.ev-menu          closes on Escape and when something else is clicked
//   data-ev-filter="id"      a search field that narrows the list with this id
//   data-ev-pick             a list whose choice is taken by a click or by Enter
// Whatever is done while an answer is awaited is done after it.
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

// ---------- one answer at a time: what is done while the builder is being replaced waits for the new one ----------
// Conditions and groups are added at the end, so that places stay what they are; after other buttons they may not.
const GROWS = /^(add|group):/;
let growing = false;
let replacing = false;
const waiting = [];

document.addEventListener("htmx:beforeSend", ({ detail }) => {
  if (detail.target.id !== "builder") return;
  replacing = true;
  growing = GROWS.test(detail.elt.value) || detail.elt.matches("select");
});

document.addEventListener("htmx:confirm", (event) => {
  const { elt } = event.detail;
  if (!replacing || !elt.closest("#builder")) return;
  event.preventDefault();
  if (!growing) return;
  if (elt.matches("button")) { if (GROWS.test(elt.value)) waiting.push(pressAgain(elt)); } else waiting.push(changeAgain(elt));
});

document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (!replacing || detail.target.id !== "builder") return;
  replacing = false;
  if (!detail.successful && detail.xhr.status !== 422) waiting.length = 0;
  // htmx lets go of the answered request only after this event.
  queueMicrotask(() => { while (waiting.length && !replacing) waiting.shift()(); });
});

function pressAgain(button) {
  const chosen = button.closest(".ev-picker")?.querySelector("[data-ev-pick]").value;
  return () => {
    const now = document.querySelector(`#builder button[value="${button.value}"]`);
    const list = now?.closest(".ev-picker")?.querySelector("[data-ev-pick]");
    if (list) list.value = chosen;
    now?.click();
  };
}

function changeAgain(field) {
  const value = field.value, checked = field.checked;
  const one = field.matches("[type=checkbox], [type=radio]") ? `[value="${CSS.escape(value)}"]` : "";
  return () => {
    const now = document.querySelector(`#builder [name="${field.name}"]${one}`);
    if (!now) return;
    if (one) now.checked = checked; else now.value = value;
    now.dispatchEvent(new Event("change", { bubbles: true }));
  };
}
