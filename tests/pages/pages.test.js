// What a developer sees of the server's own pages, in Chromium. Nothing on them may come from anywhere else, and nothing may
// fail silently in the console.
import { Server } from "../../clients/typescript/dist/test/server.js";
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

let server, browser;

before(async () => {
  server = await Server.start();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    // Root has no sandbox; the rest keeps the browser from talking to its maker.
    args: [
      ...(process.getuid() === 0 ? ["--no-sandbox"] : []),
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

// Swagger UI gives itself a style that our policy does not let it have; nothing on the page is missing for that.
const NOT_OURS = "sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w=";

/** Opens a page and shows it to `look`; afterwards nothing may have failed, and nothing may have been asked of others. */
async function shown(path, look) {
  const page = await browser.newPage();
  const faults = [];
  page.on("console", (said) => {
    if (said.type() === "error" && !said.text().includes(NOT_OURS)) faults.push(`${path} says ${said.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`${path} fails: ${error.message}`));
  page.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== server.url && protocol !== "data:" && protocol !== "blob:") faults.push(`${path} asks ${origin}`);
  });
  page.on("response", (response) => {
    if (response.status() >= 400) faults.push(`${path} misses ${response.url()}`);
  });
  await page.goto(server.url + path);
  await look(page);
  assert.deepEqual(faults, []);
  await page.close();
}

test("/docs shows every operation, and one can be tried", async () => {
  const document = await (await fetch(`${server.url}/v1/openapi.json`)).json();
  const methods = ["get", "put", "post", "delete", "patch"];
  const operations = Object.values(document.paths).flatMap((path) => methods.filter((method) => path[method]));
  await shown("/docs/", async (page) => {
    await page.locator(".opblock").nth(operations.length - 1).waitFor();
    assert.equal(await page.locator(".opblock").count(), operations.length);

    const health = page.locator(".opblock", { has: page.locator('[data-path="/health/ready"]') });
    await health.locator(".opblock-summary-control").click();
    await health.getByRole("button", { name: "Try it out" }).click();
    await health.getByRole("button", { name: "Execute" }).click();
    const answer = health.locator(".live-responses-table .response-col_status");
    await answer.filter({ hasText: "200" }).first().waitFor();
  });
});

test("/docs says of an operation who may call it and which problems it answers", async () => {
  await shown("/docs/", async (page) => {
    const send = page.locator(".opblock", { has: page.locator('[data-path="/v1/gifts/{gift}/send"]') });
    await send.locator(".opblock-summary-control").click();
    const told = send.locator(".opblock-body");
    await told.filter({ hasText: "insufficient_funds" }).waitFor();
    await told.filter({ hasText: /role/i }).waitFor();
  });
});

test("/docs/sockets draws a call, and each message of the AsyncAPI document is on it", async () => {
  const document = await (await fetch(`${server.url}/v1/asyncapi.json`)).json();
  await shown("/docs/sockets", async (page) => {
    const told = await page.locator("body").innerText();
    const messages = Object.values(document.components.messages);
    assert.deepEqual(messages.map((message) => message.name).filter((name) => !told.includes(name)), []);
    assert.ok((await page.locator("svg .arrow").count()) > 20, "the steps of a call are drawn");
    for (const link of await page.locator('a[href^="#"]').all()) {
      const id = (await link.getAttribute("href")).slice(1);
      assert.equal(await page.locator(`[id="${id}"]`).count(), 1, `#${id} leads nowhere`);
    }
  });
});

test("/problems leads to a page for each code, which says what to do", async () => {
  await shown("/problems", async (page) => {
    const links = page.locator('a[href*="problems/"]');
    assert.ok((await links.count()) > 50, "there are more codes than that");
    await links.filter({ hasText: "insufficient_funds" }).first().click();
    await page.waitForURL(/\/problems\/insufficient_funds$/);
    await page.getByText("Does it help to send it again?").waitFor();
  });
});
