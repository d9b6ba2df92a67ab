// Two buttons that save the Plotly chart of the same container as a picture, through Plotly's own button.
export default function ({ data, parentElement }) {
  const host = parentElement.host ?? parentElement;
  let row = parentElement.querySelector(".row");
  if (!row) {
    row = document.createElement("div");
    row.className = "row";
    parentElement.append(row);
  }
  row.replaceChildren(button("png"), button("svg"));

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
