// Live views, copying, local times. Everything else works without it.
(() => {
  "use strict";
  const REFRESH_MS = 1000, AGO_MS = 15000;
  const local = (time) => { time.title = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" }); };
  const ago = (time) => {
    const s = Math.round((Date.now() - new Date(time.dateTime)) / 1000);
    if (s < 0 || s >= 86400 * 7) return;
    time.textContent = s < 5 ? "just now" : s < 60 ? s + " s ago" : s < 3600 ? Math.floor(s / 60) + " min ago"
      : s < 86400 ? Math.floor(s / 3600) + " h ago" : Math.floor(s / 86400) + " d ago";
  };
  const dress = (root) => {
    root.querySelectorAll("time").forEach(local);
    root.querySelectorAll("time.ago").forEach(ago);
    root.querySelectorAll(".tree .row[data-k], .tree details[data-k]").forEach((row) => {
      if (row.querySelector(":scope > .cp") || row.parentElement.classList.contains("node")) return;
      const button = document.createElement("button");
      button.type = "button"; button.className = "cp"; button.textContent = "copy path"; button.tabIndex = -1;
      if (row.tagName !== "DETAILS") { row.append(button); return; }
      // Beside the part that folds, not within: a button within a button can be reached by neither name.
      const node = document.createElement("div");
      node.className = "node"; row.replaceWith(node); node.append(row, button);
    });
    root.querySelectorAll("[data-js]").forEach((node) => { node.hidden = false; });
  };

  // A path as conditions write it: payload.pull_request.labels[0].name
  const path = (node) => {
    const keys = [];
    for (let at = node; at && !at.classList.contains("tree"); at = at.parentElement) {
      if (at.dataset && at.dataset.k !== undefined) keys.unshift(at.dataset.k);
    }
    const root = node.closest(".tree").dataset.root || "payload";
    return root + keys.map((key) => key.startsWith("[") ? key : "." + key).join("");
  };
  const copied = (button, text) => navigator.clipboard.writeText(text).then(() => {
    const before = button.textContent;
    button.textContent = "copied"; say("Copied " + text);
    setTimeout(() => { button.textContent = before; }, 1200);
  });
  const say = (text) => { const live = document.getElementById("said"); if (live) live.textContent = text; };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.classList.contains("cp")) { event.preventDefault(); copied(button, path(button.parentElement.classList.contains("node") ? button.previousElementSibling : button.parentElement)); }
    else if (button.dataset.copy !== undefined) copied(button, button.dataset.copy);
  });

  // Live regions: on news the page is fetched again and the regions that changed take its parts.
  let due = null, last = 0, kept = false;
  const refresh = async () => {
    due = null; kept = false; last = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, credentials: "same-origin" });
      if (answer.redirected || !answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.querySelectorAll("[data-live]").forEach((old) => {
        const next = fresh.getElementById(old.id);
        if (!next || next.outerHTML === old.dataset.was) return;
        const known = new Set(Array.from(old.querySelectorAll("[data-id]"), (row) => row.dataset.id));
        const open = new Set(Array.from(old.querySelectorAll("details[open][id]"), (part) => part.id));
        // Nobody loses the place that they are at; it is caught up when they leave it.
        if (old.contains(document.activeElement)) { kept = true; return; }
        const was = next.outerHTML;
        next.querySelectorAll("[data-id]").forEach((row) => { if (known.size && !known.has(row.dataset.id)) row.classList.add("fresh"); });
        next.querySelectorAll("details[id]").forEach((part) => { if (open.has(part.id)) part.open = true; });
        dress(next); next.dataset.was = was; old.replaceWith(next);
      });
    } catch (error) { /* the agent is gone for a moment; the stream comes back by itself */ }
  };
  const news = () => { if (due === null) due = setTimeout(refresh, Math.max(120, last + REFRESH_MS - Date.now())); };
  document.addEventListener("focusout", () => { if (kept) news(); });
  const stream = () => {
    if (!document.querySelector("[data-live]") || !window.EventSource) return;
    const source = new EventSource("/api/stream");
    ["event", "notice", "run", "approval", "reset"].forEach((kind) => source.addEventListener(kind, news));
    source.addEventListener("message", news);
    window.addEventListener("pagehide", () => source.close());
    const mark = document.getElementById("live");
    source.addEventListener("open", () => { if (mark) { mark.textContent = "live"; mark.className = "st good"; } });
    source.addEventListener("error", () => { if (mark) { mark.textContent = "reconnecting"; mark.className = "st warn"; } });
  };
  document.querySelectorAll("form.auto select").forEach((select) => select.addEventListener("change", () => select.form.requestSubmit()));
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) {
      const search = document.querySelector("input[type=search]");
      if (search) { event.preventDefault(); search.focus(); }
    }
  });
  // On a narrow screen the navigation scrolls; the page that is open must be in sight.
  const here = document.querySelector("nav [aria-current]");
  if (here) here.scrollIntoView({ block: "nearest", inline: "center" });
  dress(document); stream();
  setInterval(() => document.querySelectorAll("time.ago").forEach(ago), AGO_MS);
})();
