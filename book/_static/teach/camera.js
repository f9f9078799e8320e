/** The camera, in a dialog: one photo for each press of a button. The pictures stay in the page. */

import { el, many } from "./dom.js";

/**
 * Open the camera.
 * @param {string} name of the class that the photos are for
 * @param {(photo: Blob) => void} take is called with each photo
 */
export async function photograph(name, take) {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    const video = el("video", { autoplay: true, playsinline: true, "aria-label": "What the camera sees" });
    video.muted = true;
    video.srcObject = stream;
    let taken = 0;
    const count = el("p", { role: "status" }, "The square in the middle is what the network sees.");
    const shoot = async () => {
        take(await still(video));
        taken += 1;
        count.textContent = `${many(taken, "photo")} taken. Move a little between two photos.`;
    };
    const dialog = el("dialog", { class: "lab-camera", "aria-label": `Camera: ${name}` },
        video, count,
        el("div", { class: "line" },
            el("button", { type: "button", class: "main", onclick: shoot }, `Take a photo of “${name}”`),
            el("button", { type: "button", onclick: () => dialog.close() }, "Done")));
    dialog.addEventListener("close", () => {
        for (const track of stream.getTracks()) track.stop();
        dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
}

function still(video) {
    const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
