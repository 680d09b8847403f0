// Rich text over a textarea: bold, italic, lists, links. The textarea is what is sent, and all there is without scripts.
// What comes in from outside (a paste from Word, the stored text) is copied element by element, so that nothing but
// the few elements of a message gets into the page; the server cleans it again.
//   data-ev-rich on the box around toolbar and textarea; data-ev-command="bold" on a button of the toolbar
{
  const KEPT = { B: "b", STRONG: "b", I: "i", EM: "i", A: "a", UL: "ul", OL: "ol", LI: "li", BR: "br", P: "p", DIV: "p", H1: "p", H2: "p", H3: "p", H4: "p" };
  const DROPPED = new Set(["STYLE", "SCRIPT", "TITLE", "META", "LINK", "TEMPLATE", "IFRAME", "OBJECT", "SVG", "MATH"]);
  const LINK = /^\s*(https?:|mailto:|tel:|\{\{)/i;

  function copied(source, target) {
    for (const node of source.childNodes) {
      if (node.nodeType === Node.TEXT_NODE) target.append(node.data);
      if (node.nodeType !== Node.ELEMENT_NODE || DROPPED.has(node.nodeName.toUpperCase())) continue;
      const kept = KEPT[node.nodeName];
      target.append(kept ? copied(node, element(kept, node)) : copied(node, document.createDocumentFragment()));
    }
    return target;
  }
  function element(name, source) {
    const address = name === "a" ? source.getAttribute("href") || "" : "";
    if (name === "a" && !LINK.test(address)) return document.createDocumentFragment();
    const made = document.createElement(name);
    if (address) made.setAttribute("href", address);
    return made;
  }
  // Our policy forbids inline styles, also in a document that is only read: they are taken out before.
  const unstyled = (html) => html.replace(/<style\b[\s\S]*?<\/style\s*>/gi, "").replace(/<[^<>]*>/g, (tag) => tag.replace(/\s(?:style|on\w+)\s*=/gi, " data-was="));
  const parsed = (html) => copied(new DOMParser().parseFromString(unstyled(html), "text/html").body, document.createDocumentFragment());

  function rich(box) {
    const area = box.querySelector("textarea");
    const page = document.createElement("div");
    const label = document.querySelector(`label[for="${CSS.escape(area.id)}"]`);
    const dialog = box.querySelector("[data-ev-link]");
    let place = null;
    label.id = `${area.id}-label`;
    page.className = `form-control ev-rich-page${area.classList.contains("is-invalid") ? " is-invalid" : ""}`;
    page.contentEditable = "true";
    page.id = `${area.id}-page`;
    for (const [name, value] of Object.entries({ role: "textbox", "aria-multiline": "true", "aria-labelledby": label.id })) page.setAttribute(name, value);
    if (area.hasAttribute("aria-describedby")) page.setAttribute("aria-describedby", area.getAttribute("aria-describedby"));
    page.append(parsed(area.value));
    area.hidden = true;
    area.after(page);
    box.querySelector("[role=toolbar]").hidden = false;
    label.addEventListener("click", () => page.focus());

    const written = () => { area.value = page.innerHTML; area.dispatchEvent(new Event("input", { bubbles: true })); };
    const restore = () => {
      page.focus();
      if (!place || !page.contains(place.startContainer)) return;
      getSelection().removeAllRanges();
      getSelection().addRange(place);
    };
    page.addEventListener("input", written);
    page.addEventListener("paste", (event) => {
      event.preventDefault();
      const html = event.clipboardData.getData("text/html");
      if (html) put(page, parsed(html));
      else document.execCommand("insertText", false, event.clipboardData.getData("text/plain"));
      written();
    });
    page.addEventListener("drop", (event) => event.preventDefault());
    document.addEventListener("selectionchange", () => {
      const selection = getSelection();
      if (selection.rangeCount && page.contains(selection.anchorNode)) { place = selection.getRangeAt(0).cloneRange(); pressed(); }
    });
    const pressed = () => {
      for (const button of box.querySelectorAll("[data-ev-command=bold], [data-ev-command=italic]")) {
        button.setAttribute("aria-pressed", String(document.queryCommandState(button.dataset.evCommand)));
      }
    };
    area.evRich = (words) => { restore(); document.execCommand("insertText", false, words); };
    area.focus = () => page.focus();

    box.addEventListener("click", (event) => {
      const button = event.target.closest("[data-ev-command]");
      if (!button) return;
      if (button.dataset.evCommand === "createLink") {
        dialog.querySelector("input").value = linkAt(place)?.getAttribute("href") || "https://";
        dialog.showModal();
        return;
      }
      restore();
      document.execCommand(button.dataset.evCommand);
      pressed();
    });
    dialog.addEventListener("click", (event) => {
      const wanted = event.target.closest("[data-ev-linked]");
      if (!wanted) return;
      const address = dialog.querySelector("input").value.trim();
      dialog.close();
      restore();
      if (wanted.dataset.evLinked === "remove") document.execCommand("unlink");
      else if (LINK.test(address)) link(address);
    });
    const link = (address) => {
      if (!getSelection().isCollapsed) { document.execCommand("createLink", false, address); return; }
      const made = document.createElement("a");
      made.href = address;
      made.textContent = address;
      put(page, made);
      written();
    };
    keys(box.querySelector("[role=toolbar]"));
    document.execCommand("styleWithCSS", false, false);
  }
  // Not by execCommand, which would give what it inserts an inline style. Paragraphs go behind the one of the caret.
  function put(page, made) {
    const selection = getSelection();
    const range = selection.getRangeAt(0);
    range.deleteContents();
    const only = made.childElementCount === 1 && made.firstElementChild.nodeName === "P" ? made.firstElementChild : null;
    const pieces = [...(only || made).childNodes];
    if (!pieces.length) return;
    const around = [...page.children].find((child) => child.contains(range.startContainer));
    if (made.nodeType === Node.DOCUMENT_FRAGMENT_NODE && around && made.querySelector("p, ul, ol") && !only) around.after(made);
    else if (only) { const inner = document.createDocumentFragment(); inner.append(...pieces); range.insertNode(inner); }
    else range.insertNode(made);
    selection.collapse(pieces.at(-1), pieces.at(-1).childNodes.length || pieces.at(-1).length || 0);
  }
  const linkAt = (place) => {
    const node = place?.startContainer;
    return (node?.nodeType === Node.ELEMENT_NODE ? node : node?.parentElement)?.closest("a");
  };

  // One stop of the Tab key for the whole toolbar; arrows go along it.
  function keys(toolbar) {
    const buttons = [...toolbar.querySelectorAll("button")];
    buttons.forEach((button, index) => { button.tabIndex = index ? -1 : 0; });
    toolbar.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length];
      buttons.forEach((button) => { button.tabIndex = button === next ? 0 : -1; });
      next.focus();
      event.preventDefault();
    });
  }

  document.addEventListener("htmx:load", (event) => {
    for (const box of event.detail.elt.querySelectorAll("[data-ev-rich]")) rich(box);
  });
}
