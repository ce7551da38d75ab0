// What pages do beyond what they do without it: photographs from the camera, small copies of those that were chosen, and
// the answer brought into view. Nothing here sends anything: forms do.
"use strict";

const CAN_CAPTURE = Boolean(navigator.mediaDevices && navigator.mediaDevices.getUserMedia && window.DataTransfer);

function element(name, properties = {}, children = []) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function prepare(input) {
  const place = element("div", {className: "camera"});
  const chosen = element("span");
  const message = element("span");
  message.setAttribute("role", "status");
  if (CAN_CAPTURE) {
    const open = element("button", {type: "button", textContent: "Use the camera"});
    open.addEventListener("click", () => capture(input, place, open, message));
    place.append(open);
  }
  place.append(message, chosen);
  input.after(place);
  input.addEventListener("change", () => showChosen(input, chosen));
  if (input.files.length) showChosen(input, chosen);
}

async function showChosen(input, chosen) {
  chosen.replaceChildren();
  for (const file of [...input.files].slice(0, 12)) {
    try {
      const picture = await createImageBitmap(file, {resizeHeight: 160});
      const canvas = element("canvas", {className: "chosen", width: picture.width, height: picture.height});
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `chosen: ${file.name}`);
      canvas.getContext("2d").drawImage(picture, 0, 0);
      chosen.append(canvas, " ");
    } catch (error) {
      // a format that the browser does not show; the service may read it
    }
  }
}

async function capture(input, place, open, message) {
  message.textContent = "";
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({video: {facingMode: "user", width: {ideal: 1280}}, audio: false});
  } catch (error) {
    message.textContent = error.name == "NotAllowedError" ? "The camera is not allowed here." : "No camera was found.";
    return;
  }
  const video = element("video", {autoplay: true, muted: true, playsInline: true, srcObject: stream});
  video.setAttribute("aria-label", "Camera");
  const take = element("button", {type: "button", textContent: "Take the photograph"});
  const cancel = element("button", {type: "button", textContent: "Cancel"});
  const end = () => {
    stream.getTracks().forEach((track) => track.stop());
    [video, take, cancel].forEach((part) => part.remove());
    open.hidden = false;
    open.focus();
  };
  take.addEventListener("click", () => {
    if (!video.videoWidth) return;
    const canvas = element("canvas", {width: video.videoWidth, height: video.videoHeight});
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => {
      const files = new DataTransfer();
      if (input.multiple) [...input.files].forEach((file) => files.items.add(file));
      files.items.add(new File([blob], `camera-${input.files.length + 1}.jpg`, {type: "image/jpeg"}));
      input.files = files.files;
      input.dispatchEvent(new Event("change", {bubbles: true}));
      end();
    }, "image/jpeg", 0.95);
  });
  cancel.addEventListener("click", end);
  open.hidden = true;
  place.prepend(video, take, cancel);
  take.focus();
}

document.querySelectorAll("input[data-camera]").forEach(prepare);
document.body.addEventListener("htmx:after:swap", () => {
  const result = document.getElementById("result");
  if (result && result.childElementCount) {
    result.focus({preventScroll: true});
    result.scrollIntoView({block: "start"});
  }
});
