// Making elements. Text from documents and from the farm is only ever put in as text.

export const $ = (selector, root = document) => root.querySelector(selector);
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// element("button", { class: "x", type: "button", onclick: … }, "text", child, …); what is null or false is left out.
export function element(name, properties = {}, ...children) {
  return filled(document.createElement(name), properties, children);
}

export function drawn(name, properties = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), properties, children);
}

function filled(made, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

// For a screen reader; nothing moves on the page.
export function say(text) {
  $("#live").textContent = text;
}

let tellTimer = 0;
export function tell(text) {
  const place = $("#told");
  clearTimeout(tellTimer);
  place.textContent = text || "";
  place.hidden = !text;
  if (text) tellTimer = setTimeout(() => (place.hidden = true), 12000);
}

// Storage that may be forbidden or full. `forever`: beyond this tab.
export const store = {
  get(name, forever = true) {
    try {
      return (forever ? localStorage : sessionStorage).getItem(name);
    } catch {
      return null;
    }
  },
  set(name, value, forever = true) {
    try {
      const place = forever ? localStorage : sessionStorage;
      if (value === null) place.removeItem(name);
      else place.setItem(name, value);
      return true;
    } catch {
      return false;
    }
  },
  clear(prefix) {
    try {
      for (const place of [localStorage, sessionStorage]) for (const name of Object.keys(place)) if (name.startsWith(prefix)) place.removeItem(name);
    } catch {
      // nothing was kept
    }
  },
};

// A menu of <details>: Escape and a click elsewhere close it.
export function closing(details) {
  details.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !details.open) return;
    details.open = false;
    $("summary", details).focus();
    event.stopPropagation();
  });
  details.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !details.contains(event.relatedTarget)) details.open = false;
  });
  document.addEventListener("pointerdown", (event) => {
    if (details.isConnected && !details.contains(event.target)) details.open = false;
  });
  return details;
}
