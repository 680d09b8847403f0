// Custom fields are put in order by dragging; the arrows of each row do the same without a pointer.
const rows = document.querySelector("#own-fields tbody");
if (rows) {
  Sortable.create(rows, {
    animation: 150,
    filter: "button, a",
    preventOnFilter: false,
    onEnd: () => {
      const form = document.getElementById("field-order");
      form.elements.order.value = [...rows.querySelectorAll("[data-ev-field]")].map((cell) => cell.dataset.evField).join(",");
      form.requestSubmit();
    },
  });
}
