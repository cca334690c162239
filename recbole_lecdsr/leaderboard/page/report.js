"use strict";
(() => {
  // ---- tables: a heading sorts the rows below it
  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim() : cell.dataset.value;
  };
  const sortBy = (table, heading, column) => {
    const numeric = heading.dataset.sort === "number";
    const before = heading.getAttribute("aria-sort");
    const descending = before ? before === "ascending" : numeric; // numbers: the highest first
    const turn = descending ? -1 : 1;
    const compare = (a, b) => {
      if (!numeric) return a.localeCompare(b, undefined, { numeric: true }) * turn;
      const [x, y] = [parseFloat(a), parseFloat(b)];
      const [noX, noY] = [Number.isNaN(x), Number.isNaN(y)];
      return noX || noY ? noX - noY : (x - y) * turn; // cells without a number come last either way
    };
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => compare(value(a, column), value(b, column)));
    table.tBodies[0].append(...rows);
    table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  };
  document.querySelectorAll("table.sortable").forEach((table) => {
    // The column of the body that a heading sorts: headings that span both rows come first, then the second row.
    const [top, bottom] = table.tHead.rows;
    const spanning = bottom ? [...top.cells].filter((cell) => cell.rowSpan === 2) : [...top.cells];
    const headings = [...spanning, ...(bottom ? bottom.cells : [])];
    headings.forEach((heading, column) => {
      if (!heading.dataset.sort) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sortBy(table, heading, column));
      heading.append(button);
    });
  });

  // ---- figures
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const viewOf = {}; // key of a figure -> index of the view that it shows
  const merge = (a, b) => {
    const result = { ...a };
    for (const [key, item] of Object.entries(b)) {
      const both = item && typeof item === "object" && !Array.isArray(item) && result[key];
      result[key] = both ? merge(result[key], item) : item;
    }
    return result;
  };
  // The lines of a name in a legend or on an axis: broken after punctuation and spaces, none much longer than the limit.
  const lines = (name, limit) => {
    const result = [""];
    for (const part of String(name).split(/(?<=[:=_. -])/)) {
      const last = result.length - 1;
      if (result[last] && (result[last] + part).length > limit) result.push(part);
      else result[last] += part;
    }
    return result;
  };
  const draw = (key) => {
    const view = figures[key].views[viewOf[key]];
    const style = getComputedStyle(document.body);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { gridcolor: colour("--line"), linecolor: colour("--line"), zerolinecolor: colour("--soft"), automargin: true };
    const narrow = document.documentElement.clientWidth < 600;
    const wrapped = (label) => lines(label, narrow ? 20 : 30);
    const legend = narrow ? (label) => lines(label, 44) : wrapped;
    const data = view.data.map((trace) => ({
      ...trace,
      ...(trace.name ? { name: legend(trace.name).join("<br>") } : {}),
      ...(trace.orientation === "h" ? { y: trace.y.map((label) => wrapped(label).join("<br>")) } : {}),
    }));
    const base = {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: style.fontFamily || "sans-serif", size: 12, color: colour("--ink") },
      margin: { l: 8, r: 8, t: 12, b: 8 },
      xaxis: narrow && (view.layout.xaxis || {}).type !== "category" ? { ...axis, nticks: 5 } : axis,
      yaxis: axis,
      legend: narrow
        ? { orientation: "h", xref: "container", x: 0, xanchor: "left", yref: "container", y: 0, yanchor: "bottom", font: { size: 11 }, tracegroupgap: 0 }
        : { orientation: "v", x: 1.01, xanchor: "left", y: 1, yanchor: "top", tracegroupgap: 0 },
      hoverlabel: { namelength: -1 },
      dragmode: narrow ? false : "zoom",
      datarevision: Math.random(),
    };
    const element = document.getElementById(key);
    const legendNames = new Set(data.filter((t) => t.showlegend !== false && t.name).map((t) => t.name));
    const legendLines = [...legendNames].reduce((sum, name) => sum + name.split("<br>").length, 0);
    const bars = view.data.filter((trace) => trace.orientation === "h").flatMap((trace) => trace.y);
    const extraHeight = bars.reduce((sum, label) => sum + Math.max(0, wrapped(label).length - 2) * 16, 0);
    // On a narrow screen the legend is below the plot.
    base.height = figures[key].height + extraHeight + (narrow && legendNames.size > 1 ? legendLines * 19 : 0);
    element.style.height = `${base.height}px`;
    Plotly.react(element, data, merge(base, view.layout), { responsive: true, displaylogo: false, displayModeBar: false });
  };
  for (const [key, figure] of Object.entries(figures)) {
    viewOf[key] = 0;
    if (figure.views.length > 1) {
      const bar = document.querySelector(`[data-for="${key}"]`);
      figure.views.forEach((view, number) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = view.name;
        button.setAttribute("aria-pressed", String(number === viewOf[key]));
        button.addEventListener("click", () => {
          viewOf[key] = number;
          [...bar.children].forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
          draw(key);
        });
        bar.append(button);
      });
    }
    draw(key);
  }
  const redraw = () => Object.keys(figures).forEach(draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  matchMedia("(max-width: 599px)").addEventListener("change", redraw);
  document.documentElement.dataset.ready = "true";
})();
