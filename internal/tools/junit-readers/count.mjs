// Prints what each reader makes of a file: count.mjs junit.xml
import { readFileSync } from "node:fs";
import { parse } from "junit2json";
import results from "test-results-parser";

const file = process.argv[2];
const list = (value) => (value === undefined ? [] : [].concat(value));

const tree = await parse(readFileSync(file, "utf8"));
const cases = list(tree.testsuite).flatMap((suite) => list(suite.testcase));
const having = (kind) => cases.filter((c) => list(c[kind]).length > 0).length;
const junit2json = { tests: cases.length, failed: having("failure"), errors: having("error"), skipped: having("skipped") };

const parsed = results.parse({ type: "junit", files: [file] });
const parser = { tests: parsed.total, failed: parsed.failed, errors: parsed.errors, skipped: parsed.skipped };

console.log(JSON.stringify({ junit2json, "test-results-parser": parser }));
