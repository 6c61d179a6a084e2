// Bundles the extension to dist/extension.js; with --tests, each test/*.test.ts to out/test/.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { context, build } from "esbuild";

const flags = new Set(process.argv.slice(2));
const shared = {
  bundle: true,
  platform: "node",
  format: "cjs",
  target: "node20",
  logLevel: "warning",
};

if (flags.has("--tests")) {
  const entries = readdirSync("test").filter((name) => name.endsWith(".test.ts"));
  await build({
    ...shared,
    entryPoints: entries.map((name) => `test/${name}`),
    outdir: "out/test",
    outExtension: { ".js": ".cjs" },
    sourcemap: "inline",
  });
} else {
  const options = {
    ...shared,
    entryPoints: ["src/extension.ts"],
    outfile: "dist/extension.js",
    external: ["vscode"],
    minify: flags.has("--production"),
    sourcemap: !flags.has("--production"),
  };
  if (flags.has("--watch")) {
    await (await context(options)).watch();
  } else {
    const { metafile } = await build({ ...options, metafile: true });
    writeFileSync("dist/THIRD-PARTY-NOTICES.txt", notices(Object.keys(metafile.inputs)));
  }
}

// The licences of the packages that ended up in the bundle.
function notices(inputs) {
  const names = inputs.map((path) => path.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1]).filter(Boolean);
  const parts = [...new Set(names)].sort().map((name) => {
    const home = `node_modules/${name}`;
    const { version, license } = JSON.parse(readFileSync(`${home}/package.json`, "utf8"));
    const file = readdirSync(home).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file && existsSync(`${home}/${file}`) ? readFileSync(`${home}/${file}`, "utf8").trim() : license;
    return `${name} ${version} (${license})\n\n${text}`;
  });
  return parts.join("\n\n----\n\n") + "\n";
}
