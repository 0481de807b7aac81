/* The list of findings: filtered, sorted and shown page by page. Texts are only ever set as text, never as markup. */
(() => {
  "use strict";

  const data = JSON.parse(document.getElementById("findings-data").textContent);
  const [CLASS, STATUS, FIRST, LAST, REASON, SUBJECT, EVIDENCE] = [0, 1, 2, 3, 4, 5, 6];
  const statusNumber = Object.fromEntries(data.statuses.map((name, number) => [name, number]));
  const groups = {
    open: new Set([statusNumber.stayed, statusNumber.new]),
    new: new Set([statusNumber.new]),
    gone: new Set([statusNumber.gone]),
    accepted: new Set([statusNumber.accepted]),
  };
  const element = (id) => document.getElementById(id);
  const number = (value) => value.toLocaleString("en-GB");

  const search = element("search");
  const statusChoice = element("status");
  const classChoice = element("class");
  const sizeChoice = element("size");
  const severityChoices = [...document.querySelectorAll("input[name=severity]")];
  const cards = [...document.querySelectorAll(".classes > li")];
  const headings = [...document.querySelectorAll("th[data-sort]")];
  const body = element("rows");

  const sorting = { by: "class", descending: false };
  let page = 0;
  let found = data.rows;

  // --- which rows -----------------------------------------------------------------------------------------------

  let haystacks = null;

  /* What a search looks through, in lower case; made at the first search, because many never search. */
  const haystack = (index) => {
    if (haystacks === null) {
      haystacks = data.rows.map((row) => {
        const about = data.classes[row[CLASS]];
        const values = row[EVIDENCE].filter((_, position) => position % 2 === 1);
        const reason = row[REASON] < 0 ? "" : data.reasons[row[REASON]];
        return [row[SUBJECT], ...values, about.title, about.id, reason].join("\n").toLowerCase();
      });
    }
    return haystacks[index];
  };

  const choose = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const group = groups[statusChoice.value];
    const severities = new Set(severityChoices.filter((box) => box.checked).map((box) => box.value));
    const wanted = data.classes.map(
      (one) => severities.has(one.severity) && (classChoice.value === "" || classChoice.value === one.id),
    );
    found = data.rows.filter(
      (row, index) =>
        wanted[row[CLASS]] && group.has(row[STATUS]) && words.every((word) => haystack(index).includes(word)),
    );
    arrange();
    page = 0;
    showCards(words, wanted);
    show();
  };

  const arrange = () => {
    const time = (field) => (a, b) => data.times[a[field]][0] - data.times[b[field]][0];
    const text = new Intl.Collator("en", { numeric: true });
    const orders = {
      class: null,
      subject: (a, b) => text.compare(a[SUBJECT], b[SUBJECT]),
      first: time(FIRST),
      last: time(LAST),
    };
    const order = orders[sorting.by];
    if (order !== null) found.sort(order);
    if (sorting.descending) found.reverse();
  };

  /* A class is shown while it has a row that was found, or while its own words are what was searched for. */
  const showCards = (words, wanted) => {
    const remaining = new Set(found.map((row) => data.classes[row[CLASS]].id));
    for (const card of cards) {
      const known = data.classes.findIndex((one) => one.id === card.dataset.class);
      const told = card.textContent.toLowerCase();
      const named = words.length > 0 && words.every((word) => told.includes(word));
      card.hidden = !wanted[known] || (words.length > 0 && !remaining.has(card.dataset.class) && !named);
    }
  };

  // --- how they are shown ---------------------------------------------------------------------------------------

  const make = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const bytes = (size) => {
    const units = ["bytes", "KB", "MB", "GB"];
    let amount = size;
    let unit = 0;
    while (amount >= 1000 && unit < units.length - 1) {
      amount /= 1000;
      unit += 1;
    }
    return unit === 0 ? `${number(size)} bytes` : `${amount.toFixed(1)} ${units[unit]}`;
  };

  const shownValue = (name, value) => {
    if (name === "size" && typeof value === "number") return bytes(value);
    return typeof value === "object" ? JSON.stringify(value) : String(value);
  };

  const evidenceCell = (row) => {
    const list = make("dl", "evidence");
    for (let position = 0; position < row[EVIDENCE].length; position += 2) {
      const name = data.fields[row[EVIDENCE][position]];
      const value = row[EVIDENCE][position + 1];
      // The subject's own id stands beside it already.
      if (value === null || row[SUBJECT].endsWith(` ${value}`)) continue;
      const pair = make("div");
      pair.append(make("dt", "", name.replaceAll("_", " ")), make("dd", "", shownValue(name, value)));
      list.append(pair);
    }
    if (row[REASON] >= 0) {
      const pair = make("div");
      pair.append(make("dt", "", "accepted"), make("dd", "said", data.reasons[row[REASON]]));
      list.append(pair);
    }
    return list;
  };

  const subjectCell = (row) => {
    const [kind, ...rest] = row[SUBJECT].split(" ");
    const cell = make("div", "subject");
    cell.append(make("span", "kind", rest.length ? kind : ""), make("bdi", "id", rest.length ? rest.join(" ") : kind));
    return cell;
  };

  const classCell = (row) => {
    const about = data.classes[row[CLASS]];
    const cell = make("div", `kind-of ${about.severity}`);
    cell.append(make("span", "title", about.title));
    const status = data.statuses[row[STATUS]];
    if (status !== "stayed") cell.append(" ", make("span", `status ${status}`, status));
    cell.title = about.about;
    return cell;
  };

  const timeCell = (index) => {
    const [seconds, day, moment] = data.times[index];
    const cell = make("time", "", day);
    cell.dateTime = new Date(seconds * 1000).toISOString();
    cell.title = moment;
    return cell;
  };

  const tableRow = (row) => {
    const line = make("tr");
    // On a telephone the style turns rows into cards, and browsers then forget that it is a table.
    line.setAttribute("role", "row");
    const cells = [
      ["Class", classCell(row)],
      ["Subject", subjectCell(row)],
      ["What it touches", evidenceCell(row)],
      ["First seen", timeCell(row[FIRST])],
      ["Last seen", timeCell(row[LAST])],
    ];
    cells.forEach(([label, content], position) => {
      const cell = make(position === 1 ? "th" : "td");
      if (position === 1) cell.scope = "row";
      cell.setAttribute("role", position === 1 ? "rowheader" : "cell");
      cell.dataset.label = label;
      cell.append(content);
      line.append(cell);
    });
    return line;
  };

  const show = () => {
    const size = Number(sizeChoice.value);
    const pages = Math.max(1, Math.ceil(found.length / size));
    page = Math.min(Math.max(page, 0), pages - 1);
    const from = page * size;
    const rows = found.slice(from, from + size);
    body.replaceChildren(...rows.map(tableRow));
    element("list").classList.toggle("empty", found.length === 0);
    element("found").textContent =
      found.length === 0
        ? "No finding fits. Clear the filters to see all."
        : `${number(from + 1)} to ${number(from + rows.length)} of ${number(found.length)}`;
    element("position").textContent = `Page ${number(page + 1)} of ${number(pages)}`;
    for (const [id, off] of [["first", page === 0], ["previous", page === 0], ["next", page === pages - 1], ["last", page === pages - 1]]) {
      element(id).disabled = off;
    }
    for (const heading of headings) {
      const current = heading.dataset.sort === sorting.by;
      if (current) heading.setAttribute("aria-sort", sorting.descending ? "descending" : "ascending");
      else heading.removeAttribute("aria-sort");
    }
  };

  // --- what a person does ---------------------------------------------------------------------------------------

  const turn = (to) => {
    page = to;
    show();
    element("list-title").scrollIntoView({ block: "start" });
  };

  let waiting = 0;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(choose, 120);
  });
  for (const control of [statusChoice, classChoice, ...severityChoices]) control.addEventListener("change", choose);
  sizeChoice.addEventListener("change", () => turn(0));
  element("first").addEventListener("click", () => turn(0));
  element("previous").addEventListener("click", () => turn(page - 1));
  element("next").addEventListener("click", () => turn(page + 1));
  element("last").addEventListener("click", () => turn(Infinity));
  element("filters").addEventListener("submit", (event) => event.preventDefault());
  element("reset").addEventListener("click", () => {
    search.value = "";
    statusChoice.value = "open";
    classChoice.value = "";
    for (const box of severityChoices) box.checked = true;
    choose();
    search.focus();
  });
  for (const heading of headings) {
    heading.firstElementChild.addEventListener("click", () => {
      const again = sorting.by === heading.dataset.sort;
      sorting.descending = again ? !sorting.descending : false;
      sorting.by = heading.dataset.sort;
      choose();
    });
  }
  for (const card of cards) {
    const button = card.querySelector(".show");
    button.hidden = false;
    button.addEventListener("click", () => {
      const open = data.rows.some((row) => data.classes[row[CLASS]].id === card.dataset.class && groups.open.has(row[STATUS]));
      statusChoice.value = open ? "open" : "gone";
      classChoice.value = card.dataset.class;
      choose();
      element("list-title").scrollIntoView({ block: "start" });
    });
  }
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof Element && event.target.closest("input, select, textarea");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
    }
  });

  if (matchMedia("(max-width: 720px)").matches) sizeChoice.value = "25";
  element("filters").hidden = false;
  element("list").hidden = false;
  element("no-list").hidden = true;
  choose();
})();
