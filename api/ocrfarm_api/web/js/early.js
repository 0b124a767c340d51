// Before anything is drawn: the theme and the language that were chosen here, so that nothing flashes.
"use strict";
(() => {
  let chosen = {};
  try {
    chosen = { theme: localStorage.getItem("ocrfarm-theme"), language: localStorage.getItem("ocrfarm-language") };
  } catch {
    // a browser that keeps nothing: its own settings hold
  }
  if (chosen.theme === "light" || chosen.theme === "dark") document.documentElement.dataset.theme = chosen.theme;
  const language = chosen.language || navigator.language || "en";
  document.documentElement.lang = language.toLowerCase().startsWith("zh") ? "zh-Hans" : "en";
})();
