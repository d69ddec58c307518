// @ts-check
/** Pictures: made as small as models want them, and shown in their messages. */

import { MAX_SIDE_PX, addressOf, scaled } from "../core/attached.js";
import { hook } from "./dom.js";
import { filled } from "./words.js";

const SMALL_BYTES = 1 << 20;
const MAX_FILE_BYTES = 64 << 20; // a larger one may take more memory than a phone has
/** What is tried in turn until a picture is small enough: the longer side in pixels, and JPEG's quality. */
const TRIES = /** @type {const} */ ([[MAX_SIDE_PX, 0.85], [MAX_SIDE_PX, 0.6], [1024, 0.6], [640, 0.5]]);

/**
 * Make a picture that every model that sees takes, upright, and without the place where it was taken: PNG where it is
 * one and is small, else JPEG.
 * @param {Blob} file
 * @param {number} most the length of its base64
 * @returns {Promise<string | null>} base64; null where it cannot be that small
 */
export async function packPicture(file, most) {
  if (file.size > MAX_FILE_BYTES) return null;
  const bitmap = await createImageBitmap(file);
  try {
    const isSmall = Math.max(bitmap.width, bitmap.height) <= MAX_SIDE_PX && file.size <= SMALL_BYTES;
    if (file.type === "image/png" && isSmall) {
      const own = await base64Of(file);
      if (own.length <= most) return own;
    }
    for (const [side, quality] of TRIES) {
      const data = await base64Of(await drawn(bitmap, side, quality));
      if (data.length <= most) return data;
    }
    return null;
  } finally {
    bitmap.close();
  }
}

/**
 * @param {ImageBitmap} bitmap
 * @param {number} side
 * @param {number} quality
 * @returns {Promise<Blob>}
 */
async function drawn(bitmap, side, quality) {
  const canvas = document.createElement("canvas");
  const { width, height } = scaled(bitmap.width, bitmap.height, side);
  [canvas.width, canvas.height] = [width, height];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.fillStyle = "#fff"; // JPEG knows no transparency, and would make it black
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no picture"))), "image/jpeg", quality),
  );
}

/** @param {Blob} blob @returns {Promise<string>} */
function base64Of(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ""));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

/**
 * Show a message's pictures.
 * @param {HTMLElement} root
 * @param {readonly string[]} images
 * @param {import("./words.js").Dictionary} words
 */
export function showPictures(root, images, words) {
  const place = hook(root, "pictures");
  place.hidden = images.length === 0;
  while (place.children.length > images.length) place.lastElementChild?.remove();
  images.forEach((data, index) => {
    const known = /** @type {HTMLImageElement | undefined} */ (place.children[index]);
    const image = known ?? document.createElement("img");
    const address = addressOf(data);
    if (image.src !== address) image.src = address;
    image.alt = filled(words["picture"] ?? "", { number: index + 1 });
    if (!known) place.append(image);
  });
}
