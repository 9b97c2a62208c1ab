// The board's only script. It asks for the changed part of the page when the server says that something has moved,
// and puts in the sections that differ. The server has escaped all texts; nothing here is made from data.
"use strict";

const live = document.getElementById("live");
const said = document.getElementById("said");
let asked = false;
let again = false;

function show(state, text) {
  live.className = "live " + state;
  live.textContent = text;
}

function openNames(root) {
  return new Set([...root.querySelectorAll("details[open][id]")].map((one) => one.id));
}

function replace(old, fresh) {
  const open = openNames(old);
  const scrolled = [...old.querySelectorAll(".scroll, pre")].map((one) => [one.scrollLeft, one.scrollTop]);
  const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  old.replaceWith(fresh);
  for (const one of fresh.querySelectorAll("details[id]")) if (open.has(one.id)) one.open = true;
  [...fresh.querySelectorAll(".scroll, pre")].forEach((one, number) => {
    if (scrolled[number]) [one.scrollLeft, one.scrollTop] = scrolled[number];
  });
  if (focused) [...fresh.querySelectorAll("a[href]")].find((one) => one.getAttribute("href") === focused)?.focus();
}

function put(text) {
  const page = new DOMParser().parseFromString(text, "text/html");
  const now = document.getElementById("part");
  const fresh = page.getElementById("part");
  if (!now || !fresh) return;
  const names = (root) => [...root.children].map((one) => one.id).join(" ");
  if (names(now) !== names(fresh)) {
    const [x, y] = [window.scrollX, window.scrollY];
    replace(now, document.adoptNode(fresh));
    window.scrollTo(x, y);
  } else {
    for (const one of [...fresh.children]) {
      const old = document.getElementById(one.id);
      if (old.dataset.of !== one.dataset.of) replace(old, document.adoptNode(one));
    }
  }
  copies();
  times();
}

async function ask() {
  if (asked) {
    again = true;
    return;
  }
  asked = true;
  try {
    do {
      again = false;
      const answer = await fetch(window.location.pathname + "?part=1", { cache: "no-store" });
      if (answer.ok || answer.status === 404) put(await answer.text());
      else throw new Error(String(answer.status));
    } while (again);
    said.textContent = "updated";
  } catch {
    show("off", "not reached");
  } finally {
    asked = false;
  }
}

function listen() {
  const events = new EventSource("/events");
  events.addEventListener("moved", () => {
    show("on", "live");
    ask(); // the first time, too: something may have moved since this page was made
  });
  events.addEventListener("error", () => {
    show("off", "the board has ended");
  });
}

function copies() {
  for (const code of document.querySelectorAll("code.command:not([data-copy])")) {
    code.dataset.copy = "1";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "copy";
    button.setAttribute("aria-label", "copy: " + code.textContent);
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "copied";
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
    code.after(button);
  }
}

function ago(seconds) {
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "m"]]) {
    if (seconds >= size) return Math.floor(seconds / size) + unit + " ago";
  }
  return Math.max(0, Math.floor(seconds)) + "s ago";
}

function times() {
  for (const one of document.querySelectorAll("time.ago")) {
    one.textContent = ago((Date.now() - Date.parse(one.dateTime)) / 1000);
  }
}

copies();
listen();
setInterval(() => { if (!document.hidden) times(); }, 30000);
