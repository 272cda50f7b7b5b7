"use strict";
// Shows one sample at a time, takes one key for each, keeps the ratings in the browser, and gives them as a file.
const VERDICTS = { 1: [true, true], 2: [false, true], 3: [true, false], 4: [false, false] }; // [images, text]
const items = Array.from(document.querySelectorAll(".item"));
const rater = document.getElementById("rater");
const samples = document.getElementById("samples").textContent;
const has = (object, key) => Object.prototype.hasOwnProperty.call(object, key);
let place = 0;
let ratings = {};

const name = () => rater.value.trim();
const storageKey = () => "lavis_sam ratings " + samples + " " + name();

// A browser may keep nothing for a page from the disk; the page then works, and forgets when it is closed.
function stored() {
  try {
    return JSON.parse(localStorage.getItem(storageKey())) || {};
  } catch (error) {
    return {};
  }
}

function keep() {
  try {
    localStorage.setItem(storageKey(), JSON.stringify(ratings));
  } catch (error) {
    document.getElementById("kept").textContent = "This browser keeps nothing: download before you close the page.";
  }
}

const rated = () => items.filter((item) => has(ratings, item.dataset.id)).length;

function show() {
  items.forEach((item, index) => (item.hidden = index !== place || !name()));
  const key = items.length ? ratings[items[place].dataset.id] : undefined;
  document.querySelectorAll(".verdict").forEach((button) => {
    button.disabled = !name();
    button.setAttribute("aria-pressed", String(button.dataset.key === key));
  });
  document.getElementById("download").disabled = !name() || !rated();
  document.getElementById("state").textContent = name()
    ? `Sample ${place + 1} of ${items.length}, ${rated()} rated.`
    : "Write your name first.";
}

function move(step) {
  place = Math.max(0, Math.min(items.length - 1, place + step));
  show();
}

function rate(key) {
  if (!name() || !items.length) return;
  ratings[items[place].dataset.id] = key;
  keep();
  move(1);
}

function ratingFile() {
  const list = items
    .filter((item) => has(ratings, item.dataset.id))
    .map((item) => {
      const [images, text] = VERDICTS[ratings[item.dataset.id]];
      return { id: item.dataset.id, images, text };
    });
  return JSON.stringify({ format: "lavis_sam ratings 1", samples, rater: name(), ratings: list }, null, 1);
}

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([ratingFile()], { type: "application/json" }));
  link.download = "ratings_" + name().replace(/[^\p{L}\p{N}-]+/gu, "_") + ".json";
  link.click();
}

function begin() {
  const known = items.map((item) => item.dataset.id);
  ratings = Object.fromEntries(Object.entries(stored()).filter(([id, key]) => known.includes(id) && has(VERDICTS, key)));
  const open = known.findIndex((id) => !has(ratings, id));
  place = open < 0 ? 0 : open;
  show();
}

rater.addEventListener("change", begin);
document.querySelectorAll(".verdict").forEach((button) => {
  button.addEventListener("click", () => rate(button.dataset.key));
});
document.getElementById("download").addEventListener("click", download);
document.addEventListener("keydown", (event) => {
  if (event.target === rater || event.ctrlKey || event.metaKey || event.altKey) return;
  if (has(VERDICTS, event.key)) rate(event.key);
  else if (event.key === "ArrowLeft") move(-1);
  else if (event.key === "ArrowRight") move(1);
});
begin();
