// The list of images on the page of `lavis-sam demo`: drop or choose files, put them in order, take them out.
// gradio gives `element`, `props`, `trigger` and `watch`; props.value is the list of {name, url} that is sent.
const list = element.querySelector("ol");
const input = element.querySelector("input");
const zone = element.querySelector(".drop-zone");
const status = element.querySelector("[role=status]");
let dragged = null;

const say = (text) => { status.textContent = text; };

function set(images, text, focus) {
  props.value = images;
  render();
  say(text);
  if (focus !== undefined) focusOn(focus, images.length);
}

function focusOn({ place, action }, count) {
  const tile = list.children[Math.min(place, count - 1)];
  const wanted = tile?.querySelector(`button[data-action="${action}"]:not(:disabled)`);
  (wanted ?? tile ?? zone).focus();
}

function move(from, to, action) {
  if (to < 0 || to >= props.value.length || from === to) return;
  const images = [...props.value];
  images.splice(to, 0, ...images.splice(from, 1));
  set(images, `${images[to].name} is now image ${to + 1} of ${images.length}.`, { place: to, action });
}

function remove(place) {
  const images = props.value.filter((_, other) => other !== place);
  set(images, `${props.value[place].name} was taken out.`, { place, action: "remove" });
}

function button(label, sign, action, act, isOff) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = sign;
  made.title = label;
  made.setAttribute("aria-label", label);
  made.dataset.action = action;
  made.disabled = isOff;
  made.addEventListener("click", act);
  return made;
}

function tile({ name, url }, place, images) {
  const made = document.createElement("li");
  made.draggable = true;
  made.tabIndex = 0;
  made.setAttribute("aria-label", `Image ${place + 1} of ${images.length}: ${name}. Left and right arrow keys move it, Delete takes it out.`);
  const shown = document.createElement("img");
  shown.alt = name;
  shown.draggable = false;
  shown.addEventListener("error", () => {
    made.classList.add("broken");
    say(`The browser cannot show ${name}; the model may not be able to read it either.`);
  });
  shown.src = url;
  const caption = document.createElement("span");
  caption.textContent = `${place + 1} · ${name}`;
  const buttons = document.createElement("div");
  buttons.append(
    button(`Move image ${place + 1} earlier`, "←", "earlier", () => move(place, place - 1, "earlier"), place === 0),
    button(`Move image ${place + 1} later`, "→", "later", () => move(place, place + 1, "later"), place === images.length - 1),
    button(`Take image ${place + 1} out`, "×", "remove", () => remove(place), false),
  );
  made.append(shown, caption, buttons);
  made.addEventListener("keydown", (event) => {
    if (event.target !== made) return;
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (step) { event.preventDefault(); move(place, place + step, "none"); }
    if (event.key === "Delete") { event.preventDefault(); remove(place); }
  });
  made.addEventListener("dragstart", (event) => {
    dragged = place;
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", name);
  });
  made.addEventListener("dragend", () => { dragged = null; });
  made.addEventListener("dragover", (event) => { if (dragged !== null) event.preventDefault(); });
  made.addEventListener("drop", (event) => {
    if (dragged === null) return;
    event.preventDefault();
    event.stopPropagation();
    move(dragged, place, "none");
    dragged = null;
  });
  return made;
}

function render() {
  const images = props.value ?? [];
  list.replaceChildren(...images.map(tile));
  element.classList.toggle("is-empty", images.length === 0);
}

// Whatever a file is called, the server looks at its content.
const asUrl = (file) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(`data:image/${file.type.startsWith("image/") ? file.type.slice(6) : "unknown"};base64,${reader.result.split(",")[1] ?? ""}`);
  reader.onerror = () => reject(reader.error);
  reader.readAsDataURL(file);
});

async function add(files) {
  const images = [...(props.value ?? [])], refused = [];
  let bytes = images.reduce((sum, image) => sum + image.url.length * 0.75, 0);
  for (const file of files) {
    if (images.length >= props.most_images) { refused.push(`${file.name}: there are ${props.most_images} images, which is the most`); continue; }
    if ((bytes += file.size) > props.most_bytes) { refused.push(`${file.name}: all images together may have ${Math.floor(props.most_bytes / 2 ** 20)} MiB`); bytes -= file.size; continue; }
    try {
      images.push({ name: file.name, url: await asUrl(file) });
    } catch (error) {
      refused.push(`${file.name}: ${error.message}`);
    }
  }
  set(images, refused.length ? `Not taken: ${refused.join("; ")}.` : `${images.length} images.`);
}

input.addEventListener("change", () => { add([...input.files]); input.value = ""; });
element.addEventListener("dragover", (event) => { if (dragged === null) { event.preventDefault(); zone.classList.add("is-over"); } });
element.addEventListener("dragleave", () => zone.classList.remove("is-over"));
element.addEventListener("drop", (event) => {
  if (dragged !== null) return;
  event.preventDefault();
  zone.classList.remove("is-over");
  add([...event.dataTransfer.files]);
});
watch("value", render);
render();
