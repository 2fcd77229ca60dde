"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);
  const say = (words) => { byId("announced").textContent = words; };
  const hash = (anchor) => { try { history.replaceState(null, "", anchor); } catch { /* kept as it is */ } };

  // Cells and clause names open the row below them; the same one again, or Escape, closes it.
  let opener = null;
  const links = all(".grid .clause a");
  const panelOf = (link) => link.closest("tr").nextElementSibling;
  const close = (panel) => {
    panel.classList.remove("open", "one");
    all(".current", panel).forEach((item) => item.classList.remove("current"));
    all("a", panel.previousElementSibling).forEach((link) => link.setAttribute("aria-expanded", "false"));
  };
  const open = (link) => {
    const panel = panelOf(link);
    close(panel);
    panel.classList.add("open");
    link.setAttribute("aria-expanded", "true");
    const target = byId(link.hash.slice(1));
    panel.classList.toggle("one", target !== panel); // a cell shows its dtype, a name shows all
    if (target !== panel) target.classList.add("current");
    opener = link;
  };
  for (const link of links) {
    link.setAttribute("role", "button");
    link.setAttribute("aria-expanded", "false");
    link.setAttribute("aria-controls", panelOf(link).id);
    link.addEventListener("keydown", (event) => {
      if (event.key === " ") { event.preventDefault(); link.click(); }
    });
    link.addEventListener("click", (event) => {
      event.preventDefault();
      if (link.getAttribute("aria-expanded") === "true") { close(panelOf(link)); return; }
      open(link);
      hash(link.hash);
    });
  }
  document.addEventListener("keydown", (event) => {
    const panel = opener && panelOf(opener);
    if (event.key !== "Escape" || !panel || !panel.classList.contains("open")) return;
    close(panel);
    opener.focus();
  });
  document.documentElement.classList.add("scripted");

  // A link to a clause or a cause opens it.
  const follow = () => {
    const target = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    const panel = target.closest("tr.panel");
    const link = panel && links.find((each) => each.hash === location.hash);
    if (link) { show(true); open(link); }
    const details = target.closest("details");
    if (details) details.open = true;
    if (panel || details) target.scrollIntoView({ block: "start" });
  };
  window.addEventListener("hashchange", follow);
  all('a[href^="#"]').filter((link) => !links.includes(link)).forEach((link) => {
    link.addEventListener("click", () => setTimeout(follow)); // the same link twice changes no hash
  });

  // The filters: words anywhere in a clause or under it, and a kind of verdict.
  const form = document.querySelector(".filters");
  const clauses = all(".grid tr.clause");
  const textOf = (row) => `${row.textContent} ${row.nextElementSibling.textContent}`.toLowerCase();
  const texts = new Map(clauses.map((row) => [row, textOf(row)]));
  const show = (everything) => {
    if (!form) return;
    if (everything) { byId("filter").value = ""; form.elements.kind.value = "all"; }
    const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const kind = form.elements.kind.value;
    let count = 0;
    for (const row of clauses) {
      const found = words.every((word) => texts.get(row).includes(word));
      const kept = found && (kind === "all" || row.dataset.kinds.split(" ").includes(kind));
      row.hidden = row.nextElementSibling.hidden = !kept;
      count += kept;
    }
    all(".grid tbody").forEach((body) => { // a group without clauses stays as a summary, unless words are looked for
      body.hidden = words.length > 0 && !body.querySelector("tr.clause:not([hidden])");
    });
    byId("found").textContent = `${count} of ${clauses.length} clauses shown`;
  };
  if (form) {
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => show(false));
    show(false);
  }

  // Copying: by the clipboard where there is one, else by a selection, which stays for the user's own copying.
  const select = (node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  };
  const selected = (node) => {
    select(node);
    try { return document.execCommand("copy"); } catch { return false; }
  };
  const copy = async (node) => {
    try {
      await navigator.clipboard.writeText(node.textContent);
      return true;
    } catch { return selected(node); }
  };
  for (const button of all("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const words = await copy(byId(button.dataset.copy)) ? "Copied" : "Selected: copy it now";
      button.textContent = words;
      say(words);
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  // Printed: causes in full.
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = all("details.cause:not([open])");
    closed.forEach((details) => { details.open = true; });
  });
  window.addEventListener("afterprint", () => closed.forEach((details) => { details.open = false; }));

  follow();
})();
