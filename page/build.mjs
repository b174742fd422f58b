// Builds src/ into one HTML file inside the Python package, and collects the licences of what is in it.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync, existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { build } from "esbuild";

const here = import.meta.dirname;
const target = join(here, "..", "runners", "view");
const source = join(here, "src");

const built = await build({
  entryPoints: [join(source, "main.tsx")],
  absWorkingDir: here,
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  charset: "utf8",
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  metafile: true,
  write: false,
});
const program = built.outputFiles[0].text.replaceAll("</script", "<\\/script");
const style = readFileSync(join(source, "style.css"), "utf8");

// A test compares this with the sources: whoever changes them builds anew.
const hash = createHash("sha256");
for (const name of [...readdirSync(source).sort().map((n) => `src/${n}`), "package-lock.json"]) {
  hash.update(`${name}\n`).update(readFileSync(join(here, name)));
}

const page = readFileSync(join(here, "template.html"), "utf8")
  .replace("/*HASH*/", () => hash.digest("hex"))
  .replace("/*STYLE*/", () => style)
  .replace("/*PROGRAM*/", () => program.trim());
writeFileSync(join(target, "page.html"), page);

const packages = new Set();
for (const file of Object.keys(built.metafile.inputs)) {
  const found = /^(?:.*\/)?node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file);
  if (found) packages.add(found[1]);
}
const texts = [...packages].sort().map((name) => {
  const folder = join(here, "node_modules", name);
  const facts = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = ["LICENSE", "LICENSE.md", "LICENSE.txt", "license"].find((n) => existsSync(join(folder, n)));
  if (!file) throw new Error(`${name} has no licence file`);
  const text = readFileSync(join(folder, file), "utf8").trim();
  return `${name} ${facts.version} (${facts.license})\n\n${text}\n`;
});
writeFileSync(
  join(target, "page.licences.txt"),
  `page.html contains these packages of the npm registry.\n\n${texts.join(`\n${"-".repeat(72)}\n\n`)}`,
);
console.log(`${dirname(join(target, "x"))}: page.html ${(page.length / 1024).toFixed(0)} KiB, ${packages.size} packages`);
