// Keeps a page fresh: asks for it again when something happens, and shows what changed. Pages work without it.
"use strict";

(() => {
  const main = document.querySelector("main[data-events]");
  if (!main) return;
  const live = document.getElementById("live");
  const QUIET_MS = 400;
  let timer = null;
  let asking = false;
  let again = false;

  // Many events are one look; one that comes during a look is followed by another.
  const changed = () => {
    if (asking) again = true;
    else if (timer === null && !document.hidden) timer = setTimeout(look, QUIET_MS);
  };

  const look = async () => {
    timer = null;
    asking = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "manual" });
      if (answer.type === "opaqueredirect") location.reload();
      else if (answer.ok) show(await answer.text());
    } catch {
      // The next event or interval tries again.
    } finally {
      asking = false;
      if (again) {
        again = false;
        changed();
      }
    }
  };

  const show = (html) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    const fresh = page.querySelector("main");
    const now = document.querySelector("main");
    if (!fresh || fresh.innerHTML === now.innerHTML) return;
    // Whoever works with the keyboard stays where they are.
    const at = document.activeElement;
    const href = now.contains(at) ? at.getAttribute("href") : null;
    now.replaceChildren(...fresh.childNodes);
    document.title = page.title;
    if (href) now.querySelector(`a[href="${CSS.escape(href)}"]`)?.focus({ preventScroll: true });
    if (!fresh.dataset.every) clearInterval(interval);
  };

  const every = Number(main.dataset.every);
  const interval = every ? setInterval(changed, every * 1000) : null;
  document.addEventListener("visibilitychange", changed);

  const events = new EventSource(main.dataset.events);
  events.addEventListener("ready", () => { live.hidden = false; });
  events.addEventListener("audit", changed);
  events.onerror = () => { live.hidden = true; };
})();
