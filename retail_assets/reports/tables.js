"use strict";
// Tables that readers sort and search. A column: [heading, value of a row, how it is shown, "number"?]; the CSV has the
// values, the page what is shown.
const Tables = (() => {
  const MANY = 12; // so many rows are read without a search
  const CARDS = 6; // so many cards are shown until all are asked for
  const HEIGHT = 430; // of what is shown of a long table
  const nothing = "–";
  const words = (value) => (value === null || value === undefined || value === "" ? nothing : String(value));

  function element(name, properties = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
      if (key in made && key !== "list") made[key] = value; else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  }

  // A table that is wider than its frame is shown as cards: one for each row, whose cells say their headings.
  function fit(frame) {
    const table = frame.querySelector("table"), scroll = table.parentElement;
    frame.classList.remove("of-cards");
    table.classList.remove("cards");
    table.classList.toggle("cards", scroll.scrollWidth > scroll.clientWidth);
    frame.classList.toggle("of-cards", table.classList.contains("cards"));
    // Beside a higher neighbour it grows; by itself it takes no more than this.
    if (scroll.closest(".two .body")) scroll.style.flexBasis = `${Math.min(HEIGHT, table.offsetHeight)}px`;
    const more = frame.querySelector(".more");
    more.hidden = !table.classList.contains("cards") || table.tBodies[0].rows.length <= CARDS;
    scroll.classList.toggle("long", !table.classList.contains("cards") && scroll.scrollHeight > scroll.clientHeight);
  }
  let fitted = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === fitted) return;
    fitted = innerWidth;
    document.querySelectorAll(".framed").forEach(fit);
  });

  // What the reader asked of a table: kept by the panel, so that it outlives a change of the filters.
  const asked = () => ({ by: null, down: false, words: "" });

  const isNothing = (value) => value === null || value === undefined || value === "" || (typeof value === "number" && !isFinite(value));
  function ordered(fields, rows, { by, down }) {
    const field = fields.find(([heading]) => heading === by);
    if (!field) return rows;
    const value = field[1], sign = down ? -1 : 1;
    return [...rows].sort((a, b) => {
      const left = value(a), right = value(b), gone = isNothing(left) - isNothing(right);
      if (gone || isNothing(left)) return gone; // what is not known comes last, whatever the direction
      return sign * (typeof left === "number" ? left - right : String(left).localeCompare(String(right), "en-GB", { numeric: true }));
    });
  }
  // The rows that have every word somewhere in what is shown of them, in the order asked for.
  function found(fields, rows, wanted) {
    const each = wanted.words.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = each.length ? rows.filter((row) => {
      const said = fields.map(([, value, show]) => show(value(row))).join("\n").toLowerCase();
      return each.every((word) => said.includes(word));
    }) : rows;
    return ordered(fields, kept, wanted);
  }

  // rows: all that can be found; of these at most `most` are shown.
  function tableOf(caption, fields, rows, { decorate = {}, wanted = asked(), most = Infinity } = {}) {
    const told = fields.filter(([, value], place) => !place || !rows.length || rows.some((row) => !isNothing(value(row))));
    // The roles, as the elements of a table that is shown as cards mean no table any more.
    const heads = told.map(([heading, , , kind]) => {
      const button = element("button", { type: "button", className: "sort" }, heading);
      button.addEventListener("click", () => {
        // A first click brings the most, or A, to the top; a second turns it round; a third is the order as given.
        const first = kind === "number";
        if (wanted.by !== heading) Object.assign(wanted, { by: heading, down: first });
        else if (wanted.down === first) wanted.down = !first;
        else wanted.by = null;
        refresh();
      });
      return element("th", { scope: "col", role: "columnheader", className: kind === "number" ? "number" : "" }, button);
    });
    const body = element("tbody", { role: "rowgroup" });
    const table = element("table", { role: "table" }, element("caption", {}, caption),
      element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...heads)), body);
    const frame = element("div", { className: "framed" });
    const count = element("span", { className: "count", role: "status" });
    const refresh = () => {
      const kept = found(told, rows, wanted);
      body.replaceChildren(...kept.slice(0, most).map((row) => rowOf(told, row, decorate)));
      heads.forEach((head, place) => {
        const by = told[place][0] === wanted.by;
        head.setAttribute("aria-sort", by ? (wanted.down ? "descending" : "ascending") : "none");
      });
      count.textContent = !wanted.words.trim() ? "" : `${kept.length.toLocaleString("en-GB")} of ${rows.length.toLocaleString("en-GB")}`;
      frame.dispatchEvent(new Event("asked"));
      if (frame.isConnected) fit(frame);
    };
    const more = element("button", { type: "button", className: "more", hidden: true });
    const unfold = (all) => {
      frame.classList.toggle("whole", all);
      more.textContent = all ? "Show fewer" : `Show all ${body.rows.length}`;
      more.setAttribute("aria-label", `${more.textContent}: ${caption}`);
    };
    more.addEventListener("click", () => unfold(!frame.classList.contains("whole")));
    frame.addEventListener("asked", () => unfold(frame.classList.contains("whole")));
    frame.append(tools(caption, told, wanted, count, refresh, frame, rows.length > MANY),
      element("div", { className: "scroll", tabindex: "0", role: "region", "aria-label": caption }, table), more);
    refresh();
    return frame;
  }

  function rowOf(fields, row, decorate) {
    return element("tr", { role: "row" }, ...fields.map(([heading, value, show, kind]) => {
      const cell = element("td", { className: kind, role: "cell", "data-heading": heading }, ...[].concat(
        decorate[heading] ? decorate[heading](row, show(value(row))) : show(value(row))));
      if (kind === "id") cell.title = words(value(row));
      return cell;
    }));
  }

  // Search, where there is much; and, for cards, which have no headings to click, the order.
  function tools(caption, fields, wanted, count, refresh, frame, many) {
    const search = element("input", { type: "search", placeholder: "Search", value: wanted.words, "aria-label": `Search: ${caption}` });
    search.addEventListener("input", () => { wanted.words = search.value; refresh(); });
    const by = element("select", { "aria-label": `Order of ${caption}` }, element("option", { value: "" }, "As given"),
      ...fields.map(([heading]) => element("option", { value: heading }, heading)));
    const turn = element("button", { type: "button", "aria-label": `Reverse the order of ${caption}` });
    by.addEventListener("change", () => {
      const field = fields.find(([heading]) => heading === by.value);
      Object.assign(wanted, { by: by.value || null, down: Boolean(field) && field[3] === "number" });
      refresh();
    });
    turn.addEventListener("click", () => { wanted.down = !wanted.down; refresh(); });
    frame.addEventListener("asked", () => {
      by.value = wanted.by || "";
      turn.disabled = !wanted.by;
      turn.textContent = wanted.down ? "↓" : "↑";
    });
    return element("div", { className: many ? "tools many" : "tools" }, ...(many ? [search, count] : []), element("span", { className: "order" }, "Sort by ", by, turn));
  }

  function save(name, fields, data) {
    const cell = (value) => {
      let written = value === null || value === undefined ? "" : String(value);
      // A spreadsheet takes text that begins so for a formula.
      if (typeof value === "string" && /^[=+\-@\t\r]/.test(written)) written = "'" + written;
      return /[",\n\r]/.test(written) ? '"' + written.replace(/"/g, '""') + '"' : written;
    };
    const lines = [fields.map(([heading]) => cell(heading)), ...data.map((row) => fields.map(([, value]) => cell(value(row))))];
    const file = new Blob(["\ufeff" + lines.map((line) => line.join(",")).join("\r\n") + "\r\n"], { type: "text/csv" });
    const link = element("a", { href: URL.createObjectURL(file), download: `${name}.csv` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  return { asked, element, fit, found, nothing, save, tableOf, words };
})();
