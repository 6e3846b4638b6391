"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const F = read("figures"), CHARTS = read("charts"), SHAPES = read("shapes");
  const $ = (id) => document.getElementById(id);
  const ALL = -1, NONE = -1, MONTH_BEFORE = -2, YEAR_BEFORE = -3; // as dashboard_sums.py has them
  const DAY = 86400000;
  const PLACE = F.place, PLACES = F.places; // "country" and "countries", or whatever the source tells
  const title = (word) => word[0].toUpperCase() + word.slice(1);

  // Numbers and dates, as this page writes them --------------------------------------------------------------------
  const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
  const one = new Intl.NumberFormat("en-GB", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const pennies = new Intl.NumberFormat("en-GB", { style: "currency", currency: F.currency });
  const amounts = new Intl.NumberFormat("en-GB", { style: "currency", currency: F.currency, maximumFractionDigits: 0 });
  const SIGN = amounts.formatToParts(0).find((part) => part.type === "currency").value;
  const percentage = new Intl.NumberFormat("en-GB", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const { element, nothing, words } = Tables;
  const soManyCustomers = (number) => `${whole.format(number)} ${number === 1 ? "customer" : "customers"}`;
  const shown = (format, value) => (value === null || value === undefined || !isFinite(value) ? nothing : format.format(value));
  const iso = (time) => new Date(time).toISOString().slice(0, 10);
  const monthName = (month, length = "long") =>
    new Date(month + "-01T00:00:00Z").toLocaleDateString("en-GB", { month: length, year: "numeric", timeZone: "UTC" });
  const dayName = (day) =>
    new Date(day + "T00:00:00Z").toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  // A sum of thousandths is exact; only what is shown is rounded.
  const money = (thousandths) => thousandths / 1000;

  // Sums: columns of equal length, a row for each choice that has customers or sales --------------------------------
  const S = F.sales, rows = S.day.length;
  const firstDay = F.first_day ? Date.parse(F.first_day) : Date.parse(F.as_of) - DAY;
  const lastDay = Date.parse(F.as_of) - DAY;
  const days = Math.max(1, Math.round((lastDay - firstDay) / DAY) + 1);
  const dayOf = new Int32Array(rows);
  const months = [], firstOfMonth = [];
  for (let day = 0; day < days; day++) {
    const name = iso(firstDay + day * DAY).slice(0, 7);
    if (months[months.length - 1] !== name) { months.push(name); firstOfMonth.push(day); }
  }
  for (let row = 0, day = 0; row < rows; row++) {
    day += S.day[row];
    dayOf[row] = day;
  }
  const thisMonth = months.length - 1;
  const records = (columns) => {
    const names = Object.keys(columns);
    return columns[names[0]].map((_, row) => Object.fromEntries(names.map((name) => [name, columns[name][row]])));
  };
  const buyers = records(F.buyers), profiles = records(F.profiles), moves = records(F.moves), risks = records(F.churn), toWriteTo = records(F.write), lostOnes = records(F.lost), values = records(F.values);
  const cohortRows = F.cohorts.cohort.length;
  const hasChurn = risks.length > 0;
  const hasValue = values.length > 0;

  // What is chosen, and what follows from it -----------------------------------------------------------------------
  const oneOf = (names, everything) => ({
    of: (number) => (number === ALL ? everything : names[number]),
    value: (said) => (said === everything ? ALL : names.includes(said) ? names.indexOf(said) : undefined),
  });
  const SAID = { // of what is chosen, in the page's address
    month: { ...oneOf(months, "all"), standard: thisMonth },
    country: { ...oneOf(F.countries.map((country) => country.name)), standard: ALL },
    segment: { ...oneOf(F.segments.map((segment) => segment.name)), standard: ALL },
    measure: { of: String, value: (said) => (said === "orders" ? said : undefined), standard: "revenue" },
    view: { of: String, value: (said) => (said === "world" ? said : undefined), standard: "europe" },
  };
  const state = Address.read(SAID);
  const ofCountry = (country) => state.country === ALL || country === state.country;
  const ofSegment = (segment) => state.segment === ALL || segment === state.segment;

  function span(month) { // days [from, to) of a month, all of them without one; and whose buyers are counted
    if (month === ALL) return [0, days, ALL];
    return [firstOfMonth[month], month === thisMonth ? days : firstOfMonth[month + 1], month];
  }
  const monthLength = (month) => {
    const [year, number] = months[month].split("-").map(Number);
    return new Date(Date.UTC(year, number, 0)).getUTCDate();
  };
  function earlierSpan(month, back) { // the same month so many months before; as many days of it if this one is not over
    const earlier = month - back;
    if (month === ALL || earlier < 0) return null;
    const [from, to] = span(month), [begin, end] = span(earlier);
    if (earlier === 0 && iso(firstDay).slice(8) !== "01") return null;
    if (to - from === monthLength(month)) return [begin, end, earlier];
    return [begin, Math.min(end, begin + (to - from)), back === 1 ? MONTH_BEFORE : YEAR_BEFORE];
  }

  // An order of several countries is one, and one of each of them where that is chosen.
  const ordersOf = (row) => S.orders[row] + (state.country === ALL ? 0 : S.further[row]);
  function totals([from, to, window]) {
    const found = { revenue: 0, returns: 0, orders: 0, units: 0, customers: 0, fresh: 0 };
    for (let row = 0; row < rows; row++) {
      if (dayOf[row] < from || dayOf[row] >= to || !ofCountry(S.country[row]) || !ofSegment(S.segment[row])) continue;
      found.revenue += S.revenue[row]; found.returns += S.returns[row];
      found.orders += ordersOf(row); found.units += S.units[row];
    }
    for (const b of buyers) {
      if (b.window !== window || b.country !== state.country || !ofSegment(b.segment)) continue;
      found.customers += b.customers; found.fresh += b.fresh;
    }
    return found;
  }

  // Tables ---------------------------------------------------------------------------------------------------------
  const change = (format) => (v) => (v === null || v === undefined ? nothing : (v > 0 ? "+" : v < 0 ? "−" : "±") + format.format(Math.abs(v)));
  const columns = {
    amounts: (heading, value) => [heading, value, (v) => shown(amounts, v), "number"],
    pennies: (heading, value) => [heading, value, (v) => shown(pennies, v), "number"],
    whole: (heading, value) => [heading, value, (v) => shown(whole, v), "number"],
    one: (heading, value) => [heading, value, (v) => shown(one, v), "number"],
    share: (heading, value) => [heading, value, (v) => shown(percentage, v), "number"],
    text: (heading, value, kind) => [heading, value, words, kind || ""],
  };
  // Panels ---------------------------------------------------------------------------------------------------------
  const meterFor = (key) => (row, shownValue) =>
    [shownValue, element("span", { className: "meter", "aria-hidden": "true" }, element("i", { style: `width:${Math.round(100 * (row[key] || 0))}%` }))];
  const panels = new Map();
  for (const panel of document.querySelectorAll(".panel")) {
    const name = panel.dataset.chart || panel.dataset.table, title = panel.dataset.title;
    const button = element("button", { type: "button", className: "csv", "aria-label": `CSV of ${title}` }, "CSV");
    const header = element("header", {}, element("h3", {}, title), ...panel.querySelectorAll(".switch"), button);
    const note = element("p", { className: "note", hidden: true }), onPaper = element("p", { className: "note on-paper" }, "On paper: the first 50 rows.");
    const made = { panel, title, note, onPaper, fields: [], data: [], wanted: Tables.asked() };
    if (panel.dataset.chart) {
      made.chart = element("div", { className: "chart" });
      made.details = element("details", {}, element("summary", { "aria-label": `As a table: ${title}` }, "As a table"));
      made.details.addEventListener("toggle", () => fill(made));
      panel.append(header, element("div", { className: "sideways", role: "group", "aria-label": `Chart of ${title}` }, made.chart), note, made.details);
    } else {
      made.body = element("div", { className: "body" });
      panel.append(header, made.body, note, onPaper);
    }
    button.addEventListener("click", () => Tables.save(`${title.toLowerCase().replace(/\W+/g, "-")}-${F.month}`, made.fields, Tables.found(made.fields, made.all || made.data, made.wanted)));
    panels.set(panel.dataset.chart ? "chart " + name : "table " + name, made);
  }
  function fill(made) { // the table behind a chart is made when it is opened
    const old = made.details.querySelector(".framed");
    if (old) old.remove();
    if (!made.details.open) return;
    const frame = Tables.tableOf(made.title, made.fields, made.data, { wanted: made.wanted });
    made.details.append(frame);
    Tables.fit(frame);
  }
  function setNote(made, note) {
    made.note.hidden = !note;
    made.note.textContent = note || "";
  }
  function showTable(name, fields, data, { all, note, decorate, empty } = {}) {
    const made = panels.get("table " + name);
    Object.assign(made, { fields, data, all });
    made.onPaper.hidden = data.length <= 50;
    const most = all ? data.length : Infinity;
    made.body.replaceChildren(data.length ? Tables.tableOf(made.title, fields, all || data, { decorate, most, wanted: made.wanted }) : element("p", { className: "empty" }, empty || "Nothing to show for this choice."));
    if (data.length) Tables.fit(made.body.firstChild);
    setNote(made, note);
  }

  // Charts ---------------------------------------------------------------------------------------------------------
  const drawn = new Map(); // panel -> {view, specification}
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  function coloured(specification) {
    return JSON.parse(JSON.stringify(specification).replace(/"@([a-z-]+)"/g, (_, name) => `"${colour(name)}"`));
  }
  function configuration() {
    const quiet = { labelColor: colour("muted"), titleColor: colour("muted") };
    return {
      background: null, font: "system-ui, -apple-system, Segoe UI, Roboto, sans-serif",
      view: { stroke: null },
      locale: { number: { decimal: ".", thousands: ",", grouping: [3], currency: [SIGN, ""] } },
      axis: { ...quiet, gridColor: colour("line"), domainColor: colour("line"), tickColor: colour("line"), titleFontWeight: "normal", labelFontSize: 11.5, titleFontSize: 11.5, titlePadding: 8 },
      legend: { ...quiet, labelFontSize: 11.5, titleFontSize: 11.5, titleFontWeight: "normal" },
    };
  }
  const drawings = new Map(); // panel -> the drawing under way: one follows the other
  function showChart(name, fields, data, { specification, label, note, datasets = {}, values = data } = {}) {
    const made = panels.get("chart " + name);
    Object.assign(made, { fields, data });
    setNote(made, note);
    fill(made);
    const chosen = specification || name;
    const drawing = (drawings.get(made) || Promise.resolve()).then(() => draw(made, chosen, label, { rows: values, ...datasets }));
    drawings.set(made, drawing.catch((error) => { console.error(error); }));
  }
  function named(chart, label) {
    chart.setAttribute("role", "img");
    chart.setAttribute("aria-label", label);
  }
  async function draw(made, chosen, label, datasets) {
    named(made.chart, label);
    made.chart.hidden = !datasets.rows.length;
    if (!datasets.rows.length) return;
    const before = drawn.get(made), width = made.chart.clientWidth;
    if (before) before.view.finalize();
    const specification = coloured(CHARTS[chosen]);
    specification.datasets = datasets;
    // Vega complains of an axis over no rows.
    if (specification.layer) specification.layer = specification.layer.filter((layer) => !layer.data || datasets[layer.data.name].length !== 0);
    if (specification.height.step) { // so much for each row that there is
      const across = (specification.layer ? specification.layer[0] : specification).encoding.y.field;
      specification.height = specification.height.step * new Set(datasets.rows.map((row) => row[across])).size;
    }
    if (chosen === "map") Object.assign(specification.projection, PROJECTIONS[state.view]);
    const { view } = await vegaEmbed(made.chart, specification, {
      actions: false, renderer: "svg", config: configuration(), mode: "vega-lite", ast: false,
    });
    named(made.chart, label); // Vega has put a name of its own there
    // A chart that is wider than its frame is scrolled, also by keyboard.
    const frame = made.chart.parentElement;
    if (frame.scrollWidth > frame.clientWidth) frame.tabIndex = 0; else frame.removeAttribute("tabindex");
    // What it shows is said by the label and by the table behind it, not mark by mark.
    made.chart.querySelector("svg").setAttribute("aria-hidden", "true");
    drawn.set(made, { view, chosen, width });
  }
  const PROJECTIONS = {
    europe: { type: "mercator", center: [10, 53], scale: 420 },
    world: { type: "naturalEarth1" },
  };

  // Sections -------------------------------------------------------------------------------------------------------
  const where = () => (state.country === ALL ? `all ${PLACES}` : F.countries[state.country].name);
  const who = () => (state.segment === ALL ? "all customers" : F.segments[state.segment].name);
  const when = () => (state.month === ALL ? "all months" : monthName(months[state.month]));
  const soManyDays = (month) => { const [from, to] = span(month); return `${to - from} ${to - from === 1 ? "day" : "days"}`; };
  const partial = (month) => month !== ALL && span(month)[1] - span(month)[0] < monthLength(month);

  function headline() {
    const range = span(state.month), now = totals(range);
    // Segments are those of now: who bought lately is in the best of them, which would "grow" whatever happens.
    const ago = state.segment !== ALL ? [] : [1, 12].map((back) => { const earlier = earlierSpan(state.month, back); return earlier && totals(earlier); });
    const wholeShare = (t) => (t.revenue > 0 ? t.returns / t.revenue : null);
    const perOrder = (t) => (t.orders > 0 ? money(t.revenue) / t.orders : null);
    const entries = [
      ["Revenue", (t) => money(t.revenue), amounts], ["Orders", (t) => t.orders, whole],
      ["Active customers", (t) => t.customers, whole], ["New customers", (t) => t.fresh, whole],
      ["Revenue per order", perOrder, pennies], ["Returns, of revenue", wholeShare, percentage, true],
    ];
    const growth = (value, before, points) => {
      if (value === null || before === null || before === undefined || (!points && before === 0)) return null;
      return points ? (value - before) * 100 : value / before - 1;
    };
    $("headline").replaceChildren(...entries.map(([name, of, format, isShare]) => {
      const value = of(now);
      const lines = ago.map((then, index) => {
        const difference = then ? growth(value, of(then), isShare) : null;
        if (difference === null) return null;
        const better = isShare ? difference < 0 : difference > 0;
        const size = isShare ? `${one.format(Math.abs(difference))} pt` : percentage.format(Math.abs(difference));
        const changed = /[1-9]/.test(size), written = (!changed ? "" : difference > 0 ? "+" : "−") + size;
        return element("div", { className: "change" },
          element("span", { className: !changed ? "" : better ? "up" : "down" }, written), index ? " on the year" : " on the month");
      }).filter(Boolean);
      const exact = name === "Revenue" ? pennies.format(value) : "";
      const figure = element("dd", { className: "figure", title: exact }, shown(format, value));
      figure.dataset.value = value === null ? "" : name === "Revenue" ? now.revenue : value;
      const basis = name === "Revenue" ? element("small", {}, " before returns") : "";
      const block = element("div", {}, element("dt", {}, name, basis), figure);
      if (name === "Revenue" && now.returns) block.append(element("dd", { className: "change" }, `${amounts.format(money(now.revenue - now.returns))} after returns`));
      if (lines.length) block.append(element("dd", {}, ...lines));
      block.dataset.figure = name;
      return block;
    }));
    const notes = [];
    if (partial(state.month)) notes.push(`${when()} is not over: everywhere on this page its ${soManyDays(state.month)} are compared with as many days of the earlier months.`);
    if (state.segment !== ALL) notes.push("Segments are those customers have now, by how lately they bought: against earlier months the best would grow by construction, so that no change is shown. Sales without a customer number are in no segment.");
    $("headline-note").textContent = notes.join(" ");
    $("chosen").textContent = `${when()} · ${where()} · ${who()}`;
  }

  const rounded = (value) => (value === null ? null : Math.round(value * 100) / 100);
  function overTime() {
    const perDay = { revenue: new Float64Array(days), orders: new Float64Array(days) };
    for (let row = 0; row < rows; row++) {
      if (!ofCountry(S.country[row]) || !ofSegment(S.segment[row])) continue;
      perDay.revenue[dayOf[row]] += S.revenue[row];
      perDay.orders[dayOf[row]] += ordersOf(row);
    }
    const series = perDay[state.measure], scale = state.measure === "revenue" ? 1000 : 1;
    const mean = (day, length) => {
      if (day < length - 1) return null; // of fewer days it would be another figure, and jump
      let total = 0;
      for (let d = day - length + 1; d <= day; d++) total += series[d];
      return total / length / scale;
    };
    const data = Array.from(series, (value, day) => ({
      day: iso(firstDay + day * DAY), [state.measure]: value / scale, week: mean(day, 7), thirty: mean(day, 30),
    }));
    const [from, to] = span(state.month);
    const format = state.measure === "revenue" ? columns.pennies : columns.whole;
    showChart("revenue", [
      columns.text("Day", (r) => r.day), format(state.measure === "revenue" ? "Revenue" : "Orders", (r) => r[state.measure]),
      columns.one("Mean of 7 days", (r) => rounded(r.week)), columns.one("Mean of 30 days", (r) => rounded(r.thirty)),
    ], data, {
      specification: state.measure,
      datasets: { unusual: everything() ? unusual : [], month: [{ begin: iso(firstDay + from * DAY), end: iso(firstDay + (state.month === ALL ? from : to) * DAY) }] },
      label: `${state.measure === "revenue" ? "Revenue" : "Orders"} a day with means of 7 and 30 days, ${where()}, ${who()}. The last 30 days' mean is ${
        shown(state.measure === "revenue" ? amounts : one, data[days - 1].thirty)}.`,
      note: (state.measure === "revenue" ? "Revenue before returns. " : "") + "Means begin with the first 7 and 30 days." + (state.month === ALL ? "" : ` Shaded: ${when()}.`),
    });
  }

  const ranges = new Map(F.expected.days.day.map((day, row) => [day, [money(F.expected.days.low[row]), money(F.expected.days.high[row])]]));
  const unusual = F.expected.unusual.map((u) => ({ ...u, revenue: money(u.revenue), low: money(u.low), high: money(u.high) }));
  const everything = () => state.country === ALL && state.segment === ALL;
  function expected() {
    const month = state.month === ALL ? thisMonth : state.month, [from, to] = span(month);
    const perDay = new Map(), outside = new Set(unusual.map((u) => u.day));
    for (let row = 0; row < rows; row++) if (dayOf[row] >= from && dayOf[row] < to) perDay.set(dayOf[row], (perDay.get(dayOf[row]) || 0) + S.revenue[row]);
    const data = [];
    for (let day = from; day < to; day++) {
      const [low, high] = ranges.get(day) || [null, null], revenue = perDay.has(day) ? money(perDay.get(day)) : null, name = iso(firstDay + day * DAY);
      if (revenue === null && low === null) continue; // closed, as this weekday is
      const found = outside.has(name) ? "unusual" : low === null ? "too early to tell" : "as expected";
      data.push({ day: name, revenue, low, high, found });
    }
    const whole = everything() ? "" : ` Of all ${PLACES} and customers, whatever is chosen above.`;
    showChart("expected", [
      columns.text("Day", (r) => r.day), columns.pennies("Revenue", (r) => r.revenue), columns.amounts("Expected from", (r) => r.low), columns.amounts("to", (r) => r.high), columns.text("Found", (r) => r.found),
    ], data, {
      label: `Revenue of each day of ${monthName(months[month])} and the range expected of it: ${data.filter((r) => r.found === "unusual").length} unusual days.`,
      note: `${monthName(months[month])}. Bars: what was to be expected, by the same weekdays before and the season; about 19 of 20 days lie within.${whole}`,
    });
    const end = iso(firstDay + to * DAY), told = unusual.filter((u) => u.day < end).reverse(), now = told.filter((u) => state.month === ALL || u.day.slice(0, 7) === months[month]);
    showTable("unusual", [
      columns.text("Day", (u) => u.day), columns.amounts("Revenue", (u) => u.revenue), columns.amounts("Expected from", (u) => u.low), columns.amounts("to", (u) => u.high), columns.text("What was not as usual", (u) => u.why, "action"),
    ], told, {
      empty: ranges.size ? "No day so far was outside of what was to be expected." : "There are not yet enough days to compare with.",
      note: told.length ? `The newest first; ${now.length || "none"} of ${when()}.${whole}` : "",
    });
  }

  function segmentRows() {
    const found = F.segments.map((segment, number) => ({
      number, segment: segment.name, action: segment.action, customers: 0, monetary: 0, month: 0, before: 0, recency: null, frequency: null, typical: null,
    }));
    const [from, to] = span(state.month);
    for (let row = 0; row < rows; row++) {
      if (S.segment[row] !== NONE && dayOf[row] >= from && dayOf[row] < to && ofCountry(S.country[row])) found[S.segment[row]].month += S.revenue[row];
    }
    for (const profile of profiles) if (profile.country === state.country) Object.assign(found[profile.segment], profile, { segment: found[profile.segment].segment });
    for (const move of moves) if (move.before !== NONE && ofCountry(move.country)) found[move.before].before += move.customers;
    const everyone = sum(found.map((s) => s.customers)), spent = sum(found.map((s) => s.monetary));
    for (const segment of found) {
      Object.assign(segment, {
        customer_share: everyone ? segment.customers / everyone : 0, revenue_share: spent ? segment.monetary / spent : 0,
        monetary: money(segment.monetary), month: money(segment.month), typical: segment.typical === null ? null : money(segment.typical),
        change: segment.customers - segment.before,
      });
    }
    return found;
  }

  function segments() {
    const all = segmentRows(), rowsShown = all.filter((s) => s.customers || s.before);
    const marked = (s) => state.segment === ALL || s.number === state.segment;
    $("segments-lead").textContent = `${soManyCustomers(sum(all.map((s) => s.customers)))} of ${where()} who bought before ${dayName(F.as_of)}, by how recently and how often. Choose a segment to see all of this page for it.`;
    showTable("segments", [
      columns.text("Segment", (s) => s.segment), columns.whole("Customers", (s) => s.customers), columns.share("Share", (s) => s.customer_share),
      columns.share("Of revenue", (s) => s.revenue_share), columns.amounts("Revenue so far", (s) => s.monetary), columns.amounts(state.month === ALL ? "In all months" : `In ${monthName(months[state.month], "short")}`, (s) => s.month),
      columns.whole("Median days since last order", (s) => s.recency), columns.whole("Median orders", (s) => s.frequency), columns.amounts("Median spent", (s) => s.typical),
      ["On last month", (s) => s.change, change(whole), "number"], columns.text("What to do", (s) => s.action, "action"),
    ], rowsShown.filter(marked), {
      decorate: {
        Segment: (s, name) => {
          const button = element("button", { type: "button", className: "pick", "aria-pressed": String(s.number === state.segment) }, name);
          button.addEventListener("click", () => { state.segment = state.segment === s.number ? ALL : s.number; chosen(); $("segments").querySelector(".pick").focus(); });
          return button;
        },
        Share: meterFor("customer_share"), "Of revenue": meterFor("revenue_share"),
      },
      note: "Revenue is before returns. “On last month” is the change in customers." +
        (state.month === thisMonth ? ` Segments are as of ${dayName(F.as_of)}: who bought in ${monthName(F.month)} counts as recent, so that few segments have its revenue.` : ""),
    });
    showChart("segments", [
      columns.text("Segment", (s) => s.segment), columns.whole("Customers", (s) => s.customers), columns.share("Of customers", (s) => s.customer_share),
      columns.amounts("Revenue so far", (s) => s.monetary), columns.share("Of revenue", (s) => s.revenue_share),
    ], rowsShown, {
      values: rowsShown.map(({ segment, customer_share, revenue_share }) => ({ segment, customer_share, revenue_share })),
      label: `Each segment's share of customers and of revenue so far, ${where()}. ` + rowsShown.map((s) => `${s.segment}: ${percentage.format(s.customer_share)} of customers, ${percentage.format(s.revenue_share)} of revenue`).join("; "),
    });
    const counts = new Map(), out = new Float64Array(F.segments.length + 1), entered = F.segments.length;
    for (const move of moves) {
      if (!ofCountry(move.country) || !(ofSegment(move.segment) || ofSegment(move.before))) continue;
      const from = move.before === NONE ? entered : move.before, key = from * 100 + move.segment;
      counts.set(key, (counts.get(key) || 0) + move.customers);
      out[from] += move.customers;
    }
    const moved = [];
    for (let from = 0; from <= entered; from++) {
      if (!out[from]) continue;
      for (let to = 0; to < F.segments.length; to++) {
        const customers = counts.get(from * 100 + to) || 0;
        moved.push({ from: from === entered ? "(new)" : F.segments[from].name, to: F.segments[to].name, customers, share: customers / out[from] });
      }
    }
    const stayed = sum(moved.filter((m) => m.from === m.to).map((m) => m.customers)), known = sum(moved.filter((m) => m.from !== "(new)").map((m) => m.customers));
    showChart("movement", [
      columns.text("Last month", (m) => m.from), columns.text("This month", (m) => m.to), columns.whole("Customers", (m) => m.customers), columns.share("Of last month's", (m) => m.share),
    ], moved, {
      label: `Customers by segment last month and this month, ${where()}: ${whole.format(stayed)} of ${whole.format(known)} stayed where they were.`,
      note: known ? `${percentage.format(stayed / known)} of last month's customers stayed in their segment.` : "",
    });
  }

  const againstBefore = (month) => (partial(month) ? `its ${soManyDays(month)} against as many of the month before` : "against the month before");
  function countries() {
    const range = span(state.month), earlier = earlierSpan(state.month, 1);
    const found = F.countries.map((country, number) => ({ number, country: country.name, shape: country.shape, revenue: 0, returns: 0, orders: 0, before: 0, customers: 0 }));
    for (let row = 0; row < rows; row++) {
      const country = found[S.country[row]];
      if (!ofSegment(S.segment[row])) continue;
      if (dayOf[row] >= range[0] && dayOf[row] < range[1]) {
        country.revenue += S.revenue[row]; country.returns += S.returns[row]; country.orders += S.orders[row] + S.further[row];
      } else if (earlier && dayOf[row] >= earlier[0] && dayOf[row] < earlier[1]) country.before += S.revenue[row];
    }
    for (const b of buyers) if (b.window === range[2] && b.country !== ALL && ofSegment(b.segment)) found[b.country].customers += b.customers;
    const all = sum(found.map((c) => c.revenue));
    const data = found.filter((c) => c.revenue || c.returns).sort((a, b) => b.revenue - a.revenue || a.country.localeCompare(b.country)).map((c) => ({
      ...c, share: all ? c.revenue / all : 0, thousandths: c.revenue, revenue: money(c.revenue), returned: money(c.returns),
      perOrder: c.orders ? money(c.revenue) / c.orders : null, growth: c.before > 0 && state.segment === ALL ? c.revenue / c.before - 1 : null,
    }));
    const fields = [
      columns.text(title(PLACE), (c) => c.country), columns.amounts("Revenue", (c) => c.revenue), columns.share("Share", (c) => c.share),
      ["Change", (c) => c.growth, change(percentage), "number"],
      columns.whole("Orders", (c) => c.orders), columns.whole("Customers", (c) => c.customers), columns.amounts("Per order", (c) => c.perOrder), columns.amounts("Returns", (c) => c.returned),
    ];
    showTable("countries", fields, data, {
      decorate: { [title(PLACE)]: (c, name) => {
        const button = element("button", { type: "button", className: "pick", "aria-pressed": String(c.number === state.country) }, name);
        button.addEventListener("click", () => { state.country = state.country === c.number ? ALL : c.number; chosen(); });
        return button;
      } },
      note: `${when()}, ${who()}. Revenue before returns. ` + (state.segment === ALL ? `Change: ${againstBefore(state.month)}.` : "No change is shown for a segment: who is in it now bought lately."),
    });
    const placed = data.filter((c) => c.shape && c.revenue > 0), unplaced = data.filter((c) => !c.shape && c.revenue > 0).map((c) => c.country);
    const mapped = F.countries.some((country) => country.shape);
    document.querySelector('[data-chart="map"]').hidden = !mapped;
    document.querySelector("#countries .two").classList.toggle("one", !mapped);
    if (mapped) showChart("map", fields, data, {
      values: placed.map(({ shape, country, revenue, customers, share }) => ({ shape, country, revenue, customers, share })),
      datasets: { shapes: SHAPES },
      label: `Map of revenue by ${PLACE}, ${when()}, ${who()}. ` + data.slice(0, 5).map((c) => `${c.country} ${amounts.format(c.revenue)}`).join(", "),
      note: "From each figure below the map to the next, revenue is ten times as high." + (unplaced.length ? ` In the table only, as they have no shape at this scale or are no country: ${unplaced.join(", ")}.` : ""),
    });
  }

  function cohorts() {
    const active = months.map(() => new Float64Array(months.length)), C = F.cohorts;
    for (let row = 0; row < cohortRows; row++) {
      if (ofCountry(C.country[row]) && ofSegment(C.segment[row])) active[C.cohort[row]][C.month[row]] += C.customers[row];
    }
    const size = active.map((bought, cohort) => bought[cohort]); // in the first month all of them bought
    const until = state.month === ALL ? thisMonth : state.month;
    const data = [];
    for (let cohort = 0; cohort <= until; cohort++) {
      if (!size[cohort]) continue;
      for (let month = cohort + 1; month <= until; month++) {
        data.push({ cohort: months[cohort], named: `${months[cohort]} · ${soManyCustomers(size[cohort])}`, months: month - cohort, customers: active[cohort][month], size: size[cohort], retention: active[cohort][month] / size[cohort], percent: (100 * active[cohort][month]) / size[cohort] });
      }
    }
    const next = data.filter((d) => d.months === 1);
    showChart("cohorts", [
      columns.text("First bought in", (d) => d.cohort), columns.whole("Months since", (d) => d.months), columns.whole("Customers who bought", (d) => d.customers),
      columns.whole("Of the cohort's", (d) => d.size), columns.share("Share", (d) => d.retention),
    ], data, {
      label: `Who came back, of ${who()}, ${where()}. In the month after their first purchase ${next.length ? percentage.format(sum(next.map((d) => d.customers)) / sum(next.map((d) => d.size))) : nothing} of customers bought again.`,
      note: partial(until) ? `${monthName(months[until])} is not over: its cells will still rise.` : "",
    });
  }

  const RISKS = ["High", "Medium", "Low"];
  const LEVELS = "High: at least 75% likely not to buy in the next 90 days; Medium: at least 50%; Low: less.";
  function churn() {
    const chosen = risks.filter((r) => ofCountry(r.country) && ofSegment(r.segment));
    const of = (rows, name) => sum(rows.map((r) => r[name])), atHigh = (rows) => of(rows.filter((r) => r.risk === 0), "customers");
    const gone = of(chosen, "lost");
    $("churn-lead").textContent = hasChurn
      ? `How likely each customer is to buy nothing in the 90 days from ${dayName(F.as_of)}, as of that day whatever month is chosen. ${soManyCustomers(of(chosen, "customers"))}, of whom ${whole.format(atHigh(chosen))} at high risk and ${whole.format(gone)} lost. ` +
        (hasValue ? `Of what the others are expected to spend in 12 months ${amounts.format(money(of(chosen, "at_risk")))} is at risk (expected value, less the part returned, × probability).` : "What they are worth is not known for this month: its history is too young.")
      : "There is no score for this month: two windows of 90 days must have closed before the first one, and where hardly anybody comes back within one, there is none: then churn cannot be learned.";
    $("churn-caution").hidden = !hasChurn || !F.churn_note;
    $("churn-caution").textContent = F.churn_note || "";
    const bins = Array.from({ length: 10 }, (_, bin) => RISKS.map((risk, order) => ({ bin: `${bin * 10}–${bin * 10 + 10}`, risk, order: -order, customers: 0, number: bin }))).flat();
    for (const r of chosen) bins[r.tenth * 3 + r.risk].customers += r.customers;
    showChart("churn", [columns.text("Probability", (b) => b.bin), columns.text("Risk", (b) => b.risk), columns.whole("Customers", (b) => b.customers)], chosen.length ? bins : [], {
      label: `Customers by probability of no purchase in 90 days, ${where()}, ${who()}: ` + RISKS.map((risk, number) => `${whole.format(of(chosen.filter((r) => r.risk === number), "customers"))} at ${risk.toLowerCase()} risk`).join(", "),
      note: LEVELS,
    });
    const bySegment = F.segments.map((segment, number) => {
      const own = chosen.filter((r) => r.segment === number);
      return { segment: segment.name, customers: of(own, "customers"), high: atHigh(own), lost: of(own, "lost"), risk: money(of(own, "at_risk")), spent: money(of(own, "spent")) };
    }).filter((s) => s.customers).sort((a, b) => b.risk - a.risk);
    showChart("risk", [columns.text("Segment", (s) => s.segment), columns.whole("Customers", (s) => s.customers), columns.whole("At high risk", (s) => s.high), columns.whole("Lost", (s) => s.lost), columns.amounts("Spent in a year, after returns", (s) => s.spent), columns.amounts("Value at risk", (s) => rounded(s.risk))], bySegment, {
      values: bySegment.map(({ segment, risk }) => ({ segment, risk })),
      label: `Value at risk by segment, ${where()}: ` + bySegment.map((s) => `${s.segment} ${amounts.format(s.risk)}`).join(", "),
      note: "Expected value of the next 12 months, less the part returned, × probability of no purchase in 90 days; nothing is expected of the lost.",
    });
    toWinBack(gone);
  }
  function toWinBack(gone) {
    const chosen = (rows) => rows.filter((r) => ofCountry(r.country) && ofSegment(r.segment));
    const place = columns.text(title(PLACE), (r) => F.countries[r.country].name), segment = columns.text("Segment", (r) => F.segments[r.segment].name);
    const rest = (list) => (list.length <= 50 ? "" : ` The first 50 of ${whole.format(list.length)}; the CSV has them all.`);
    const list = chosen(toWriteTo);
    showTable("write", [
      columns.text("Customer", (r) => r.id, "id"), place, segment, columns.whole("Days since last order", (r) => r.recency), columns.whole("Orders", (r) => r.frequency),
      columns.amounts("Spent in a year, after returns", (r) => money(r.spent)), columns.amounts("Expected in 12 months", (r) => rounded(money(r.expected))), columns.share("Probability", (r) => r.churn), columns.text("Risk", (r) => RISKS[r.risk]),
      columns.pennies("Could be won", (r) => rounded(money(r.expected) * r.churn * F.chance)), columns.text("What to do", (r) => F.segments[r.segment].action, "action"),
    ], list.slice(0, 50), {
      all: list, decorate: { Risk: (r, name) => element("span", { className: "tag " + name }, name) },
      note: `By what could be won: expected in the next 12 months (less the part of their purchases that they returned) × probability of leaving × ${percentage.format(F.chance)}, the chance of winning back, which is an assumption (RETAIL_WIN_BACK_CHANCE) until a campaign with a control group has measured it. At high or medium risk, without the lost and without those who bought for the first time in the last 90 days.` + rest(list),
      empty: hasChurn ? "Nobody of this choice is at high or medium risk and worth winning back." : "No scores yet.",
    });
    const once = chosen(lostOnes);
    showTable("lost", [
      columns.text("Customer", (r) => r.id, "id"), place, segment, columns.whole("Days since last order", (r) => r.recency), columns.whole("Orders", (r) => r.frequency),
      columns.amounts("Spent so far, before returns", (r) => money(r.monetary)), columns.share("Still a customer", (r) => (r.frequency > 1 ? r.alive : null)),
    ], once.slice(0, 50), {
      all: once, note: "Less than 10% likely to be customers still, or gone for more than 365 days after a single order (of which the model cannot tell). By what they have spent. Nothing is expected of them: write only if it costs next to nothing." + rest(once),
      empty: hasChurn ? "Nobody of this choice is lost." : "No scores yet.",
    });
  }

  function value() {
    const chosen = values.filter((v) => v.country === state.country && ofSegment(v.segment));
    const total = money(sum(chosen.map((v) => v.value)));
    $("value-lead").textContent = hasValue
      ? `What customers are expected to spend in the 12 months from ${dayName(F.as_of)} (what comes later counts a little less): ${amounts.format(total)} for ${soManyCustomers(sum(chosen.map((v) => v.customers)))}. Before returns.`
      : "There is no lifetime value for this month: its history is too young.";
    const data = chosen.map((v) => ({
      segment: F.segments[v.segment].name, customers: v.customers, total: money(v.value), value: money(v.value) / v.customers, median: money(v.median),
      alive: v.again ? v.alive / v.again : null,
    }));
    const fields = [columns.text("Segment", (s) => s.segment), columns.whole("Customers", (s) => s.customers), columns.amounts("Expected", (s) => s.total), columns.amounts("Mean", (s) => s.value), columns.amounts("Median", (s) => s.median), columns.share("Alive", (s) => s.alive)];
    showChart("value", fields, data, {
      values: data.map(({ segment, value }) => ({ segment, value })),
      label: `Mean expected value over 12 months by segment, ${where()}: ` + data.map((s) => `${s.segment} ${amounts.format(s.value)}`).join(", "),
    });
    showTable("value", fields, data, { empty: "No lifetime values yet.", note: hasValue ? "Alive: mean probability of still being a customer, of those with more than one order; after a single order the model cannot tell." : "" });
  }

  const SCHEMES = { clusters: "Buying habits", value_engagement: "Value and activity" };
  function schemes() {
    showTable("schemes", [
      columns.text("Segment", (s) => s[1]), columns.text("Grouped by", (s) => SCHEMES[s[0]], "moment"), columns.whole("Customers", (s) => s[2]), columns.share("Share", (s) => s[3]),
      columns.share("Of revenue", (s) => s[5]), columns.amounts("Revenue so far", (s) => money(s[4])), columns.whole("Median days since last order", (s) => s[6]), columns.whole("Median orders", (s) => s[7]), columns.amounts("Median spent", (s) => s[8]),
      columns.text("What to do", (s) => s[9], "action"),
    ], F.schemes, { note: `The same customers, all ${PLACES} and segments: this table does not follow the filters. Revenue is before returns.`, empty: "No segments yet." });
  }

  const BARS = 20;
  function products() {
    const abc = F.abc.map(([name, number]) => `${whole.format(number)} in class ${name}`).join(", ");
    $("products-lead").textContent = `${monthName(F.month)}, all ${PLACES} and customers: products do not follow the filters. ${abc ? abc + " (the first 80% of revenue, the next 15%, the rest)." : ""} Categories are worked out from descriptions.`;
    const categories = F.categories.map(([category, revenue, units, orders, number, share, growth]) => ({ category, revenue: money(revenue), units, orders, number, share, growth }));
    showChart("categories", [
      columns.text("Category", (c) => c.category), columns.amounts("Revenue", (c) => c.revenue), columns.share("Share", (c) => c.share), ["On the month", (c) => c.growth, change(percentage), "number"],
      columns.whole("Units", (c) => c.units), columns.whole("Orders", (c) => c.orders), columns.whole("Products", (c) => c.number),
    ], categories, {
      values: categories.slice(0, BARS).map(({ category, revenue }) => ({ category, revenue })),
      label: `Revenue by category, ${monthName(F.month)}. ` + categories.slice(0, 5).map((c) => `${c.category} ${amounts.format(c.revenue)}`).join(", "),
    });
    const rules = F.affinities.map(([from, to, baskets, support, confidence, lift]) => ({ from, to, baskets, support, confidence, lift }));
    showTable("together", [
      columns.text("Who buys", (r) => r.from), columns.text("also buys", (r) => r.to, "whole-row"), columns.share("Of them also buy", (r) => r.confidence), columns.one("Times as often", (r) => r.lift), columns.share("Of all orders", (r) => r.support), columns.whole("Orders", (r) => r.baskets),
    ], rules, { note: "“Times as often”: as among all orders; 1 would be chance. The highest first. “Of all orders”: those with both.", empty: "No two products were in enough orders together." });
    const basis = "Revenue before returns. “On the month”: " + againstBefore(thisMonth) + ".";
    setNote(panels.get("chart categories"), (categories.length > BARS ? `The first ${BARS} of ${categories.length}; all are in the table. ` : "") + basis);
    showTable("products", [
      columns.text("Product", (p) => p[1]), columns.text("Code", (p) => p[0]), columns.text("Category", (p) => p[2]), columns.text("Class", (p) => p[7]), columns.amounts("Revenue", (p) => money(p[3])),
      ["On the month", (p) => p[9], change(percentage), "number"], columns.whole("Units", (p) => p[4]), columns.whole("Orders", (p) => p[5]), columns.whole("Customers", (p) => p[6]), columns.share("Returned", (p) => p[8]),
    ], F.products, { note: `The first ${whole.format(F.products.length)} of ${whole.format(sum(F.abc.map(([, number]) => number)))} products. ${basis}` });
  }

  function quality() {
    const Q = F.quality;
    const data = Q.month.map((month, i) => ({ month, clean: Q.clean[i], duplicates: Q.duplicates[i], quarantined: Q.quarantined[i], outliers: Q.outliers[i], without: Q.without_customer[i] })).reverse();
    const landed = (q) => q.clean + q.duplicates + q.quarantined, all = sum(data.map(landed));
    $("quality-lead").textContent = `Data up to ${F.newest_day ? dayName(F.newest_day) : nothing}; customers as of ${dayName(F.as_of)}. Of ${whole.format(all)} rows that landed ${whole.format(sum(data.map((q) => q.clean)))} are used, ${whole.format(sum(data.map((q) => q.duplicates)))} were exact duplicates and ${whole.format(sum(data.map((q) => q.quarantined)))} were set aside, as they cannot be used: none is lost.`;
    showTable("quality", [
      columns.text("Month", (q) => q.month), columns.whole("Landed", landed), columns.whole("Used", (q) => q.clean), columns.whole("Duplicates", (q) => q.duplicates),
      columns.whole("Set aside", (q) => q.quarantined), columns.whole("Out of scale", (q) => q.outliers), columns.whole("No customer", (q) => q.without),
    ], data);
    showTable("reasons", [columns.text("Reason", (r) => r.reason.replace(/_/g, " ")), columns.whole("Rows", (r) => r.rows)], F.reasons, { empty: "No row was set aside." });
    showTable("tables", [columns.text("Table", (t) => t.table), columns.whole("Version", (t) => t.version), columns.text("Written", (t) => t.committed, "moment")], F.tables, {
      decorate: { Table: (t, name) => name.split(/(?<=[._])/).flatMap((part) => [part, element("wbr")]) },
    });
    $("footer").replaceChildren(element("p", {}, `As of ${dayName(F.as_of)}; data up to ${F.newest_day ? dayName(F.newest_day) : nothing}. Money in ${new Intl.DisplayNames("en-GB", { type: "currency" }).of(F.currency)}; revenue is the value of product lines, before returns. ${F.terms ? `Data: ${F.terms}. ` : ""}Shapes of countries: Natural Earth. This page is one file and asks nothing of any network.`));
  }

  // Together -------------------------------------------------------------------------------------------------------
  function render() { headline(); overTime(); expected(); segments(); countries(); cohorts(); churn(); value(); }
  function choose(select, options, current) {
    select.replaceChildren(...options.map(([value, name]) => element("option", { value }, name)));
    select.value = current;
  }
  choose($("month"), [...months.map((month, number) => [number, monthName(month)]).reverse(), [ALL, "All months"]], state.month);
  choose($("country"), [[ALL, `All ${PLACES}`], ...F.countries.map((country, number) => [number, country.name])], state.country);
  choose($("segment"), [[ALL, "All segments"], ...F.segments.map((segment, number) => [number, segment.name])], state.segment);
  const FILTERS = ["month", "country", "segment"];
  for (const name of FILTERS) {
    $(name).addEventListener("change", (event) => { state[name] = Number(event.target.value); chosen(); });
  }
  $("reset").addEventListener("click", () => {
    for (const name of FILTERS) state[name] = SAID[name].standard;
    chosen();
  });
  const switches = [...document.querySelectorAll(".switch button")];
  for (const button of switches) button.addEventListener("click", () => {
    Object.assign(state, button.dataset);
    controls();
    Address.write(SAID, state);
    if (button.dataset.view) countries(); else overTime();
  });
  function controls() { // show what is chosen
    for (const name of FILTERS) $(name).value = state[name];
    for (const button of switches) {
      const [[name, value]] = Object.entries(button.dataset);
      button.setAttribute("aria-pressed", String(state[name] === value));
    }
  }
  function chosen() {
    controls();
    Address.write(SAID, state);
    render();
  }
  controls();
  addEventListener("popstate", () => { Object.assign(state, Address.read(SAID)); controls(); render(); });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  function theme(name) {
    document.documentElement.dataset.theme = name;
    $("theme").textContent = name === "dark" ? "Light" : "Dark";
    $("theme").setAttribute("aria-label", name === "dark" ? "Use light colours" : "Use dark colours");
  }
  function redraw() { render(); products(); }
  theme(dark.matches ? "dark" : "light");
  dark.addEventListener("change", () => { theme(dark.matches ? "dark" : "light"); redraw(); });
  $("theme").removeAttribute("aria-pressed");
  $("theme").addEventListener("click", () => { theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"); redraw(); });
  // Paper is light; the charts are drawn again for it.
  addEventListener("beforeprint", () => { if (document.documentElement.dataset.theme === "dark") { document.documentElement.dataset.printed = "dark"; theme("light"); redraw(); } });
  addEventListener("afterprint", () => { if (document.documentElement.dataset.printed) { delete document.documentElement.dataset.printed; theme("dark"); redraw(); } });

  $("subtitle").textContent = `${monthName(F.month)}, as of ${dayName(F.as_of)} · ${soManyCustomers(sum(profiles.filter((p) => p.country === ALL).map((p) => p.customers)))}`;
  headline();
  // The figures at the head are there at once; the charts follow when they have been painted.
  requestAnimationFrame(() => setTimeout(() => { thisWeek(); render(); schemes(); products(); quality(); document.documentElement.dataset.ready = "yes"; }, 0));
})();
