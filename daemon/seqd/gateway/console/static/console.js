// Follows the page that is shown: what of it changes comes as fragments, and is put in its place.
"use strict";

(() => {
  // On a phone the menu is a row that scrolls.
  document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

  const places = new Map();
  for (const place of document.querySelectorAll("[data-live]")) {
    places.set(place.dataset.live, place);
  }
  if (places.size === 0) return;

  const connection = document.getElementById("connection");
  const url = new URL(location.href);
  url.searchParams.set("live", "1");
  const LONGEST_WAIT_MS = 30000, OLD_MS = 30000;
  let source = null, waitMs = 1000, timer = 0, isFinal = false;

  const say = (text) => {
    if (connection.textContent !== text) connection.textContent = text;
  };

  // Makes `old` like `wanted`, and leaves alone what is the same: focus, selection and what is
  // scrolled or opened stay.
  const update = (old, wanted) => {
    const before = [...old.childNodes], after = [...wanted.childNodes];
    for (const [number, node] of after.entries()) {
      const there = before[number];
      if (there === undefined) {
        old.append(node);
      } else if (there.nodeType !== node.nodeType || there.nodeName !== node.nodeName) {
        there.replaceWith(node);
      } else if (node.nodeType !== Node.ELEMENT_NODE) {
        if (there.data !== node.data) there.data = node.data;
      } else if (!there.isEqualNode(node)) {
        attributes(there, node);
        update(there, node);
      }
    }
    for (const node of before.slice(after.length)) node.remove();
  };

  const attributes = (old, wanted) => {
    for (const { name } of [...old.attributes]) {
      if (!wanted.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    }
    for (const { name, value } of wanted.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
  };

  const put = ({ name, html }) => {
    const place = places.get(name);
    // What somebody fills in is not taken away from them.
    if (place === undefined || place.contains(typing())) return;
    const parsed = document.createElement("template");
    parsed.innerHTML = html;
    const focused = document.activeElement, did = doing(focused);
    update(place, parsed.content);
    if (focused === document.activeElement && doing(focused) === did) return;
    focused.blur();
    const again = [...place.querySelectorAll("a, button")].find((one) => doing(one) === did);
    if (again !== undefined) again.focus({ preventScroll: true });
  };

  // What Enter does there. Where a row comes above, an element gets what another one did: the focus
  // goes along with what it does, and to nothing else.
  const doing = (one) =>
    one.matches("a, button") ? (one.form?.getAttribute("action") ?? "") + one.outerHTML : "";

  const typing = () => {
    const focused = document.activeElement;
    return focused !== null && focused.matches("input, select, textarea") ? focused : null;
  };

  // The gateway is there, but cannot read the page: Redis is away, or what it shows is gone.
  const expectNews = () => {
    clearTimeout(timer);
    timer = setTimeout(say, OLD_MS, "nothing new comes; what is shown may be old");
  };

  const close = () => {
    clearTimeout(timer);
    if (source !== null) source.close();
    source = null;
  };

  const open = () => {
    close();
    if (document.hidden || isFinal) return;
    source = new EventSource(url);
    expectNews();
    source.addEventListener("alive", () => {
      waitMs = 1000;
      expectNews();
      say("live");
    });
    source.addEventListener("fragment", (event) => put(JSON.parse(event.data)));
    source.addEventListener("final", () => {
      isFinal = true;
      say("");
      close();
    });
    source.addEventListener("login", () => location.reload());
    source.addEventListener("error", () => {
      say("not connected; trying again");
      close();
      timer = setTimeout(open, waitMs * (0.5 + Math.random() / 2));
      waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 2);
    });
  };

  // A tab that nobody sees asks for nothing.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => event.persisted && open());
  open();
})();
