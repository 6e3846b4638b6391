
  // This week: a sentence for each thing to do, the most valuable first, and behind it whom it is about ---------------
  const TO_DO = {
    win_back: (n, worth) => `Win back ${soManyCustomers(n)} who are more likely to leave than to stay: ${worth} can be won.`,
    thank: (n, worth) => `Thank ${soManyCustomers(n)}, the best and likely to buy again: ${worth} can be kept.`,
    second_purchase: (n, worth) => `Bring ${soManyCustomers(n)} who bought once in the last 90 days to a second purchase: ${worth} can be kept.`,
    products: (n, worth, of) => `${of.restock ? `See that ${soMany(of.restock, "product", "products")} of rising sales ${of.restock === 1 ? "does" : "do"} not run out` : ""}${of.restock && of.drop ? "; " : ""}${of.drop ? `${of.restock ? "ask" : "Ask"} why so much comes back of ${soMany(of.drop, "other", "others")}` : ""}: ${worth}.`,
    country: (n, worth, of, first) => `Find out why ${soMany(n, PLACE, PLACES)} bought so much more or less than in the month before, ${first.country} above all${first.value ? `: ${worth} less` : ""}.`,
    lost: (n) => `Do not spend on ${soManyCustomers(n)} who are lost.`,
  };
  function campaigns() {
    document.querySelector('[data-table="campaigns"]').hidden = !F.campaigns.length;
    const between = (lower, upper, format) => (lower === null ? nothing : `${change(format)(lower)} to ${change(format)(upper)}`);
    const told = (verdict, value, format) => (verdict === "cannot be told" ? verdict : `${change(format)(value)} (${verdict})`);
    showTable("campaigns", [
      columns.text("Campaign", (c) => c.campaign), columns.text("Contacted on", (c) => c.contacted_on, "moment"), columns.whole("Days seen", (c) => c.days_seen),
      columns.whole("Contacted", (c) => c.contacted), columns.whole("Held out", (c) => c.held_out), columns.share("Bought, contacted", (c) => c.contacted_bought), columns.share("Bought, held out", (c) => c.control_bought),
      columns.text("Brought: share who bought", (c) => told(c.bought_verdict, c.uplift_bought, percentage)), columns.text("95% interval of the share", (c) => between(c.uplift_bought_lower, c.uplift_bought_upper, percentage)),
      columns.text("Brought: spend per customer", (c) => told(c.spend_verdict, c.uplift_spend, pennies)), columns.text("95% interval of the spend", (c) => between(c.uplift_spend_lower, c.uplift_spend_upper, pennies)),
    ], F.campaigns, { note: "What the contacted bought, before returns, in the 90 days from contact beside those who were held out by chance. Cannot be told: fewer than 30 in a group, or an interval that holds nothing as well." });
  }
  const soMany = (number, one_, several) => `${whole.format(number)} ${number === 1 ? one_ : several}`;

  function toDo() {
    const lists = new Map();
    for (const list of F.week) {
      const name = list.action === "restock" || list.action === "drop" ? "products" : list.action;
      const rows = records({ ...list.rows, action: list.rows.who.map(() => list.action) });
      const known = lists.get(name) || { name, named: 0, worth: null, rows: [], of: {}, lists: [] };
      lists.set(name, Object.assign(known, {
        named: known.named + list.named, worth: list.worth === null ? known.worth : (known.worth || 0) + list.worth,
        rows: [...known.rows, ...rows], of: { ...known.of, [list.action]: list.named }, lists: [...known.lists, list.action],
      }));
    }
    return [...lists.values()].sort((a, b) => (a.name === "lost") - (b.name === "lost") || (b.worth ?? -1) - (a.worth ?? -1));
  }

  function thisWeek() {
    campaigns();
    const all = toDo(), ofCustomers = (list) => !["products", "country"].includes(list.name);
    $("week-lead").textContent = all.length
      ? `As of ${dayName(F.as_of)}, the most valuable first. Of customers: what could be won or kept in 12 months, if ${percentage.format(F.chance)} of those who would leave stay when written to, which is an assumption. Of products and ${PLACES}: against ${partial(thisMonth) ? `as many days (${soManyDays(thisMonth)}) of the month before` : "the month before"}. The lists do not follow the filters.`
      : "Nothing is known yet that is to be done: the history is too young.";
    $("week-list").replaceChildren(...all.map((list) => {
      const worth = list.worth === null ? "what cannot be told from so little coming back" : amounts.format(money(list.worth));
      const fields = ofCustomers(list)
        ? [columns.text("Customer", (r) => r.who, "id"), columns.text(title(PLACE), (r) => r.country),
          columns.pennies(list.name === "win_back" ? "Could be won" : "Could be kept", (r) => (r.value === null ? null : money(r.value))),
          ...(list.name === "second_purchase" ? [columns.text("Offer", (r) => r.product)] : []), columns.text("Why", (r) => r.reason, "action")]
        : [columns.text(list.name === "country" ? title(PLACE) : "Product", (r) => r.product || r.country), columns.pennies("Worth", (r) => (r.value === null ? null : money(r.value))),
          columns.text("Why", (r) => r.reason, "action")];
      const sentence = TO_DO[list.name](list.named, worth, list.of, list.rows[0]);
      const wanted = Tables.asked(), button = element("button", { type: "button", className: "csv", "aria-label": `CSV: ${sentence}` }, "CSV");
      button.addEventListener("click", () => Tables.save(`${list.lists.join("-").replace(/_/g, "-")}-${F.month}`, fields, Tables.found(fields, list.rows, wanted)));
      const told = list.rows.length < list.named ? ` The CSV has the first ${whole.format(list.rows.length)}; all of them: retail audience ${list.name}.` : "";
      const note = element("p", { className: "note" }, `${list.rows.length > 50 ? `The first 50 of ${whole.format(list.named)}.` : ""}${told}`);
      const details = element("details", { className: "panel" }, element("summary", {}, sentence));
      details.dataset.list = list.name;
      details.addEventListener("toggle", () => {
        if (!details.open || details.querySelector(".scroll")) return;
        const frame = Tables.tableOf(sentence, fields, list.rows, { wanted, most: 50 });
        details.append(element("div", { className: "of-list" }, note, button), frame);
        Tables.fit(frame);
      });
      return element("li", {}, details);
    }));
  }
