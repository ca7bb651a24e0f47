"use strict";
// The console works without this file. It adds parts of pages that update themselves (htmx), takes the token out of an
// invitation's link, and marks attendance by keyboard.

// htmx writes HTML that this origin sent. HTML with a script is refused.
if (window.trustedTypes) {
  window.trustedTypes.createPolicy("default", {
    createHTML: (html) => {
      if (/<script[\s>]/i.test(html)) throw new TypeError("a fragment must not hold a script");
      return html;
    },
  });
}

document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("[data-without-script]")) button.remove();
  const invitation = document.querySelector("[data-fills-from-link]");
  if (invitation && location.hash.startsWith("#token=")) {
    invitation.value = location.hash.slice("#token=".length);
    invitation.closest("[data-link-field]").hidden = true;
    history.replaceState(null, "", location.pathname);
  }
  // A double click sends one request. The key of the form would make a second one the same effect.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
    window.setTimeout(() => delete form.dataset.sent, 2000);
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });
  for (const chosen of document.querySelectorAll("[data-chooses]")) {
    chosen.addEventListener("change", () => {
      for (const box of document.getElementsByName(chosen.dataset.chooses)) box.checked = chosen.checked;
    });
  }
});

// Attendance: in a row, P and A mark the student, then the next row has the focus.
document.addEventListener("keydown", (event) => {
  const row = event.target.closest && event.target.closest("[data-attendance]");
  if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toLowerCase();
  const value = { p: "PRESENT", a: "ABSENT" }[key];
  if (!value) return;
  const box = row.querySelector(`input[value="${value}"]`);
  if (!box || box.disabled) return;
  event.preventDefault();
  box.checked = true;
  box.dispatchEvent(new Event("change", { bubbles: true }));
  const next = row.nextElementSibling && row.nextElementSibling.querySelector("input[type=radio]:checked, input[type=radio]");
  (next || box).focus();
});
