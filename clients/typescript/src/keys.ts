/** How far the server's clock is ahead of this device's, as its last answer said. */
let skewMs = 0;

/** Learns the server's time, so that a device with a wrong clock makes keys that the server takes. */
export function learnTime(serverMs: number): void {
  if (Number.isFinite(serverMs)) skewMs = serverMs - Date.now();
}

/** A fresh idempotency key: a UUID of version 7, which begins with the time. */
export function newKey(): string {
  const bytes = randomBytes();
  let ms = Date.now() + skewMs;
  for (let at = 5; at >= 0; at--) {
    bytes[at] = ms % 256;
    ms = Math.floor(ms / 256);
  }
  bytes[6] = 0x70 | (bytes[6]! & 0x0f);
  bytes[8] = 0x80 | (bytes[8]! & 0x3f);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** React Native has no `crypto`. A key must differ from all others; it is no secret. */
function randomBytes(): Uint8Array {
  const bytes = new Uint8Array(16);
  if (globalThis.crypto?.getRandomValues) return globalThis.crypto.getRandomValues(bytes);
  return bytes.map(() => Math.floor(Math.random() * 256));
}
