// The second step of a mailing: saving by itself, dragging, the preview, dialogs, code with line numbers.
// Everything is one form, #what-form; each button of it also works as a plain post. Rich text is in richtext.js.
//   data-ev-dialog="id"     on a link: opens that dialog instead of following it
//   data-ev-lazy            in a dialog: loaded when it is opened (hx-trigger="envoi:open")
//   data-ev-variables="id"  opens the variables for the field with that id
//   data-ev-insert="path"   inserts the variable, with the fallback typed beside it
//   data-ev-customer="7"    shows the preview as that customer sees it
//   data-ev-reader="7"      on a frame of the preview: always this customer's message
//   data-ev-step="2"        on a frame of the preview: this step of the mailing
//   data-ev-lines           on a textarea: line numbers; data-ev-line="3" on a button goes to one
{
  const TYPING_MS = 2000;
  const CHOOSING_MS = 300;
  const form = () => document.getElementById("what-form");
  let timer = 0;
  let unsaved = false;
  let lastField = "";

  // ---------- saving ----------
  function saveSoon(milliseconds) {
    unsaved = true;
    clearTimeout(timer);
    timer = setTimeout(saveNow, milliseconds);
  }
  function saveNow() {
    clearTimeout(timer);
    if (unsaved && form()) htmx.trigger(form(), "envoi:save");
  }
  document.addEventListener("input", (event) => {
    if (event.target.form !== form()) return;
    saveSoon(event.target.matches("select, [type=radio], [type=checkbox]") ? CHOOSING_MS : TYPING_MS);
  });
  document.addEventListener("change", (event) => {
    if (event.target.form === form() && unsaved) saveSoon(CHOOSING_MS);
  });
  const saves = (event) => form()?.contains(event.detail.elt) && event.detail.requestConfig.path === form().getAttribute("action");
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (saves(event)) { clearTimeout(timer); unsaved = false; }
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (saves(event) && !event.detail.successful) unsaved = true;
  });
  // A sign-in in another tab, a connection that is back: what waits is saved when the person returns.
  window.addEventListener("focus", saveNow);
  window.addEventListener("pagehide", () => {
    if (unsaved && form()) navigator.sendBeacon(form().action, new FormData(form()));
  });

  // ---------- blocks by drag ----------
  function dragging(list) {
    Sortable.create(list, {
      handle: ".ev-grip",
      animation: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 120,
      onEnd(event) {
        if (event.oldIndex === event.newIndex) return;
        const values = { do: `move:${event.item.dataset.evBlock}:${event.newIndex}` };
        htmx.ajax("POST", form().action, { source: form(), target: "#what-editor", swap: "outerHTML", values });
      },
    });
  }

  // ---------- preview: a new frame takes the place of the old one only when it is there ----------
  function showPreview() {
    const choice = document.getElementById("preview-form");
    const state = document.getElementById("what-state");
    if (!choice || state.dataset.evBroken) return;
    const query = new URLSearchParams(new FormData(choice));
    query.set("variant", form().elements.variant.value);
    query.set("step", form().elements.step.value);
    query.set("v", state.dataset.evVersion);
    for (const frame of document.querySelectorAll("iframe[name^=preview]")) showFrame(frame, choice, query);
  }
  function showFrame(frame, choice, asked) {
    const query = new URLSearchParams(asked);
    if (frame.dataset.evReader) query.set("customer", frame.dataset.evReader);
    if (frame.dataset.evStep) query.set("step", frame.dataset.evStep);
    const next = frame.cloneNode();
    next.classList.add("ev-coming");
    next.removeAttribute("name");
    next.src = `${choice.action}?${query}`;
    next.addEventListener("load", () => {
      frame.remove();
      next.name = frame.name;
      next.classList.remove("ev-coming");
    }, { once: true });
    frame.parentElement.querySelectorAll(".ev-coming").forEach((older) => older.remove());
    frame.after(next);
  }
  document.addEventListener("change", (event) => {
    if (event.target.form?.id === "preview-form" && event.target.name !== "device") showPreview();
  });
  document.addEventListener("click", (event) => {
    const chosen = event.target.closest("[data-ev-customer]");
    if (!chosen) return;
    const select = document.getElementById("preview-customer");
    const number = chosen.dataset.evCustomer;
    if (![...select.options].some((option) => option.value === number)) select.add(new Option(chosen.dataset.evName, number));
    select.value = number;
    chosen.closest("dialog").close();
    showPreview();
  });

  // ---------- dialogs, whose content comes when they open ----------
  function openDialog(dialog) {
    dialog.showModal();
    const lazy = dialog.querySelector("[data-ev-lazy]");
    if (lazy) htmx.trigger(lazy, "envoi:open");
  }
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-ev-dialog]");
    if (!link) return;
    event.preventDefault();
    saveNow();
    openDialog(document.getElementById(link.dataset.evDialog));
  });
  // The toast of a deletion leads to the button that takes it back.
  document.addEventListener("click", (event) => {
    const link = event.target.closest(".ev-toast a[href^='#']");
    if (!link) return;
    event.preventDefault();
    document.getElementById(link.hash.slice(1))?.click();
    link.closest(".ev-toast").remove();
  });

  // ---------- variables ----------
  function insert(field, words) {
    if (!field) return;
    if (field.evRich) { field.evRich(words); return; }
    field.focus();
    field.setRangeText(words, field.selectionStart, field.selectionEnd, "end");
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-ev-variables]");
    if (opener) {
      lastField = opener.dataset.evVariables;
      openDialog(document.getElementById("variables"));
    }
    const variable = event.target.closest("[data-ev-insert]");
    if (!variable) return;
    const fallback = document.getElementById("variable-fallback").value.replaceAll('"', "'").trim();
    variable.closest("dialog").close();
    insert(document.getElementById(lastField), `{{ ${variable.dataset.evInsert}${fallback ? ` | default("${fallback}")` : ""} }}`);
  });
  document.addEventListener("input", (event) => {
    if (event.target.id !== "variable-search") return;
    const wanted = event.target.value.toLowerCase();
    for (const row of document.querySelectorAll("#variable-list [data-ev-insert]")) {
      row.parentElement.hidden = !row.textContent.toLowerCase().includes(wanted);
    }
    for (const group of document.querySelectorAll("#variable-list section")) {
      group.hidden = !group.querySelector("li:not([hidden])");
    }
  });

  // ---------- code with line numbers ----------
  function numbered(area) {
    const gutter = area.parentElement.querySelector(".ev-gutter");
    const marked = Number(area.dataset.evMarked);
    const write = () => {
      const lines = area.value.split("\n").length;
      if (gutter.childElementCount !== lines) {
        gutter.replaceChildren(...Array.from({ length: lines }, (_, index) => {
          const line = document.createElement("span");
          line.textContent = index + 1;
          if (index + 1 === marked) line.className = "ev-marked";
          return line;
        }));
      }
      gutter.scrollTop = area.scrollTop;
    };
    area.addEventListener("input", write);
    area.addEventListener("scroll", () => { gutter.scrollTop = area.scrollTop; });
    write();
  }
  function markLine(line) {
    const area = document.querySelector("[data-ev-lines]");
    if (!area) return;
    area.dataset.evMarked = line;
    area.parentElement.querySelectorAll(".ev-gutter span").forEach((span, index) => {
      span.className = index + 1 === Number(line) ? "ev-marked" : "";
    });
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-ev-line]");
    const area = document.querySelector("[data-ev-lines]");
    if (!button || !area) return;
    const before = area.value.split("\n").slice(0, Number(button.dataset.evLine) - 1);
    const start = before.join("\n").length + (before.length ? 1 : 0);
    area.focus();
    area.setSelectionRange(start, start + (area.value.slice(start).split("\n")[0].length));
    area.scrollTop = area.scrollHeight * (before.length / area.value.split("\n").length) - area.clientHeight / 3;
  });

  // ---------- what comes into the page ----------
  document.addEventListener("htmx:load", (event) => {
    const root = event.detail.elt;
    const all = (selector) => [...(root.matches?.(selector) ? [root] : []), ...root.querySelectorAll(selector)];
    all("[data-ev-sort]").forEach(dragging);
    all("[data-ev-lines]").forEach(numbered);
    for (const state of all("#what-state")) {
      markLine(state.dataset.evErrorLine || "0");
      if (root !== document.body) showPreview();
    }
    for (const address of all("[data-ev-address]")) history.replaceState(history.state, "", address.dataset.evAddress);
  });
}
