(() => {
  "use strict";
  const live = document.getElementById("live");
  const stream = document.body.dataset.stream;
  let polling = 0, heard = 0;

  const keyOf = (node) => node.nodeType === 1 ? (node.id || node.dataset.key || "") : "";

  // Make `old` like `fresh` and keep what is the same: focus stays, bars glide.
  const morph = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
      old.replaceWith(fresh);
      return;
    }
    if (old.nodeType !== 1) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    for (const {name} of [...old.attributes])
      if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    for (const {name, value} of fresh.attributes)
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const keyed = new Map([...old.childNodes].filter(keyOf).map((node) => [keyOf(node), node]));
    let at = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      const key = keyOf(child);
      let same = key ? keyed.get(key) : at && !keyOf(at) ? at : null;
      if (!same) {
        old.insertBefore(child, at);
        continue;
      }
      if (same === at) at = at.nextSibling;
      else old.insertBefore(same, at);
      morph(same, child);
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  };

  const show = (news) => {
    heard = Date.now();
    document.title = news.title;
    for (const [id, html] of Object.entries(news.sections)) {
      const made = document.createElement("template");
      made.innerHTML = html;
      const old = document.getElementById(id);
      if (old && made.content.firstElementChild) morph(old, made.content.firstElementChild);
    }
  };

  const say = (text) => { if (live.textContent !== text) live.textContent = text; };

  const poll = async () => {
    try {
      const answer = await fetch("live", {cache: "no-store"});
      show(await answer.json());
      say("looks every 2 s");
    } catch {
      say("no answer; trying again");
    }
    polling = setTimeout(poll, 2000);
  };

  const listen = () => {
    const source = new EventSource(stream);
    heard = Date.now();
    const watch = setInterval(() => {  // a machine that slept hears of no error
      if (Date.now() - heard < 15000) return;
      clearInterval(watch);
      source.close();
      listen();
    }, 5000);
    source.addEventListener("page", (event) => {
      show(JSON.parse(event.data));
      say("live");
    });
    source.onerror = () => {
      say("connecting again");
      if (source.readyState !== EventSource.CLOSED) return;
      clearInterval(watch);
      if (!polling) polling = setTimeout(poll, 0);
    };
  };

  const steer = document.getElementById("steer");
  if (steer) steer.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.submitter, said = document.getElementById("said");
    if (button && button.dataset.sure && !confirm(button.dataset.sure)) return;
    const fields = new URLSearchParams(new FormData(steer));
    if (button) fields.set(button.name, button.value);
    said.textContent = "asking";
    try {
      const answer = await fetch(steer.action, {method: "POST", body: fields});
      said.textContent = (await answer.text()).trim();
    } catch {
      said.textContent = "no answer";
    }
  });

  if (stream && window.EventSource) listen();
  else poll();
})();
