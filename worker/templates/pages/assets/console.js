// Copying: the buttons are hidden where they would do nothing. All else works without this file.
"use strict";
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
