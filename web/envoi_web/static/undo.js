// Counts down the strip that undoes a start. Without a script the strip works too, it only does not count.
//   data-ev-undo="s"  the strip, with the seconds left; data-ev-undo-left shows them, data-ev-undo-over is shown at the end.
document.addEventListener("DOMContentLoaded", () => {
  const strip = document.querySelector("[data-ev-undo]");
  if (!strip) return;
  const end = Date.now() + 1000 * Number(strip.dataset.evUndo);
  const timer = setInterval(() => {
    const left = Math.max(0, Math.ceil((end - Date.now()) / 1000));
    strip.querySelector("[data-ev-undo-left]").textContent = left;
    if (left > 0) return;
    clearInterval(timer);
    strip.querySelector("[data-ev-undo-going]").hidden = true;
    strip.querySelector("[data-ev-undo-over]").hidden = false;
  }, 500);
});
