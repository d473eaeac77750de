import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { build } from "vite";
import { root } from "../process.ts";

/** A module bundled from the built packages, as its users' bundlers would do it. */
export async function bundle(entry: string): Promise<string> {
  const built = `${root}packages/`;
  const { output } = (
    (await build({
      configFile: false,
      root,
      logLevel: "silent",
      resolve: {
        alias: [
          { find: /^@traceform\/([\w-]+)$/, replacement: `${built}$1/dist/index.js` },
          { find: /^@traceform\/([\w-]+)\/([\w-]+)$/, replacement: `${built}$1/dist/$2.js` },
          { find: /^traceform$/, replacement: `${built}traceform/dist/index.js` },
        ],
      },
      build: { write: false, minify: false, target: "esnext", lib: { entry, formats: ["es"] } },
    })) as unknown as { readonly output: readonly { readonly code: string }[] }[]
  )[0];
  return output[0].code;
}

/** The headers of a page. */
export type Headers = Readonly<Record<string, string>>;

export interface Site extends AsyncDisposable {
  readonly url: string;
}

/** Serves an empty page with one script under `/<name>` for each set of headers, and the scripts. */
export async function serve(pages: Readonly<Record<string, Headers>>, scripts: Readonly<Record<string, string>>): Promise<Site> {
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://localhost");
    const name = pathname.slice(1);
    if (name in scripts) {
      // What an isolated page loads, and a worker of it, must be isolated too.
      response.writeHead(200, { "content-type": "text/javascript", ...isolation }).end(scripts[name]);
    } else if (name in pages) {
      const html = `<!doctype html><meta charset="utf-8"><title>${name}</title><link rel="icon" href="data:,"><body><script type="module" src="/${searchParams.get("script")}"></script>`;
      response.writeHead(200, { "content-type": "text/html", ...pages[name] }).end(html);
    } else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** What makes a page cross-origin isolated, so that it may share memory between threads. */
export const isolation: Headers = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
};
