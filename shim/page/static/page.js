// What the page does beyond htmx: times in the reader's own, keys, logs, what was open stays open.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  function tellTimes(root) {
    for (const one of all("time[datetime]:not([data-told])", root)) {
      const at = new Date(one.getAttribute("datetime"));
      const today = new Date().toDateString() === at.toDateString();
      const how = today ? { timeStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" };
      one.textContent = at.toLocaleString(undefined, how);
      one.title = at.toLocaleString();
      one.dataset.told = "";
    }
  }

  // Logs: events bear the byte to go on from, so that a lost connection loses nothing.
  function followLog(box) {
    if (box.dataset.follows !== undefined) return;
    box.dataset.follows = "";
    const source = new EventSource(box.dataset.log);
    source.addEventListener("log", (event) => {
      const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
      box.append(JSON.parse(event.data).content);
      if (atEnd) box.scrollTop = box.scrollHeight;
    });
    source.addEventListener("end", (event) => {
      const end = JSON.parse(event.data);
      source.close();
      box.dataset.ended = end.status;
      if (!box.textContent) box.textContent = "(empty)";
    });
  }

  function ready(root) {
    tellTimes(root);
    all("[data-log]", root).forEach(followLog);
  }

  // A region that is read anew keeps what was opened in it, ticked in it, and where the eye was.
  const kept = new WeakMap();
  document.addEventListener("htmx:beforeSwap", (event) => {
    const target = event.detail.target;
    if (!target || event.detail.isError) return;
    kept.set(target, {
      open: all("details[open][id]", target).map((one) => one.id),
      ticked: all("input[type=checkbox][id^=c-]:checked", target).map((one) => one.id),
      left: all(".wide", target).map((one) => one.scrollLeft),
    });
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    const target = event.detail.target || event.target;
    const before = kept.get(target);
    if (before) {
      kept.delete(target);
      before.open.forEach((id) => { const one = document.getElementById(id); if (one) one.open = true; });
      before.ticked.forEach((id) => { const one = document.getElementById(id); if (one) one.checked = true; });
      all(".wide", target).forEach((one, at) => { one.scrollLeft = before.left[at] || 0; });
    }
    ready(target);
  });

  // Events that say the same as the page does ask for nothing.
  document.addEventListener("htmx:beforeRequest", (event) => {
    const by = event.detail.requestConfig.triggeringEvent;
    const element = event.detail.elt;
    if (!by || !by.type.startsWith("sse:") || element.dataset.mark === undefined) return;
    const mark = by.detail && by.detail.data;
    if (mark === element.dataset.mark) event.preventDefault();
    else element.dataset.mark = mark;
  });

  let silence;
  document.addEventListener("htmx:afterRequest", (event) => {
    const form = event.detail.elt;
    if (event.detail.successful && form.matches("form[data-reset]")) form.reset();
    if ($("#notice").textContent.trim()) {
      clearTimeout(silence);
      silence = setTimeout(() => { $("#notice").textContent = ""; }, 12000);
    }
  });

  const connection = () => $("#connection");
  document.addEventListener("htmx:sseError", () => {
    connection().textContent = "The connection is lost: trying again. What is shown may be old.";
    connection().hidden = false;
  });
  document.addEventListener("htmx:sseOpen", () => {
    connection().hidden = true;
    connection().textContent = "";
  });
  document.addEventListener("htmx:sendError", () => {
    $("#notice").textContent = "";
    const said = document.createElement("p");
    said.className = "note fault";
    said.textContent = "The server does not answer: try again.";
    $("#notice").append(said);
  });

  // A picture of many runs: the arrows walk through its marks from the best, Enter opens the run.
  const marksOf = (picture) => all(".mark", picture).reverse();
  function walkTo(picture, mark) {
    for (const one of all(".is-walked", picture)) one.classList.remove("is-walked");
    mark.classList.add("is-walked");
    const said = document.getElementById(picture.dataset.walk);
    const link = document.createElement("a");
    link.href = `/page/runs/${mark.dataset.run}`;
    link.textContent = $("title", mark).textContent;
    said.replaceChildren(link);
  }
  document.addEventListener("keydown", (event) => {
    const picture = event.target.closest && event.target.closest("svg[data-walk]");
    if (!picture || event.ctrlKey || event.metaKey || event.altKey) return;
    const marks = marksOf(picture);
    const at = marks.findIndex((one) => one.classList.contains("is-walked"));
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step && marks.length) {
      event.preventDefault();
      walkTo(picture, marks[Math.min(marks.length - 1, Math.max(0, at + step))]);
    } else if (event.key === "Enter" && at >= 0) {
      location.href = `/page/runs/${marks[at].dataset.run}`;
    }
  });
  document.addEventListener("click", (event) => {
    const mark = event.target.closest && event.target.closest("svg[data-walk] .mark");
    if (mark) walkTo(mark.closest("svg"), mark);
  });

  const places = { n: "/page/", r: "/page/runs", c: "/page/compute" };
  let went = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, dialog")) return;
    const focus = (selector) => {
      const found = $(selector);
      if (found) { event.preventDefault(); found.focus(); }
    };
    if (event.key === "g") { went = Date.now(); return; }
    if (Date.now() - went < 1500 && places[event.key]) { location.href = places[event.key]; return; }
    if (event.key === "?") { event.preventDefault(); $("#keys").showModal(); }
    if (event.key === "/") focus("#q");
    if (event.key === "s") focus("textarea[id^=steer-]");
    if (event.key === "a") focus(".alert button");
  });

  document.addEventListener("DOMContentLoaded", () => {
    $("#help").addEventListener("click", () => $("#keys").showModal());
    ready(document);
  });
})();
