// Writes the settings table of README.md from package.json; with --check, fails when it is out of date.
import { readFileSync, writeFileSync } from "node:fs";

const { contributes } = JSON.parse(readFileSync("package.json", "utf8"));
const cell = (text) => text.replaceAll("|", "\\|").replaceAll("\n", " ");
const lines = ["| Setting | Default | |", "|---|---|---|"];
for (const { properties } of contributes.configuration) {
  for (const [key, value] of Object.entries(properties)) {
    const choices = value.enum ? ` One of ${value.enum.map((choice) => `\`${choice}\``).join(", ")}.` : "";
    const text = (value.markdownDescription ?? value.description) + choices;
    lines.push(`| \`${key}\` | \`${JSON.stringify(value.default)}\` | ${cell(text)} |`);
  }
}
const readme = readFileSync("README.md", "utf8");
const [open, close] = [/<!-- settings:.*-->\n/, /<!-- \/settings -->/];
const start = readme.search(open) + readme.match(open)[0].length;
const updated = `${readme.slice(0, start)}${lines.join("\n")}\n${readme.slice(readme.search(close))}`;
if (!process.argv.includes("--check")) writeFileSync("README.md", updated);
else if (updated !== readme) {
  console.error("README.md: the settings table is out of date; run: node scripts/settings-table.mjs");
  process.exit(1);
}
