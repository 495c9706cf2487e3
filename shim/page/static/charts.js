// Curves and scatter, drawn by uPlot from what the server tells.
"use strict";
(() => {
  const $ = (selector) => document.querySelector(selector);
  const COLOURS = ["#0b66c3", "#c2410c", "#15803d", "#9333ea", "#b91c1c", "#0e7490", "#a16207", "#be185d", "#4d7c0f", "#6366f1"];
  const DARK = ["#7db7f5", "#fdba74", "#86efac", "#d8b4fe", "#fca5a5", "#67e8f9", "#fde047", "#f9a8d4", "#bef264", "#a5b4fc"];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const colour = (at) => (dark.matches ? DARK : COLOURS)[at % COLOURS.length];
  const ink = () => getComputedStyle(document.body).color;
  const line = () => getComputedStyle(document.documentElement).getPropertyValue("--line");
  const number = (value) => (value == null ? "–" : Number(value.toPrecision(5)).toString());

  const short = (name) => (name.length > 60 ? `${name.slice(0, 58)}…` : name);

  function fill(select, names, chosen) {
    if ([...select.options].map((one) => one.value).join("\n") === names.join("\n")) return;
    select.replaceChildren(...names.map((name) => new Option(name, name, false, name === chosen)));
  }

  function tooltip(names) {
    let tip;
    return {
      hooks: {
        init: (plot) => {
          tip = document.createElement("div");
          tip.className = "tip";
          tip.hidden = true;
          plot.over.append(tip);
        },
        setCursor: (plot) => {
          const { left, top, idx } = plot.cursor;
          const rows = idx == null || left < 0 ? [] : names(plot, idx);
          tip.hidden = !rows.length;
          tip.textContent = rows.slice(0, 12).join("\n");
          tip.style.left = `${Math.min(left + 12, plot.over.clientWidth - 120)}px`;
          tip.style.top = `${top + 12}px`;
        },
      },
    };
  }

  const axes = (isTime) => [
    { stroke: ink(), grid: { stroke: line(), width: 1 }, ticks: { stroke: line(), width: 1 }, ...(isTime ? {} : { values: (_, at) => at.map(number) }) },
    { stroke: ink(), grid: { stroke: line(), width: 1 }, ticks: { stroke: line(), width: 1 }, size: 64, values: (_, at) => at.map((one) => (one == null ? "" : number(one))) },
  ];

  function smoothed(values, share) {
    if (!share) return values;
    let mean = null, weight = 0;
    return values.map((value) => {
      if (value == null) return null;
      mean = share * (mean || 0) + (1 - share) * value;
      weight = share * weight + (1 - share);
      return mean / weight;
    });
  }

  function draw(box, old, options, data) {
    if (old) old.destroy();
    const size = { width: Math.max(280, box.clientWidth), height: 320 };
    return new uPlot({ ...size, ...options }, data, box);
  }

  function curves(root) {
    const metric = $("#curve-metric"), against = $("#curve-x"), smooth = $("#curve-smooth"), log = $("#curve-log");
    const said = $("#curve-said"), box = $("#curve-chart");
    let plot, told;
    function show() {
      const by = against.value, isLog = log.checked, share = Number(smooth.value);
      const shown = told.curves.filter((one) => one.values.length);
      if (!shown.length) {
        said.textContent = told.is_live ? "No values yet." : "These runs have told no values.";
        return;
      }
      const tables = shown.map((one) => {
        const rows = one[by].map((x, at) => [x == null ? at : x, one.values[at]]).sort((a, b) => a[0] - b[0]);
        const distinct = rows.filter((row, at) => !at || row[0] !== rows[at - 1][0]);
        const values = smoothed(distinct.map((row) => row[1]), share);
        return [distinct.map((row) => row[0]), isLog ? values.map((y) => (y > 0 ? y : null)) : values];
      });
      said.textContent = `${told.metric}: ${shown.map((one, at) => `${short(one.name)} ends at ${number(tables[at][1].at(-1))}`).slice(0, 4).join(", ")}. Drag to zoom, double-click to see all.`;
      const series = shown.map((one, at) => ({
        label: short(one.name), stroke: colour(at), width: 2, spanGaps: true, points: { show: one.values.length < 2 },
        dash: at >= COLOURS.length ? [6, 4] : undefined, value: (_, value) => number(value),
      }));
      plot = draw(box, plot, {
        scales: { x: { time: by === "times" }, y: { distr: isLog ? 3 : 1 } },
        axes: axes(by === "times"), series: [{ label: by === "times" ? "time" : "step" }, ...series],
        plugins: [tooltip((chart, at) => chart.series.slice(1).flatMap((one, place) => {
          const value = chart.data[place + 1][at];
          return value == null ? [] : [`${one.label}: ${number(value)}`];
        }))],
      }, uPlot.join(tables.map((one) => one)));
    }
    async function load() {
      const answer = await fetch(`/page/runs/curves?${root.dataset.query}metric=${encodeURIComponent(metric.value)}`);
      if (!answer.ok) { said.textContent = "The values cannot be read just now."; return; }
      told = await answer.json();
      fill(metric, told.metrics, told.metric);
      metric.value = told.metric;
      show();
      if (told.is_live) setTimeout(again, 5000);
    }
    const again = () => load().catch(() => setTimeout(again, 5000));
    metric.addEventListener("change", again);
    for (const one of [against, smooth, log]) one.addEventListener("input", show);
    dark.addEventListener("change", show);
    addEventListener("resize", () => plot && plot.setSize({ width: Math.max(280, box.clientWidth), height: 320 }));
    again();
  }

  function scatter(root) {
    const y = $("#scatter-y"), x = $("#scatter-x"), every = $("#scatter-all");
    const said = $("#scatter-said"), box = $("#scatter-chart");
    let plot, told;
    function show() {
      const at = (one) => (x.value === "time" ? one.at : one.parameters[x.value]);
      const rows = told.filter((one) => at(one) != null && one.metrics[y.value] != null).sort((a, b) => at(a) - at(b));
      said.textContent = `${rows.length} of ${told.length} runs have ${y.value} and ${x.value}.`;
      plot = draw(box, plot, {
        scales: { x: { time: x.value === "time" } }, axes: axes(x.value === "time"), legend: { show: false },
        series: [{}, { label: y.value, stroke: colour(0), paths: () => null, points: { show: true, size: 9, fill: colour(0) } }],
        plugins: [tooltip((_, place) => [`${rows[place].name}`, `${x.value} ${x.value === "time" ? new Date(rows[place].at * 1000).toLocaleString() : number(at(rows[place]))}`, `${y.value} ${number(rows[place].metrics[y.value])}`])],
      }, [rows.map(at), rows.map((one) => one.metrics[y.value])]);
    }
    async function load() {
      const query = every && every.checked ? `session=${root.dataset.session}` : root.dataset.query;
      const answer = await fetch(`/page/runs/points?${query}`);
      if (!answer.ok) { said.textContent = "The runs cannot be read just now."; return; }
      told = await answer.json();
      const names = (key) => [...new Set(told.flatMap((one) => Object.keys(one[key])))];
      if (!names("metrics").length) { said.textContent = "These runs have told no values."; return; }
      fill(y, names("metrics"));
      fill(x, [...names("parameters"), "time"]);
      show();
    }
    for (const one of [x, y]) one.addEventListener("change", show);
    if (every) every.addEventListener("change", load);
    dark.addEventListener("change", show);
    load().catch(() => { said.textContent = "The runs cannot be read just now."; });
  }

  document.addEventListener("DOMContentLoaded", () => {
    if ($("#curves")) curves($("#curves"));
    if ($("#scatter")) scatter($("#scatter"));
  });
})();
