// Everything the pages do in the browser besides htmx and Bootstrap. Behaviour is asked for by data attributes:
//   data-ev-open="id"   opens a <dialog>          data-ev-close     closes the dialog around it, if there is one
//   data-ev-dismiss     removes the toast         data-ev-submit    submits its form when changed
//   data-ev-number="n"  on a form: the button with data-ev-confirm waits until n is typed
//   data-ev-focus       takes the focus when it comes into the page
//   data-ev-poll        a strip that polls; asks less often while the tab is hidden, or not at all if it is "visible"
const TOAST_MS = 8000;
const HIDDEN_POLL_MS = 10000;

const announcer = () => document.getElementById("announcer");
const announce = (text) => { announcer().textContent = text; };

// ---------- requests ----------
document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRFToken"] = document.querySelector('meta[name="csrf-token"]').content;
});

// A form that saves by itself is no press of a button: htmx would send the button that has the focus with it,
// and a stop of the Tab key on "Delete" at the wrong moment would delete.
document.addEventListener("htmx:configRequest", ({ detail }) => {
  const { elt: form, triggeringEvent: reason } = detail;
  if (!(form instanceof HTMLFormElement) || !reason || reason.type === "submit") return;
  const fields = new FormData(form);
  for (const { type, name } of form.elements) {
    if (type !== "submit" || !name) continue;
    detail.formData.delete(name);
    for (const value of fields.getAll(name)) detail.formData.append(name, value);
  }
  detail.verb = form.hasAttribute("hx-post") ? "post" : "get";
  detail.path = form.getAttribute(`hx-${detail.verb}`);
});

document.addEventListener("htmx:beforeRequest", (event) => {
  const strip = event.detail.elt;
  if (!strip.matches("[data-ev-poll]") || !document.hidden) return;
  const last = Number(strip.dataset.evAsked || 0);
  if (strip.dataset.evPoll === "visible" || Date.now() - last < HIDDEN_POLL_MS) event.preventDefault();
  else strip.dataset.evAsked = Date.now();
});

// An answer for a place that another answer has replaced meanwhile is not awaited any more.
const asked = new Map();
document.addEventListener("htmx:beforeSend", ({ detail: { xhr, target } }) => {
  asked.set(xhr, target);
  xhr.addEventListener("loadend", () => asked.delete(xhr));
});
document.addEventListener("htmx:afterSwap", () => {
  for (const [xhr, target] of asked) if (!target.isConnected && xhr.readyState < XMLHttpRequest.DONE) xhr.abort();
});

// An error page of a proxy must not replace a part of ours: only answers that name their place are shown.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr } = event.detail;
  if (xhr.status < 400 || xhr.status === 422 || xhr.status === 409) return;
  if (xhr.getResponseHeader("HX-Retarget") || xhr.status === 401) return;
  event.detail.shouldSwap = false;
  showUnreachable();
});
for (const name of ["htmx:sendError", "htmx:timeout"]) document.addEventListener(name, () => showUnreachable());

function showUnreachable() {
  const place = document.getElementById("page-error");
  if (!place) return;
  place.replaceChildren(document.getElementById("unreachable-template").content.cloneNode(true));
  place.focus();
}

document.addEventListener("envoi:signed-out", () => {
  const dialog = document.getElementById("signed-out");
  if (!dialog.open) dialog.showModal();
});
// Signed in again in another tab: this page goes on with the new session's token.
document.addEventListener("envoi:token", ({ detail }) => {
  document.querySelector('meta[name="csrf-token"]').content = detail.token;
  for (const field of document.querySelectorAll('input[name="csrf_token"]')) field.value = detail.token;
});

// ---------- focus after a swap: errors to the summary, navigation to the heading, actions stay ----------
document.addEventListener("htmx:afterSwap", (event) => {
  const place = event.detail.target;
  // A question that was fetched into a dialog opens it.
  if (place.matches("dialog") && !place.open) place.showModal();
  const wanted = place.querySelector("[data-ev-focus]") || (place.id === "page-error" && place);
  if (wanted) wanted.focus();
});
document.addEventListener("htmx:pushedIntoHistory", () => {
  const heading = document.querySelector("h1");
  if (document.activeElement === document.body && heading) heading.focus();
});

let toldQuarter = "";
document.addEventListener("htmx:load", (event) => {
  const bar = event.detail.elt.querySelector?.("[data-ev-quarter]");
  if (bar && bar.dataset.evQuarter !== toldQuarter) {
    if (toldQuarter) announce(bar.getAttribute("aria-valuetext"));
    toldQuarter = bar.dataset.evQuarter;
  }
});

// ---------- toasts ----------
function keepForAWhile(toast) {
  setTimeout(() => { if (!toast.matches(":hover, :focus-within")) toast.remove(); else keepForAWhile(toast); }, TOAST_MS);
}

document.addEventListener("envoi:toast", (event) => {
  for (const { message, label, url } of event.detail.toasts) {
    const copy = document.getElementById("toast-template").content.cloneNode(true);
    copy.querySelector(".ev-toast-text").textContent = message;
    const link = copy.querySelector("a");
    if (label) { link.textContent = label; link.href = url; } else link.remove();
    const toast = copy.querySelector(".ev-toast");
    document.getElementById("toasts").append(toast);
    announce(message);
    keepForAWhile(toast);
  }
});

// ---------- dialogs ----------
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-ev-open]");
  if (opener) document.getElementById(opener.dataset.evOpen).showModal();
  const around = event.target.closest("[data-ev-close]")?.closest("dialog");
  if (around) { event.preventDefault(); around.close(); }
  if (event.target.closest("[data-ev-dismiss]")) event.target.closest(".ev-toast").remove();
});

// A second click while a form is on its way must not copy or delete twice.
const SENT_TWICE_MS = 3000;
const underWay = new Set();
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented || (event.submitter?.formMethod || event.target.method) !== "post") return;
  if (underWay.has(event.target)) event.preventDefault();
  underWay.add(event.target);
  setTimeout(() => underWay.delete(event.target), SENT_TWICE_MS);
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-ev-submit]")) event.target.form.requestSubmit();
});

const typedNumber = (text) => text.replace(/[\s.,'\u00a0\u202f\u2019]/g, "");
function waitForNumber(form) {
  const button = form.querySelector("[data-ev-confirm]");
  const check = () => { button.disabled = typedNumber(form.elements.typed.value) !== form.dataset.evNumber; };
  form.addEventListener("input", check);
  check();
}

function prepare(root) {
  for (const form of root.querySelectorAll("form[data-ev-number]")) waitForNumber(form);
  for (const toast of root.querySelectorAll("#toasts .ev-toast:not([data-ev-undo])")) keepForAWhile(toast);
  root.querySelector("[data-ev-focus]")?.focus();
}
document.addEventListener("htmx:load", (event) => prepare(event.detail.elt));
