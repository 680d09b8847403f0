// The calendar: an entry is dragged to another day; a click on an empty day creates a mailing there.
// Both only shorten ways that stand on the page as links and forms.
const drop = document.getElementById("drop");
let dragged = null;

const dayUnder = (event) => dragged && event.target.closest?.("td[data-ev-day]");
const mark = (day) => {
  for (const marked of document.querySelectorAll(".ev-drop")) marked.classList.remove("ev-drop");
  day?.classList.add("ev-drop");
};

document.addEventListener("dragstart", (event) => {
  dragged = drop && event.target.closest?.("[data-ev-mailing]");
  if (dragged) event.dataTransfer.setData("text/plain", dragged.dataset.evMailing);
});
document.addEventListener("dragend", () => { dragged = null; mark(null); });
document.addEventListener("dragover", (event) => {
  const day = dayUnder(event);
  if (day) event.preventDefault();
  if (dragged) mark(day);
});
document.addEventListener("drop", (event) => {
  const day = dayUnder(event);
  if (!day) return;
  event.preventDefault();
  if (!day.contains(dragged)) move(dragged, day);
});

function move(entry, day) {
  const address = drop.dataset.evReschedule.replace(/0$/, entry.dataset.evMailing);
  drop.elements.date.value = day.dataset.evDay;
  drop.elements.time.value = entry.dataset.evTime;
  if (day.hasAttribute("data-ev-ask")) {
    // A quiet day is asked about first.
    const chosen = new FormData(drop);
    chosen.delete("csrf_token");
    htmx.ajax("GET", `${address}?${new URLSearchParams(chosen)}`, { target: "#ask" });
  } else {
    drop.action = address;
    drop.requestSubmit();
  }
}

document.addEventListener("click", (event) => {
  if (event.target.closest("a, button, .ev-entry")) return;
  event.target.closest(".ev-cal td")?.querySelector(".ev-add")?.click();
});
