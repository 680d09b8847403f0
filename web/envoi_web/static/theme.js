// Sets the theme before the first paint; "system" follows the device. Loaded in the head, without defer.
(() => {
  const root = document.documentElement;
  if (root.dataset.evTheme !== "system") return;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => root.setAttribute("data-bs-theme", dark.matches ? "dark" : "light");
  dark.addEventListener("change", apply);
  apply();
})();
