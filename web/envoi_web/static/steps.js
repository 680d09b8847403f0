// The steps Who and When of the mailing editor.
//   data-ev-mirror="id"  a range that writes into the field with that id
//   data-ev-show         a dialog that is open from the start
// What somebody types while a save is on its way is put back when the saved form replaces the page's part.
document.addEventListener("input", (event) => {
  const field = document.getElementById(event.target.dataset.evMirror || "");
  if (field) field.value = event.target.value;
});

document.addEventListener("change", (event) => {
  const range = document.querySelector(`[data-ev-mirror="${CSS.escape(event.target.id || "-")}"]`);
  if (range) range.value = event.target.value.replace(",", ".");
});

let typing = null;
document.addEventListener("htmx:beforeSwap", (event) => {
  const field = document.activeElement;
  const isTyped = field?.id && field.matches("input:not([type=checkbox], [type=radio]), textarea") && field.value !== field.defaultValue;
  typing = isTyped && event.detail.target.contains(field) ? { id: field.id, value: field.value } : null;
});
document.addEventListener("htmx:afterSwap", () => {
  const field = typing && document.getElementById(typing.id);
  if (field) { field.value = typing.value; field.focus(); }
  typing = null;
});

const showDialogs = (root) => {
  for (const dialog of root.querySelectorAll?.("dialog[data-ev-show]") || []) {
    dialog.removeAttribute("open");
    dialog.removeAttribute("data-ev-show");
    dialog.showModal();
  }
};
document.addEventListener("htmx:load", (event) => showDialogs(event.detail.elt));
