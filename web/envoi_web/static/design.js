// The design's preview follows the form: colour and words go to the frame's address, the logo once it is published.
const form = document.querySelector("form[data-ev-preview]");
const frame = document.getElementById(form.dataset.evPreview);
let waiting;
form.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    const address = new URL(frame.src);
    for (const [name, value] of new FormData(form)) {
      if (name === "accent" || name.startsWith("words.")) address.searchParams.set(name, value);
    }
    frame.src = address;
  }, 400);
});
