"use strict";
// All that comes from the broker is put in as text, never as markup: messages may say anything.
(() => {
  const view = document.getElementById("view");
  const trouble = document.getElementById("trouble");
  const order = ["io", "write", "flush", "replicate", "respond", "loader", "read", "archive", "control", "groups"];
  const says = {
    io: "reads sockets, frames", write: "checks, gives offsets", flush: "makes durable", replicate: "counts majorities",
    respond: "sends answers", loader: "prepares segments", read: "serves fetches", archive: "moves what is old", control: "metadata, administration", groups: "consumer groups",
  };
  let timer = null;
  let turn = 0;

  function make(name, attributes, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (value === undefined || value === null || value === false) continue;
      if (key === "class") element.className = value;
      else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else element.setAttribute(key, value === true ? "" : value);
    }
    for (const child of children.flat(Infinity)) if (child !== null && child !== undefined) element.append(child);
    return element;
  }

  async function ask(path) {
    const response = await fetch(path, { headers: { accept: "application/json" } });
    if (response.status === 404) return null;
    if (!response.ok) throw new Error((await response.text()).trim() || "HTTP " + response.status);
    return response.json();
  }

  // Quantities.
  function scaled(value, units, step) {
    let unit = 0;
    while (value >= step && unit < units.length - 1) { value /= step; unit += 1; }
    const text = unit === 0 ? Math.round(value).toString() : value >= 100 ? Math.round(value).toString() : value.toFixed(1);
    return text + (units[unit] ? " " + units[unit] : "");
  }
  const count = (value) => scaled(value, ["", "K", "M", "G"], 1000);
  const bytes = (value) => scaled(value, ["B", "KiB", "MiB", "GiB", "TiB"], 1024);
  function time(seconds) {
    if (seconds === undefined || seconds === null || seconds <= 0) return "–";
    if (seconds < 1e-3) return Math.round(seconds * 1e6) + " µs";
    if (seconds < 1) return (seconds * 1e3).toPrecision(3) + " ms";
    if (seconds < 120) return seconds.toPrecision(3) + " s";
    return seconds < 7200 ? Math.round(seconds / 60) + " min" : Math.round(seconds / 3600) + " h";
  }
  const grouped = (number) => number === undefined || number === null ? "–" : number.toLocaleString("en");

  function table(headers, rows, emptiness) {
    if (rows.length === 0) return make("p", { class: "empty" }, emptiness);
    const head = make("tr", {}, headers.map((header) => make("th", { scope: "col", class: header.number && "number" }, header.name)));
    const body = rows.map((row) => make("tr", {}, row.map((cell, column) =>
      make("td", { class: headers[column].number ? "number" : headers[column].text ? "text" : undefined }, cell))));
    return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, body)));
  }

  // The produce path.
  function stageCard(stage, bottleneck) {
    const lit = bottleneck && bottleneck.stage === stage.name ? (bottleneck.isStuck ? "stuck" : "slowest") : "";
    const share = stage.capacity > 0 ? Math.min(1, stage.depth / stage.capacity) : 0;
    const waits = stage.unit === "bytes" ? bytes(stage.depth) : grouped(stage.depth) + " " + stage.unit;
    const bar = make("i");
    bar.style.width = (stage.depth > 0 ? Math.max(2, share * 100) : 0) + "%";
    const rows = [["waits", waits], ["oldest", time(stage.oldestSeconds)], ["done", count(stage.workPerSecond) + "/s"]];
    if (stage.batch99) rows.push(["at once", "≤ " + grouped(stage.batchMedian)]);
    if (stage.p99Seconds) rows.push(["p50 / p99", time(stage.medianSeconds) + " / " + time(stage.p99Seconds)]);
    return make("section", { class: "stage " + lit, "data-stage": stage.name },
      make("h3", {}, stage.name, make("small", {}, says[stage.kind] || "")),
      make("div", { class: "meter", title: waits + (stage.capacity ? " of " + grouped(stage.capacity) : "") }, bar),
      make("dl", {}, rows.map(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])),
      make("div", { class: "flag" }, lit ? bottleneck.sentence : ""));
  }

  function journal(group) {
    const steps = [["journaled", group.journaled], ["flushed", group.flushed], ["replicated", group.replicated], ["committed", group.committed], ["answered", group.answered]];
    const received = make("li", {}, make("span", {}, "received "), "+" + grouped(group.receivedRequests) + " requests");
    const items = [received].concat(steps.map(([name, position], index) => {
      const behind = Math.max(0, group.journaled - position);
      return make("li", {}, make("span", {}, name + " "), index === 0 ? grouped(position) : behind === 0 ? "all" : "−" + bytes(behind));
    }));
    const role = group.epoch > 0 ? "leads in epoch " + group.epoch + ", " + group.inSyncReplicas + " in sync" : "does not lead";
    const warnings = [];
    if (group.failure) warnings.push("Storage has failed (errno " + group.failure + "): nothing is acknowledged any more.");
    if (!group.hasSpace) warnings.push("No space: producers are refused.");
    return make("section", { class: "journal" }, make("b", {}, "Partition group " + group.number), " " + role + ", " + bytes(group.bytesPerSecond) + "/s",
      make("ol", {}, items), warnings.map((text) => make("p", { class: "bad" }, text)));
  }

  async function showProduce() {
    const broker = await ask("/api/broker");
    identify(broker);
    const facts = [
      [count(broker.producesPerSecond) + "/s", "produce requests"], [count(broker.requestsPerSecond) + "/s", "requests of all kinds"],
      [bytes(broker.receivedBytesPerSecond) + "/s", "received"], [bytes(broker.sentBytesPerSecond) + "/s", "sent"], [grouped(broker.connections), "connections"],
    ];
    const stages = broker.stages.slice().sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind) || a.number - b.number);
    const groups = broker.partitionGroups.filter((group) => group.journaled > 0 || group.epoch > 0);
    const errors = Object.entries(broker.produceErrors);
    return [
      make("div", { class: "facts" }, facts.map(([value, name]) => make("div", { class: "fact" }, make("b", {}, value), make("span", {}, name)))),
      make("div", { class: "path" }, stages.map((stage) => stageCard(stage, broker.bottleneck))),
      make("h2", {}, "Positions"), groups.map(journal),
      errors.length ? [make("h2", {}, "Produce requests that failed, since the start"),
        table([{ name: "Error" }, { name: "Requests", number: true }], errors.map(([name, number]) => [name, grouped(number)]), "")] : null,
    ];
  }

  function identify(broker) {
    document.getElementById("who").textContent = "broker " + broker.brokerId + " at " + broker.advertised;
    document.getElementById("foot").textContent = "hutong " + broker.version + " · " + broker.backend + " · flush " + broker.flushMethod + " · layout " + broker.layout +
      " · up " + time(broker.uptimeSeconds) + " · rates over " + broker.intervalSeconds.toFixed(1) + " s";
  }

  // Topics, and what is in them.
  async function showTopics() {
    const topics = await ask("/api/topics");
    const rows = topics.map((topic) => [
      make("a", { href: "#topics/" + encodeURIComponent(topic.name) }, topic.name), grouped(topic.partitions), grouped(topic.replicas),
      topic.withoutLeader ? make("span", { class: "bad" }, topic.withoutLeader + " without a leader") : topic.notInSync ? topic.notInSync + " not all in sync" : "well",
    ]);
    return [make("h2", {}, topics.length + " topics"), table([{ name: "Topic" }, { name: "Partitions", number: true }, { name: "Replicas", number: true }, { name: "State" }], rows, "There are none yet.")];
  }

  async function showTopic(name, partition, offset) {
    const topic = await ask("/api/topics/" + encodeURIComponent(name));
    if (topic === null) return [make("p", { class: "empty" }, "There is no topic of that name.")];
    const rows = topic.partitions.map((each) => [
      String(each.partition), String(each.leader), each.replicas.join(", "), each.inSync.join(", "), grouped(each.start), grouped(each.end),
      each.end !== undefined && each.start !== undefined ? grouped(each.end - each.start) : "–",
    ]);
    const headers = [{ name: "Partition" }, { name: "Leader" }, { name: "Replicas" }, { name: "In sync" }, { name: "Start", number: true }, { name: "End", number: true }, { name: "Records, at most", number: true }];
    return [make("h2", {}, name), table(headers, rows, "It has no partitions."), make("h2", {}, "Messages"), await messages(topic, partition, offset)];
  }

  async function messages(topic, partition, offset) {
    const query = "?partition=" + partition + "&limit=20" + (offset === null ? "" : "&offset=" + offset);
    const found = await ask("/api/topics/" + encodeURIComponent(topic.name) + "/messages" + query);
    const choice = make("select", { name: "partition" }, topic.partitions.map((each) => make("option", { value: each.partition, selected: each.partition === partition }, String(each.partition))));
    const place = make("input", { name: "offset", inputmode: "numeric", placeholder: "the last ones", value: offset === null ? "" : String(offset), size: 14 });
    const form = make("form", { onsubmit: (event) => {
      event.preventDefault();
      location.hash = "#topics/" + encodeURIComponent(topic.name) + "/" + choice.value + (/^\d+$/.test(place.value) ? "/" + place.value : "");
    } }, make("label", {}, "Partition", choice), make("label", {}, "From offset", place), make("button", {}, "Show"));
    if (found === null) return [form, make("p", { class: "empty" }, "Nobody leads that partition.")];
    const rows = found.messages.map((message) => [
      grouped(message.offset), message.timestamp ? new Date(message.timestamp).toISOString() : "–", text(message.key, "–"), text(message.value, "(no value)"),
      message.headers.map((header) => header.key + "=" + text(header.value, "(null)")).join("\n"),
    ]);
    const headers = [{ name: "Offset", number: true }, { name: "Time" }, { name: "Key", text: true }, { name: "Value", text: true }, { name: "Headers", text: true }];
    return [form, table(headers, rows, "There is nothing from there on.")];
  }

  function text(part, none) {
    if (!part) return none;
    return (part.isBase64 ? "base64: " : "") + part.text + (part.isCutOff ? "… (" + bytes(part.bytes) + ")" : "");
  }

  // Consumer groups and brokers.
  async function showGroups() {
    const groups = await ask("/api/groups");
    const rows = groups.map((group) => [make("a", { href: "#groups/" + encodeURIComponent(group.id) }, group.id || "(empty name)"), group.state, group.kind || "–"]);
    return [make("h2", {}, groups.length + " consumer groups"), table([{ name: "Group" }, { name: "State" }, { name: "Kind" }], rows, "There are none yet.")];
  }

  async function showGroup(id) {
    const group = await ask("/api/groups/" + encodeURIComponent(id));
    if (group === null) return [make("p", { class: "empty" }, "There is no group of that name.")];
    const members = group.members.map((member) => [member.id, member.instance || "–", member.client, member.host]);
    const partitions = group.partitions.map((each) => [each.topic, String(each.partition), grouped(each.committed), grouped(each.end), grouped(each.lag)]);
    return [
      make("h2", {}, id + ": " + group.state + ", lag " + grouped(group.lag)),
      table([{ name: "Member" }, { name: "Instance" }, { name: "Client" }, { name: "Host" }], members, "It has no members now."),
      make("h2", {}, "Offsets"),
      table([{ name: "Topic" }, { name: "Partition" }, { name: "Committed", number: true }, { name: "End", number: true }, { name: "Lag", number: true }], partitions, "It has committed nothing."),
    ];
  }

  async function showBrokers() {
    const brokers = await ask("/api/brokers");
    const rows = brokers.map((broker) => [String(broker.id) + (broker.isController ? " (controller)" : ""), broker.host + ":" + broker.port, grouped(broker.leads)]);
    return [make("h2", {}, brokers.length === 1 ? "1 broker" : brokers.length + " brokers"), table([{ name: "Broker" }, { name: "Address" }, { name: "Partitions led", number: true }], rows, "")];
  }

  // What is shown, by what stands behind the # of the address.
  function route() {
    const parts = location.hash.slice(1).split("/").map(decodeURIComponent);
    const offset = parts[3] !== undefined && /^\d+$/.test(parts[3]) ? Number(parts[3]) : null;
    switch (parts[0]) {
      case "topics": return parts[1] ? ["topics", () => showTopic(parts[1], Number(parts[2]) || 0, offset), 0] : ["topics", showTopics, 5000];
      case "groups": return parts[1] ? ["groups", () => showGroup(parts[1]), 5000] : ["groups", showGroups, 5000];
      case "brokers": return ["brokers", showBrokers, 5000];
      default: return ["produce", showProduce, 1000];
    }
  }

  async function show() {
    clearTimeout(timer);
    turn += 1;
    const mine = turn;
    const [name, body, again] = route();
    for (const tab of document.querySelectorAll("#tabs a")) {
      if (tab.dataset.view === name) tab.setAttribute("aria-current", "page"); else tab.removeAttribute("aria-current");
    }
    try {
      const content = await body();
      if (mine !== turn) return;
      view.replaceChildren(...content.flat(Infinity).filter((each) => each !== null && each !== undefined));
      view.dataset.shown = name;
      trouble.hidden = true;
      if (name !== "produce" && !document.getElementById("who").textContent) identify(await ask("/api/broker"));
    } catch (error) {
      if (mine !== turn) return;
      trouble.textContent = error instanceof TypeError ? "The broker can't be reached." : error.message;
      trouble.hidden = false;
    }
    if (mine === turn && (again > 0 || !trouble.hidden)) timer = setTimeout(show, again || 5000);
  }

  window.addEventListener("hashchange", show);
  document.addEventListener("visibilitychange", () => { if (document.hidden) clearTimeout(timer); else show(); });
  show();
})();
