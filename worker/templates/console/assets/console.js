// Copying: the buttons are hidden where they would do nothing. Refreshing: the overview shows the present while it is looked at.
// All else works without this file.
"use strict";
// On a phone the navigation is wider than the page: show where one is.
document.querySelector(".top nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
for (const button of document.querySelectorAll("button[data-copy], button[data-copy-of]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  const name = button.textContent;
  button.addEventListener("click", async () => {
    const of = button.dataset.copyOf;
    await navigator.clipboard.writeText(of ? document.getElementById(of).textContent : button.dataset.copy);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = name; }, 1500);
  });
}
const refreshed = document.querySelector("[data-refresh-s]");
if (refreshed) {
  refreshed.hidden = false;
  setInterval(() => { if (!document.hidden) location.reload(); }, 1000 * Number(refreshed.dataset.refreshS));
}
