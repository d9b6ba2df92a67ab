// Two buttons that save the Plotly chart of the same container as a picture, through Plotly's own button;
// and, where it is asked for, lines that stand out under the pointer, or bars that light up together.
export default function ({ data, parentElement }) {
  const host = parentElement.host ?? parentElement;
  let row = parentElement.querySelector(".row");
  if (!row) {
    row = document.createElement("div");
    row.className = "row";
    parentElement.append(row);
  }
  row.replaceChildren(button("png"), button("svg"));
  if (data.highlight) watch(host.closest("[class*='st-key-chart-']"));
  if (data.linked) link(host.closest("[class*='st-key-chart-']"), data.linked);

  function button(format) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = format.toUpperCase();
    made.title = `Save this chart as ${made.textContent}`;
    made.setAttribute("aria-label", `Save ${data.title} as ${made.textContent}`);
    made.onclick = () => save(format);
    return made;
  }

  function save(format) {
    const plot = host.closest("[class*='st-key-chart-']")?.querySelector(".js-plotly-plot");
    const own = plot?.querySelector(".modebar-btn[data-title]");
    if (!own) return;
    plot._context.toImageButtonOptions = { format, filename: data.name, scale: format === "png" ? data.scale : 1 };
    own.click();
  }
}

// One listener on the container: Plotly replaces the chart inside it whenever its data change.
function watch(chart) {
  if (!chart || chart.dataset.highlight) return;
  chart.dataset.highlight = "on";
  chart.addEventListener("pointerleave", () => light(chart, null));
  chart.addEventListener("pointermove", (event) => {
    const plot = chart.querySelector(".js-plotly-plot");
    if (plot?.on && !plot.dataset.highlight) {
      plot.dataset.highlight = "on";
      plot.on("plotly_hover", ({ points }) => light(chart, points[0].fullData.uid));
      plot.on("plotly_unhover", () => light(chart, null));
    }
    const legend = event.target.closest?.(".legend");
    if (legend) light(chart, traceOf(event.target.closest(".traces")));
    chart.dataset.inLegend ||= legend ? "yes" : "";
    if (!legend && chart.dataset.inLegend) {
      chart.dataset.inLegend = "";
      light(chart, null);
    }
  });
}

function traceOf(item) {
  return item?.__data__?.[0]?.trace?.uid ?? null;
}

function light(chart, uid) {
  for (const line of chart.querySelectorAll(".scatterlayer > .trace")) {
    const lit = line.classList.contains(`trace${uid}`);
    line.style.opacity = uid && !lit ? 0.12 : 1;
    for (const path of line.querySelectorAll(".js-line")) {
      path.dataset.width ??= path.style.strokeWidth;
      path.style.strokeWidth = uid && lit ? "3.5px" : path.dataset.width;
    }
  }
  for (const item of chart.querySelectorAll(".legend .traces"))
    item.querySelector(".legendtext").style.fontWeight = uid && traceOf(item) === uid ? "700" : "";
}

// Bars of one customdata light up together; a click keeps them lit until the next one. The stylesheet has
// their look.
function link(chart, colour) {
  if (!chart || chart.dataset.linked) return;
  chart.dataset.linked = "on";
  chart.style.setProperty("--lit", colour);
  let kept = null;
  chart.addEventListener("pointermove", () => {
    const plot = chart.querySelector(".js-plotly-plot");
    if (!plot?.on || plot.dataset.linked) return;
    plot.dataset.linked = "on";
    plot.on("plotly_hover", ({ points }) => lightBars(chart, points[0].customdata));
    plot.on("plotly_unhover", () => lightBars(chart, kept));
    plot.on("plotly_click", ({ points }) => {
      kept = kept === points[0].customdata ? null : points[0].customdata;
      lightBars(chart, points[0].customdata);
    });
  });
}

function lightBars(chart, which) {
  for (const bars of chart.querySelectorAll(".barlayer .trace")) {
    const values = bars.__data__?.[0]?.trace?.customdata ?? [];
    for (const bar of bars.querySelectorAll(".point"))
      bar.classList.toggle("lit", which != null && values[bar.__data__?.i] === which);
  }
}
